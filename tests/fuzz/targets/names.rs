//! Names, tags and references follow their grammars and read back.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use octoserve::domain::name::{Reference, RepositoryName, Tag};
use octoserve::domain::record_key::RecordKey;
use octoserve_fuzz::grammar;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };

    let repository = text.parse::<RepositoryName>();
    assert_eq!(repository.is_ok(), grammar::is_repository(text), "{text:?}");
    if let Ok(repository) = repository {
        assert_eq!(repository.as_str(), text);
        let leaves_the_tree = |component| matches!(component, "" | "." | "..");
        assert!(!text.split('/').any(leaves_the_tree));
        assert!(!text.split('/').any(|component| component.starts_with('_')));
        round_trip(&repository, text);
        in_its_set(&RecordKey::Repository(repository));
    }

    let tag = text.parse::<Tag>();
    assert_eq!(tag.is_ok(), grammar::is_tag(text), "{text:?}");
    if let Ok(tag) = &tag {
        assert_eq!(tag.as_str(), text);
        assert!(!text.contains('/') && text != "." && text != "..");
        round_trip(tag, text);
        let repository: RepositoryName = "a/b".parse().expect("a name");
        in_its_set(&RecordKey::Tag(repository, tag.clone()));
    }

    match text.parse::<Reference>() {
        Ok(reference) => {
            assert_eq!(reference.to_string(), text);
            match reference {
                Reference::Tag(found) => assert_eq!(Ok(found), tag),
                Reference::Digest(_) => assert!(grammar::is_digest(text)),
            }
        }
        Err(_) => assert!(
            !grammar::is_tag(text) && !grammar::is_digest(text),
            "{text:?}"
        ),
    }
    Corpus::Keep
});

fn round_trip<T>(value: &T, text: &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let json = serde_json::to_string(value).expect("JSON");
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<T>(&json).expect("ours"), *value);
}

/// A key is found in its set by its leaf, and so is read back from a listing.
fn in_its_set(key: &RecordKey) {
    assert_eq!(key.set().key(&key.leaf()).as_ref(), Some(key));
}
