//! A blob store that reports what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use super::operation::{Ended, StoreObserver};
use crate::domain::digest::Digest;
use crate::domain::range::ByteRange;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobSource, BlobStat, BlobVersion, FinishOutcome,
    HashedBlob, Leftover, ListedBlob, UploadStatus,
};
use crate::ports::body::Body;
use crate::ports::{BlobStore, StoreError};

/// What its spans say that their operations are about.
const BLOB: &str = "blob";
const UPLOAD: &str = "upload";
const LEFTOVER: &str = "leftover";

/// A blob store whose operations are reported.
pub struct ObservedBlobs {
    store: Arc<dyn BlobStore>,
    observer: StoreObserver,
}

impl ObservedBlobs {
    /// Reports what is asked of `store`.
    #[must_use]
    pub const fn new(store: Arc<dyn BlobStore>, observer: StoreObserver) -> Self {
        Self { store, observer }
    }
}

#[async_trait]
impl BlobStore for ObservedBlobs {
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError> {
        let work = self.store.stat(digest);
        let ended = |stat: &Option<BlobStat>| Ended::found(stat.is_some());
        self.observer.watch("blob.stat", BLOB, work, ended).await
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        let work = self.store.open(digest, range);
        let ended = |content: &Option<BlobContent>| match content {
            Some(content) => Ended::found(true).with_bytes(length(&content.source)),
            None => Ended::found(false),
        };
        self.observer.watch("blob.open", BLOB, work, ended).await
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        let work = self.store.read(digest, limit);
        let ended = |content: &Option<Bytes>| match content {
            Some(content) => Ended::found(true).with_bytes(content.len() as u64),
            None => Ended::found(false),
        };
        self.observer.watch("blob.read", BLOB, work, ended).await
    }

    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        let work = self.store.hash(digest);
        let ended = |hashed: &Option<HashedBlob>| match hashed {
            Some(hashed) => Ended::found(true).with_bytes(hashed.stat.size),
            None => Ended::found(false),
        };
        self.observer.watch("blob.hash", BLOB, work, ended).await
    }

    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError> {
        let bytes = content.len() as u64;
        let work = self.store.put(digest, content);
        let ended = |_: &BlobStat| Ended::as_("ok").with_bytes(bytes);
        self.observer.watch("blob.put", BLOB, work, ended).await
    }

    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        let work = self.store.touch(digest);
        let ended = |touched: &bool| Ended::found(*touched);
        self.observer.watch("blob.touch", BLOB, work, ended).await
    }

    async fn touch_all(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let work = self.store.touch_all(digests);
        let ended = |missing: &Vec<Digest>| Ended::found(missing.is_empty());
        self.observer
            .watch("blob.touch_all", BLOB, work, ended)
            .await
    }

    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        let work = self.store.list(after, limit);
        let ended = |_: &Vec<ListedBlob>| Ended::as_("ok");
        self.observer.watch("blob.list", BLOB, work, ended).await
    }

    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let work = self.store.remove_if_unchanged(digest, version);
        let ended = |removal: &BlobRemoval| {
            Ended::as_(match removal {
                BlobRemoval::Removed => "ok",
                BlobRemoval::Absent => "absent",
                BlobRemoval::Changed => "conflict",
            })
        };
        self.observer.watch("blob.remove", BLOB, work, ended).await
    }

    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError> {
        let work = self.store.begin(session);
        let ended = |(): &()| Ended::as_("ok");
        self.observer
            .watch("upload.begin", UPLOAD, work, ended)
            .await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        let work = self.store.upload(id);
        let ended = |status: &Option<UploadStatus>| Ended::found(status.is_some());
        self.observer
            .watch("upload.status", UPLOAD, work, ended)
            .await
    }

    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        let (body, taken) = counted(body);
        let work = self.store.append(id, offset, body);
        let ended = |outcome: &AppendOutcome| {
            let ended = Ended::as_(match outcome {
                AppendOutcome::Appended { .. } => "ok",
                AppendOutcome::Unknown => "absent",
                AppendOutcome::OutOfOrder { .. } => "out_of_order",
                AppendOutcome::BodyFailed(_) => "body_failed",
            });
            ended.with_bytes(taken.load(Ordering::Relaxed))
        };
        self.observer
            .watch("upload.append", UPLOAD, work, ended)
            .await
    }

    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let (body, taken) = counted(body);
        let work = self.store.finish(id, offset, body, digest);
        let ended = |outcome: &FinishOutcome| {
            let ended = Ended::as_(match outcome {
                FinishOutcome::Finished(_) => "ok",
                FinishOutcome::Unknown => "absent",
                FinishOutcome::OutOfOrder { .. } => "out_of_order",
                FinishOutcome::BodyFailed(_) => "body_failed",
                FinishOutcome::DigestDiffers { .. } => "digest_differs",
            });
            ended.with_bytes(taken.load(Ordering::Relaxed))
        };
        self.observer
            .watch("upload.finish", UPLOAD, work, ended)
            .await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError> {
        let work = self.store.abandon(id);
        let ended = |abandoned: &bool| Ended::found(*abandoned);
        self.observer
            .watch("upload.abandon", UPLOAD, work, ended)
            .await
    }

    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        let work = self.store.stale_uploads(before, limit);
        let ended = |_: &Vec<UploadId>| Ended::as_("ok");
        self.observer
            .watch("upload.list", UPLOAD, work, ended)
            .await
    }

    async fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        let work = self.store.leftovers(before, limit);
        let ended = |_: &Vec<Leftover>| Ended::as_("ok");
        self.observer
            .watch("leftover.list", LEFTOVER, work, ended)
            .await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        let work = self.store.remove_leftover(leftover);
        let ended = |removed: &bool| Ended::found(*removed).with_bytes(leftover.size);
        self.observer
            .watch("leftover.remove", LEFTOVER, work, ended)
            .await
    }
}

const fn length(source: &BlobSource) -> u64 {
    match source {
        BlobSource::Memory(content) => content.len() as u64,
        BlobSource::File(_, range) | BlobSource::Remote(_, range) => range.length(),
        BlobSource::Redirect(_) => 0,
    }
}

/// The same body, and how many bytes of it were taken so far.
fn counted(body: Body) -> (Body, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let body = body.inspect(move |piece| {
        if let Ok(piece) = piece {
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    (Box::pin(body), taken)
}
