//! The grammars of the distribution and image specifications, as the regular
//! expressions that they print: a second opinion on our parsers, which use none.

use std::sync::LazyLock;

use regex_lite::Regex;

static REPOSITORY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$")
        .expect("an expression")
});
static TAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$").expect("an expression"));
static DIGEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$").expect("an expression")
});
static ANY_DIGEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$").expect("an expression")
});
static UPLOAD_ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
        .expect("an expression")
});

/// Whether a text is a repository name of at most 255 characters.
#[must_use]
pub fn is_repository(text: &str) -> bool {
    text.len() <= 255 && REPOSITORY.is_match(text)
}

/// Whether a text is a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    TAG.is_match(text)
}

/// Whether a text is a digest of a registered algorithm.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    DIGEST.is_match(text)
}

/// Whether a text has the form of a digest, of whatever algorithm.
#[must_use]
pub fn has_digest_form(text: &str) -> bool {
    ANY_DIGEST.is_match(text)
}

/// Whether a text is a UUID in the one form that we write.
#[must_use]
pub fn is_upload_id(text: &str) -> bool {
    UPLOAD_ID.is_match(text)
}
