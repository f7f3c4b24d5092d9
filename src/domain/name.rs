//! Repository names, tags, and the references that manifests are asked for by.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::digest::{Digest, ParseDigestError};

/// A text that is not a repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a repository name is at most 255 characters of lower-case letters and digits, \
     joined by '.', '_', '__' or '-', in components separated by '/'"
)]
pub struct ParseRepositoryNameError;

/// A repository's name: `library/alpine`.
///
/// At most 255 characters (bytes, as all are ASCII) of components separated by
/// `/`; a component starts and ends with a lower-case letter or digit. So it is
/// never empty, never `.` or `..`, and never starts with `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// The longest name, in characters.
    pub const MAX_LENGTH: usize = 255;

    /// The name as it stands in a path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = ParseRepositoryNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() <= Self::MAX_LENGTH && text.split('/').all(is_name_component) {
            Ok(Self(text.into()))
        } else {
            Err(ParseRepositoryNameError)
        }
    }
}

/// Distribution specification: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_name_component(component: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_alphanumeric(first)
        && is_alphanumeric(last)
        && bytes
            .chunk_by(|left, right| is_alphanumeric(left) == is_alphanumeric(right))
            .all(|run| match run {
                [first, ..] if is_alphanumeric(first) => true,
                b"." | b"_" | b"__" => true,
                separator => separator.iter().all(|byte| *byte == b'-'),
            })
}

impl TryFrom<String> for RepositoryName {
    type Error = ParseRepositoryNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text that is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a tag is at most 128 letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"
)]
pub struct ParseTagError;

/// A tag: a name within a repository that points to a manifest.
///
/// 1 to 128 characters of `[a-zA-Z0-9._-]`, the first neither `.` nor `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// The longest tag, in characters.
    pub const MAX_LENGTH: usize = 128;

    /// The tag as it stands in a path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ParseTagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = text.len() <= Self::MAX_LENGTH
            && text.bytes().next().is_some_and(is_word)
            && text
                .bytes()
                .all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(ParseTagError)
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = ParseTagError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.as_str().to_owned()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By a tag, which may point elsewhere tomorrow.
    Tag(Tag),
    /// By its digest, which always means the same bytes.
    Digest(Digest),
}

/// A text that is neither a tag nor a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseReferenceError {
    /// It has no colon, so it was meant as a tag.
    #[error(transparent)]
    Tag(#[from] ParseTagError),
    /// It has a colon, which no tag has, so it was meant as a digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_specification_are_accepted() {
        let longest = "a".repeat(255);
        for name in [
            "a",
            "library/alpine",
            "a.b",
            "a_b",
            "a__b",
            "a-b",
            "a---b",
            "0/1/2",
            "blobs/uploads",
            "a.b_c__d--e/f",
            &longest,
        ] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        let too_long = "a".repeat(256);
        for name in [
            "", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "A", "a..b", "a___b", "a._b", "_a",
            "a_", "-a", "a-", ".a", "a b", "a%2Fb", "ä", "a\0", "a-.b", &too_long,
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
    }

    #[test]
    fn tags_follow_their_grammar() {
        let (longest, too_long) = ("t".repeat(128), "t".repeat(129));
        for tag in ["latest", "_", "v1.2-3_4", "A", "1", &longest] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in [
            "", ".a", "-a", "a/b", "a:b", "a b", "..", "é", "a+b", &too_long,
        ] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
    }

    #[test]
    fn a_reference_with_a_colon_is_a_digest_and_nothing_else() {
        let digest = Digest::of(crate::domain::digest::Algorithm::Sha256, b"");
        assert_eq!(digest.to_string().parse(), Ok(Reference::Digest(digest)));
        assert!(matches!("v1".parse(), Ok(Reference::Tag(_))));
        assert!(matches!(
            "sha256:abc".parse::<Reference>(),
            Err(ParseReferenceError::Digest(_))
        ));
    }
}
