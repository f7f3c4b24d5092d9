//! What clients know of a store, to be compared between two states of it.

use std::collections::BTreeMap;

use crate::stored::Stored;

/// Every fact by what it is about.
pub(crate) type Facts = BTreeMap<String, String>;

/// What a store says to clients. Hints are for the store itself, and content
/// that nobody claims is for nobody.
pub(crate) fn facts(stored: &Stored) -> Facts {
    let mut facts = Facts::new();
    for name in &stored.repositories {
        facts.insert(format!("repository {name}"), String::new());
    }
    for ((name, digest), size) in &stored.claims {
        facts.insert(format!("blob {name}@{digest}"), size.to_string());
    }
    for ((name, digest), revision) in &stored.revisions {
        facts.insert(format!("manifest {name}@{digest}"), format!("{revision:?}"));
    }
    for ((name, subject, digest), descriptor) in &stored.referrers {
        facts.insert(
            format!("referrer {digest} of {name}@{subject}"),
            format!("{descriptor:?}"),
        );
    }
    for ((name, tag), digest) in &stored.tags {
        facts.insert(format!("tag {name}:{tag}"), digest.to_string());
    }
    facts
}

/// What of `now` is neither as it was before a change nor as it is after it.
pub(crate) fn lost_or_invented(before: &Facts, after: &Facts, now: &Facts) -> Vec<String> {
    let subjects = before.keys().chain(after.keys()).chain(now.keys());
    let strange = subjects.filter(|subject| {
        let is = now.get(*subject);
        is != before.get(*subject) && is != after.get(*subject)
    });
    strange
        .map(|subject| format!("{subject} is {:?}", now.get(subject)))
        .collect()
}
