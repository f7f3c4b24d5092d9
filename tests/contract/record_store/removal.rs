//! `remove`.

use octoserve::ports::record_store::{Expected, RemoveOutcome};

use super::values::keys_of_every_kind;
use super::{leaves, remove, set, value, version};
use crate::adapters::{Adapter, at_once};
use crate::names::{repository, sha256, tag};

async fn a_removed_record_is_gone_for_every_opening(adapter: Adapter) {
    let (store, other) = (adapter.records(), adapter.records());
    for key in keys_of_every_kind("a/b") {
        set(&*store, &key, "value").await;
        assert_eq!(value(&*other, &key).await.as_deref(), Some("value"));
        assert_eq!(
            remove(&*store, &key, &Expected::Any).await,
            RemoveOutcome::Removed
        );
        for store in [&store, &other, &adapter.records()] {
            assert_eq!(value(&**store, &key).await, None);
            let listed = leaves(&**store, &key.set()).await;
            assert!(!listed.contains(&key.leaf()), "{key:?} is still listed");
        }
    }
}

async fn removing_what_is_not_there_says_so(adapter: Adapter) {
    let store = adapter.records();
    for key in keys_of_every_kind("a") {
        assert_eq!(
            remove(&*store, &key, &Expected::Any).await,
            RemoveOutcome::Absent
        );
        set(&*store, &key, "value").await;
        let expected = Expected::Matches(version(&*store, &key).await);
        assert_eq!(
            remove(&*store, &key, &expected).await,
            RemoveOutcome::Removed
        );
        assert_eq!(
            remove(&*store, &key, &expected).await,
            RemoveOutcome::Absent
        );
        assert_eq!(
            remove(&*store, &key, &Expected::Any).await,
            RemoveOutcome::Absent
        );
    }
}

async fn another_version_is_not_removed(adapter: Adapter) {
    let store = adapter.records();
    let key = tag("a", "v1");
    set(&*store, &key, "one").await;
    let one = Expected::Matches(version(&*store, &key).await);
    set(&*store, &key, "two").await;
    assert_eq!(remove(&*store, &key, &one).await, RemoveOutcome::Conflict);
    assert_eq!(value(&*store, &key).await.as_deref(), Some("two"));
}

async fn expecting_nothing_removes_nothing(adapter: Adapter) {
    let store = adapter.records();
    let key = tag("a", "v1");
    assert_eq!(
        remove(&*store, &key, &Expected::Absent).await,
        RemoveOutcome::Absent
    );
    set(&*store, &key, "one").await;
    assert_eq!(
        remove(&*store, &key, &Expected::Absent).await,
        RemoveOutcome::Conflict
    );
    assert_eq!(value(&*store, &key).await.as_deref(), Some("one"));
}

async fn a_removal_leaves_its_neighbours(adapter: Adapter) {
    let store = adapter.records();
    let keys: Vec<_> = ["a", "a/b"]
        .into_iter()
        .flat_map(keys_of_every_kind)
        .collect();
    for key in &keys {
        set(&*store, key, "value").await;
    }
    for (position, key) in keys.iter().enumerate() {
        assert_eq!(
            remove(&*store, key, &Expected::Any).await,
            RemoveOutcome::Removed
        );
        for (other, key) in keys.iter().enumerate() {
            let stays = other > position;
            assert_eq!(value(&*store, key).await.is_some(), stays, "{key:?}");
        }
    }
}

/// The last record of a set takes what the set needed with it, at the moment
/// at which others remove or write theirs.
async fn records_of_one_set_come_and_go_at_once(adapter: Adapter) {
    use octoserve::domain::record_key::RecordKey;
    let (one, other) = (adapter.open(), adapter.open());
    let subject = sha256(b"subject");
    at_once(4, async |number| {
        let store = if number % 2 == 0 { &one } else { &other };
        let name = repository("a");
        let keys = [
            RecordKey::Referrer(name.clone(), subject, sha256(&[number as u8])),
            RecordKey::Tagged(name, subject, format!("v{number}").parse().expect("a tag")),
        ];
        for round in 0..150 {
            for key in &keys {
                set(&*store.records, key, &round.to_string()).await;
                let stored = value(&*store.records, key).await;
                assert_eq!(stored, Some(round.to_string()), "just written");
                let listed = leaves(&*store.records, &key.set()).await;
                assert!(listed.contains(&key.leaf()), "just written");
                let removed = remove(&*store.records, key, &Expected::Any).await;
                assert_eq!(removed, RemoveOutcome::Removed, "nobody else does");
                assert_eq!(value(&*store.records, key).await, None, "just removed");
            }
        }
    });
}

on_every_adapter!(
    a_removed_record_is_gone_for_every_opening,
    removing_what_is_not_there_says_so,
    another_version_is_not_removed,
    expecting_nothing_removes_nothing,
    a_removal_leaves_its_neighbours,
    records_of_one_set_come_and_go_at_once,
);
