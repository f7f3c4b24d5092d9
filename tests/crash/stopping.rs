//! A store that stops, or fails, at one of its steps.
//!
//! A step is a call of a port, a record among several that are written, and a
//! piece of a body.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::RepositoryName;
use octoserve::domain::range::ByteRange;
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::domain::upload::{UploadId, UploadSession};
use octoserve::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobStat, BlobVersion, FinishOutcome, HashedBlob,
    Leftover, ListedBlob, UploadStatus,
};
use octoserve::ports::body::{Body, BodyError};
use octoserve::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, WriteOutcome,
};
use octoserve::ports::{BlobStore, RecordStore, StoreError, StoreErrorKind};
use tokio::sync::Notify;

use crate::registry::Ports;

/// What happens at the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The process ends before it.
    StopsBefore,
    /// The process ends when it has been made and nobody has heard of it yet.
    StopsAfter,
    /// It is not made, and an error is returned.
    FailsBefore,
    /// It is made, and an error is returned all the same.
    FailsAfter,
}

impl Mishap {
    pub(crate) const ALL: [Self; 4] = [
        Self::StopsBefore,
        Self::StopsAfter,
        Self::FailsBefore,
        Self::FailsAfter,
    ];
}

/// The ports of a store with a mishap ahead.
#[derive(Clone)]
pub(crate) struct Stopping {
    inner: Ports,
    steps: Arc<Steps>,
}

struct Steps {
    /// At which step, counted from 1, what happens.
    ahead: (usize, Mishap),
    made: AtomicUsize,
    happened: Mutex<Option<String>>,
    stopped: Notify,
}

impl Stopping {
    pub(crate) fn new(inner: Ports, step: usize, mishap: Mishap) -> Self {
        let steps = Steps {
            ahead: (step, mishap),
            made: AtomicUsize::new(0),
            happened: Mutex::new(None),
            stopped: Notify::new(),
        };
        Self {
            inner,
            steps: Arc::new(steps),
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            blobs: Arc::new(self.clone()),
            records: Arc::new(self.clone()),
        }
    }

    /// Which step the mishap happened at, if it has happened.
    pub(crate) fn happened(&self) -> Option<String> {
        let happened = self.steps.happened.lock();
        happened.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a use case until it ends or is stopped; `None` if it was.
    pub(crate) async fn run<T>(&self, use_case: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.steps.stopped.notified() => None,
            ended = use_case => Some(ended),
        }
    }

    async fn step<T>(
        &self,
        call: &str,
        made: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(mishap) = self.steps.next(call) else {
            return made.await;
        };
        if matches!(mishap, Mishap::StopsAfter | Mishap::FailsAfter) {
            made.await?;
        }
        self.steps.end(mishap).await
    }

    /// A body each of whose pieces is a step.
    fn body(&self, body: Body) -> Body {
        let steps = Arc::clone(&self.steps);
        Box::pin(body.then(move |piece| {
            let steps = Arc::clone(&steps);
            async move {
                match steps.next("a piece of a body") {
                    None => piece,
                    Some(Mishap::StopsBefore | Mishap::StopsAfter) => steps.stop().await,
                    Some(Mishap::FailsBefore) => Err(BodyError::Interrupted),
                    Some(Mishap::FailsAfter) => Err(BodyError::LengthDiffers),
                }
            }
        }))
    }
}

impl Steps {
    fn next(&self, call: &str) -> Option<Mishap> {
        let step = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let (at, mishap) = self.ahead;
        (step == at).then(|| {
            let mut happened = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
            *happened = Some(format!("{mishap:?} step {step}, {call}"));
            mishap
        })
    }

    async fn end<T>(&self, mishap: Mishap) -> Result<T, StoreError> {
        match mishap {
            Mishap::StopsBefore | Mishap::StopsAfter => self.stop().await,
            Mishap::FailsBefore | Mishap::FailsAfter => {
                let kind = StoreErrorKind::Temporary;
                Err(StoreError::new(kind, "make", "a step that was to fail"))
            }
        }
    }

    async fn stop<T>(&self) -> T {
        self.stopped.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl BlobStore for Stopping {
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError> {
        self.step("stat", self.inner.blobs.stat(digest)).await
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        self.step("open", self.inner.blobs.open(digest, range))
            .await
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        self.step("read", self.inner.blobs.read(digest, limit))
            .await
    }

    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        self.step("hash", self.inner.blobs.hash(digest)).await
    }

    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError> {
        self.step("put", self.inner.blobs.put(digest, content))
            .await
    }

    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.step("touch", self.inner.blobs.touch(digest)).await
    }

    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        let list = self.inner.blobs.list(after, limit);
        self.step("list of blobs", list).await
    }

    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let removal = self.inner.blobs.remove_if_unchanged(digest, version);
        self.step("removal of a blob", removal).await
    }

    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError> {
        self.step("begin", self.inner.blobs.begin(session)).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        self.step("upload", self.inner.blobs.upload(id)).await
    }

    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        let append = self.inner.blobs.append(id, offset, self.body(body));
        self.step("append", append).await
    }

    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let body = self.body(body);
        let finish = self.inner.blobs.finish(id, offset, body, digest);
        self.step("finish", finish).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError> {
        self.step("abandon", self.inner.blobs.abandon(id)).await
    }

    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        let stale = self.inner.blobs.stale_uploads(before, limit);
        self.step("stale_uploads", stale).await
    }

    async fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        let leftovers = self.inner.blobs.leftovers(before, limit);
        self.step("leftovers", leftovers).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        let removal = self.inner.blobs.remove_leftover(leftover);
        self.step("removal of a leftover", removal).await
    }
}

#[async_trait]
impl RecordStore for Stopping {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.step("get", self.inner.records.get(key)).await
    }

    /// Writes in the order given, so a part of them may be all there is.
    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        for (position, write) in writes.iter().enumerate() {
            let call = format!("write of a {} record", write.key.kind());
            let Some(mishap) = self.steps.next(&call) else {
                continue;
            };
            let made = match mishap {
                Mishap::StopsBefore | Mishap::FailsBefore => position,
                Mishap::StopsAfter | Mishap::FailsAfter => position + 1,
            };
            self.inner.records.write(&writes[..made]).await?;
            return self.steps.end(mishap).await;
        }
        self.inner.records.write(writes).await
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let call = format!("removal of a {} record", key.kind());
        self.step(&call, self.inner.records.remove(key, expected))
            .await
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.step("list", self.inner.records.list(set, after, limit))
            .await
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let repositories = self.inner.records.repositories(after, limit);
        self.step("repositories", repositories).await
    }
}
