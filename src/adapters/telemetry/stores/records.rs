//! A record store that reports what is asked of it.

use std::sync::Arc;

use async_trait::async_trait;

use super::operation::{Ended, StoreObserver};
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, WriteOutcome,
};
use crate::ports::{RecordStore, StoreError};

/// A record store whose operations are reported.
pub struct ObservedRecords {
    store: Arc<dyn RecordStore>,
    observer: StoreObserver,
}

impl ObservedRecords {
    /// Reports what is asked of `store`.
    #[must_use]
    pub const fn new(store: Arc<dyn RecordStore>, observer: StoreObserver) -> Self {
        Self { store, observer }
    }
}

#[async_trait]
impl RecordStore for ObservedRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let work = self.store.get(key);
        let ended = |record: &Option<StoredRecord>| match record {
            Some(record) => Ended::found(true).with_bytes(record.value.len() as u64),
            None => Ended::found(false),
        };
        self.observer
            .watch("record.get", key.kind(), work, ended)
            .await
    }

    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        let bytes = writes.iter().map(|write| write.value.len() as u64).sum();
        let work = self.store.write(writes);
        let ended = |outcome: &WriteOutcome| {
            let ended = Ended::as_(match outcome {
                WriteOutcome::Written => "ok",
                WriteOutcome::Conflict(_) => "conflict",
            });
            ended.with_bytes(bytes)
        };
        self.observer
            .watch("record.write", kind_of(writes), work, ended)
            .await
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let work = self.store.remove(key, expected);
        let ended = |outcome: &RemoveOutcome| {
            Ended::as_(match outcome {
                RemoveOutcome::Removed => "ok",
                RemoveOutcome::Absent => "absent",
                RemoveOutcome::Conflict => "conflict",
            })
        };
        self.observer
            .watch("record.remove", key.kind(), work, ended)
            .await
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        let work = self.store.list(set, after, limit);
        let ended = |_: &Vec<RecordKey>| Ended::as_("ok");
        self.observer
            .watch("record.list", kind_of_set(set), work, ended)
            .await
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let work = self.store.repositories(after, limit);
        let ended = |_: &Vec<RepositoryName>| Ended::as_("ok");
        self.observer
            .watch("record.repositories", "repository", work, ended)
            .await
    }
}

/// One word for a series of writes: that of its records, if they are of one
/// kind.
fn kind_of(writes: &[RecordWrite]) -> &'static str {
    let mut kinds = writes.iter().map(|write| write.key.kind());
    match kinds.next() {
        Some(first) if kinds.all(|kind| kind == first) => first,
        Some(_) => "several",
        None => "none",
    }
}

const fn kind_of_set(set: &RecordSet) -> &'static str {
    match set {
        RecordSet::Jobs => "job",
        RecordSet::Repositories => "repository",
        RecordSet::Claims(_) => "claim",
        RecordSet::Referrers(..) => "referrer",
        RecordSet::Revisions(_) => "revision",
        RecordSet::Tagged(..) => "tagged",
        RecordSet::Tags(_) => "tag",
    }
}
