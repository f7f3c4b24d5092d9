//! Records of which a test sees each change, and meddles in between.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use octoserve::domain::name::RepositoryName;
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, WriteOutcome,
};
use octoserve::ports::{RecordStore, StoreError};

/// A change that is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// This record is about to be written.
    Write(RecordKey),
    /// Records have been written, this one last.
    Written(RecordKey),
    /// This record is about to be removed.
    Remove(RecordKey),
}

type Meddler = Box<dyn Fn(Change) -> BoxFuture<'static, ()> + Send + Sync>;

/// Records that call somebody at each change.
pub(crate) struct MeddledRecords {
    records: Arc<dyn RecordStore>,
    meddler: Meddler,
}

impl MeddledRecords {
    pub(crate) fn new(
        records: Arc<dyn RecordStore>,
        meddler: impl Fn(Change) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            records,
            meddler: Box::new(meddler),
        }
    }
}

#[async_trait]
impl RecordStore for MeddledRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.records.get(key).await
    }

    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        for write in writes {
            (self.meddler)(Change::Write(write.key.clone())).await;
        }
        let outcome = self.records.write(writes).await;
        if let Some(last) = writes.last() {
            (self.meddler)(Change::Written(last.key.clone())).await;
        }
        outcome
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        (self.meddler)(Change::Remove(key.clone())).await;
        self.records.remove(key, expected).await
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.records.list(set, after, limit).await
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        self.records.repositories(after, limit).await
    }
}
