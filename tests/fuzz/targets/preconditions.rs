//! Entity tags and the conditions that they make. An input is a line with the
//! entity tag of what is there, and a line with a header.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use octoserve::domain::precondition::{EntityTags, Preconditions};
use regex_lite::Regex;

/// RFC 9110, 8.8.3 and 5.6.1: a list of entity tags, here without commas in
/// them, as a digest has none.
static LIST: LazyLock<Regex> = LazyLock::new(|| {
    let tag = r#"(W/)?"[!#-+\--~]*""#;
    Regex::new(&format!(r"^{tag}([ \t]*,[ \t]*{tag})*$")).expect("an expression")
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let (current, header) = text.split_once('\n').unwrap_or(("", text));
    let tags = EntityTags::parse(header);

    if LIST.is_match(header) {
        let listed = header.split(',').map(|tag| {
            let opaque = tag.trim_matches([' ', '\t']).trim_start_matches("W/");
            opaque.trim_matches('"').to_owned()
        });
        assert_eq!(tags, EntityTags::Listed(listed.collect()), "{header:?}");
    }
    if header == "*" {
        assert_eq!(tags, EntityTags::Any);
    }
    if !current.contains([',', '"']) {
        let own = EntityTags::parse(&format!("\"other\", W/\"{current}\""));
        assert!(own.includes(current), "{current:?}");
    }

    let there = tags.includes(current);
    let if_match = Preconditions {
        if_match: Some(tags.clone()),
        if_none_match: None,
    };
    let if_none_match = Preconditions {
        if_match: None,
        if_none_match: Some(tags.clone()),
    };
    let both = Preconditions {
        if_match: Some(tags.clone()),
        if_none_match: Some(tags),
    };
    assert!(!if_match.hold(None), "there is nothing to match");
    assert!(
        if_none_match.hold(None),
        "there is nothing that could match"
    );
    assert_eq!(if_match.hold(Some(current)), there);
    assert_eq!(if_none_match.hold(Some(current)), !there);
    assert!(
        !both.hold(Some(current)) && !both.hold(None),
        "they exclude each other"
    );
    assert!(Preconditions::default().hold(Some(current)));
    Corpus::Keep
});
