//! `get` and `write`.

use bytes::Bytes;
use octoserve::domain::digest::Digest;
use octoserve::domain::record_key::{Job, RecordKey, RecordSet};
use octoserve::ports::record_store::{Expected, WriteOutcome};

use super::{set, value, write, write_of};
use crate::adapters::Adapter;
use crate::names::{repository, sha256, sha512, tag};

/// A key of each kind, for each of two digests where it has one.
pub(super) fn keys_of_every_kind(name: &str) -> Vec<RecordKey> {
    let repository = repository(name);
    let RecordKey::Tag(_, tag) = tag(name, "v1") else {
        unreachable!("a tag's key is a tag's key");
    };
    let mut keys = vec![
        RecordKey::Repository(repository.clone()),
        RecordKey::Tag(repository.clone(), tag.clone()),
    ];
    let subject: Digest = sha256(b"subject");
    for digest in [sha256(b"one"), sha512(b"one")] {
        keys.extend([
            RecordKey::Claim(repository.clone(), digest),
            RecordKey::Referrer(repository.clone(), subject, digest),
            RecordKey::Referrer(repository.clone(), digest, subject),
            RecordKey::Revision(repository.clone(), digest),
            RecordKey::Tagged(repository.clone(), digest, tag.clone()),
        ]);
    }
    keys
}

async fn a_key_without_a_record_has_no_value(adapter: Adapter) {
    let store = adapter.records();
    for key in keys_of_every_kind("library/alpine") {
        assert_eq!(store.get(&key).await.expect("reads"), None);
    }
}

async fn every_key_has_a_value_of_its_own(adapter: Adapter) {
    let store = adapter.records();
    // Names that could meet in a careless tree.
    let names = [
        "a",
        "a/b",
        "a/b/c",
        "a-b",
        "a_b",
        "a.b",
        "tags",
        "a/tags/v1",
        "blobs/sha256",
    ];
    let keys: Vec<_> = names.into_iter().flat_map(keys_of_every_kind).collect();
    for (number, key) in keys.iter().enumerate() {
        set(&*store, key, &format!("value {number}")).await;
    }
    for store in [store, adapter.records()] {
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(
                value(&*store, key).await,
                Some(format!("value {number}")),
                "{key:?}"
            );
        }
    }
}

async fn jobs_have_records_in_a_set_of_their_own(adapter: Adapter) {
    let (store, other) = (adapter.records(), adapter.records());
    for job in Job::ALL {
        set(&*store, &RecordKey::Job(job), job.as_str()).await;
    }
    set(&*store, &RecordKey::Repository(repository("collect")), "r").await;
    let listed = other.list(&RecordSet::Jobs, None, 10).await;
    assert_eq!(listed.expect("lists"), Job::ALL.map(RecordKey::Job));
    for job in Job::ALL {
        let stored = value(&*other, &RecordKey::Job(job)).await;
        assert_eq!(stored.as_deref(), Some(job.as_str()));
    }
    assert_eq!(other.repositories(None, 10).await.expect("lists"), []);
}

async fn the_longest_names_are_stored(adapter: Adapter) {
    let store = adapter.records();
    let components = "a/".repeat(127) + "a";
    for name in ["a".repeat(255), components] {
        for key in keys_of_every_kind(&name) {
            set(&*store, &key, "value").await;
            assert_eq!(value(&*store, &key).await.as_deref(), Some("value"));
        }
        let longest = tag(&name, &"t".repeat(128));
        set(&*store, &longest, "value").await;
        assert_eq!(value(&*store, &longest).await.as_deref(), Some("value"));
    }
}

async fn the_last_value_written_is_read_by_every_opening(adapter: Adapter) {
    let openings = [adapter.records(), adapter.records(), adapter.records()];
    let key = tag("a", "v1");
    for (round, writer) in (0..30).zip(openings.iter().cycle()) {
        let written = format!("round {round}");
        set(&**writer, &key, &written).await;
        for store in &openings {
            assert_eq!(
                value(&**store, &key).await.as_deref(),
                Some(written.as_str())
            );
        }
    }
    let reopened = adapter.records();
    assert_eq!(value(&*reopened, &key).await.as_deref(), Some("round 29"));
}

async fn a_version_tells_a_value_from_the_one_before(adapter: Adapter) {
    let store = adapter.records();
    let key = tag("a", "v1");
    set(&*store, &key, "one").await;
    let one = store.get(&key).await.expect("reads");
    assert_eq!(
        store.get(&key).await.expect("reads"),
        one,
        "nothing has changed"
    );
    set(&*store, &key, "two").await;
    let two = store.get(&key).await.expect("reads");
    assert_ne!(
        two.map(|stored| stored.version),
        one.map(|stored| stored.version)
    );
}

async fn records_are_written_together_in_order(adapter: Adapter) {
    let store = adapter.records();
    let keys = keys_of_every_kind("a/b");
    let writes: Vec<_> = keys
        .iter()
        .map(|key| write_of(key, &key.leaf(), Expected::Absent))
        .collect();
    let outcome = store.write(&writes).await.expect("writes");
    assert_eq!(outcome, WriteOutcome::Written);
    for store in [store, adapter.records()] {
        for key in &keys {
            assert_eq!(value(&*store, key).await, Some(key.leaf()));
        }
    }
}

async fn the_same_key_may_be_written_twice_at_once(adapter: Adapter) {
    let store = adapter.records();
    let key = tag("a", "v1");
    let writes = [
        write_of(&key, "one", Expected::Absent),
        write_of(&key, "two", Expected::Any),
    ];
    assert_eq!(
        store.write(&writes).await.expect("writes"),
        WriteOutcome::Written
    );
    assert_eq!(value(&*store, &key).await.as_deref(), Some("two"));
}

async fn no_writes_are_written(adapter: Adapter) {
    let outcome = adapter.records().write(&[]).await.expect("writes");
    assert_eq!(outcome, WriteOutcome::Written);
}

async fn a_conflict_stops_the_writes_after_it(adapter: Adapter) {
    let store = adapter.records();
    let key = |number: usize| tag("a", &format!("v{number}"));
    set(&*store, &key(2), "there").await;
    let writes: Vec<_> = (0..5)
        .map(|number| write_of(&key(number), "new", Expected::Absent))
        .collect();
    let outcome = store.write(&writes).await.expect("answers");
    assert_eq!(outcome, WriteOutcome::Conflict(2));
    for store in [store, adapter.records()] {
        let mut values = Vec::new();
        for number in 0..5 {
            values.push(value(&*store, &key(number)).await);
        }
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        assert_eq!(
            values,
            [Some("new"), Some("new"), Some("there"), None, None]
        );
    }
}

async fn writing_what_is_there_is_a_write_like_any_other(adapter: Adapter) {
    let store = adapter.records();
    let key = tag("a", "v1");
    set(&*store, &key, "same").await;
    assert!(!write(&*store, &key, "same", Expected::Absent).await);
    let version = super::version(&*store, &key).await;
    assert!(write(&*store, &key, "same", Expected::Matches(version)).await);
    set(&*store, &key, "same").await;
    assert_eq!(value(&*store, &key).await.as_deref(), Some("same"));
}

async fn values_of_any_bytes_are_kept(adapter: Adapter) {
    let store = adapter.records();
    for length in [1, 2, 4096, 1_000_000] {
        let key = tag("a", &format!("v{length}"));
        let content: Bytes = crate::bodies::content(length, length as usize);
        let write = octoserve::ports::record_store::RecordWrite {
            key: key.clone(),
            value: content.clone(),
            expected: Expected::Absent,
        };
        store.write(&[write]).await.expect("writes");
        let stored = store.get(&key).await.expect("reads").expect("a record");
        assert!(stored.value == content);
    }
}

on_every_adapter!(
    a_key_without_a_record_has_no_value,
    every_key_has_a_value_of_its_own,
    jobs_have_records_in_a_set_of_their_own,
    the_longest_names_are_stored,
    the_last_value_written_is_read_by_every_opening,
    a_version_tells_a_value_from_the_one_before,
    records_are_written_together_in_order,
    the_same_key_may_be_written_twice_at_once,
    no_writes_are_written,
    a_conflict_stops_the_writes_after_it,
    writing_what_is_there_is_a_write_like_any_other,
    values_of_any_bytes_are_kept,
);
