//! [`RecordStore`](octoserve::ports::RecordStore), point by point.

mod comparing;
mod listing;
mod racing;
mod removal;
mod repositories;
mod values;

use bytes::Bytes;
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::ports::RecordStore;
use octoserve::ports::record_store::{Expected, RecordWrite, RemoveOutcome, Version, WriteOutcome};

/// One write.
fn write_of(key: &RecordKey, value: &str, expected: Expected) -> RecordWrite {
    RecordWrite {
        key: key.clone(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expected,
    }
}

/// Writes one record; whether it was written.
async fn write(store: &dyn RecordStore, key: &RecordKey, value: &str, expected: Expected) -> bool {
    let outcome = store.write(&[write_of(key, value, expected)]).await;
    match outcome.expect("answers") {
        WriteOutcome::Written => true,
        WriteOutcome::Conflict(position) => {
            assert_eq!(position, 0, "there was one write");
            false
        }
    }
}

/// Writes one record, whatever is there.
async fn set(store: &dyn RecordStore, key: &RecordKey, value: &str) {
    assert!(
        write(store, key, value, Expected::Any).await,
        "nothing was expected"
    );
}

/// A record's value.
async fn value(store: &dyn RecordStore, key: &RecordKey) -> Option<String> {
    let stored = store.get(key).await.expect("reads");
    stored.map(|stored| String::from_utf8(stored.value.to_vec()).expect("text"))
}

/// The version of a record that is there.
async fn version(store: &dyn RecordStore, key: &RecordKey) -> Version {
    let stored = store.get(key).await.expect("reads");
    stored.expect("a record").version
}

/// Removes a record.
async fn remove(store: &dyn RecordStore, key: &RecordKey, expected: &Expected) -> RemoveOutcome {
    store.remove(key, expected).await.expect("answers")
}

/// The leaves of a set.
async fn leaves(store: &dyn RecordStore, set: &RecordSet) -> Vec<String> {
    let keys = store.list(set, None, usize::MAX).await.expect("lists");
    keys.iter().map(RecordKey::leaf).collect()
}
