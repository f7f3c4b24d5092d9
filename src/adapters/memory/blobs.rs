//! Content and upload sessions in maps.

use std::ops::Bound;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use super::{MemoryStore, StoredBlob, StoredUpload};
use crate::domain::digest::Digest;
use crate::domain::range::ByteRange;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobSource, BlobStat, BlobVersion, FinishOutcome,
    HashedBlob, Leftover, ListedBlob, UploadStatus,
};
use crate::ports::body::{Body, BodyError};
use crate::ports::{BlobStore, StoreError};

#[async_trait]
impl BlobStore for MemoryStore {
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError> {
        Ok(self.state().blobs.get(digest).map(StoredBlob::stat))
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        Ok(self.state().blobs.get(digest).map(|blob| {
            let whole = BlobSource::Memory(blob.content.clone());
            BlobContent {
                size: blob.content.len() as u64,
                source: match range {
                    Some(range) => whole.part(range),
                    None => whole,
                },
            }
        }))
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        let content = self
            .state()
            .blobs
            .get(digest)
            .map(|blob| blob.content.clone());
        Ok(content.filter(|content| content.len() as u64 <= limit))
    }

    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        let state = self.state();
        Ok(state.blobs.get(digest).map(|blob| HashedBlob {
            stat: blob.stat(),
            actual: Digest::of(digest.algorithm(), &blob.content),
        }))
    }

    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError> {
        let leased = self.clock.now();
        let mut state = self.state();
        let version = state.fresh_version();
        let blob = StoredBlob {
            content,
            leased,
            version,
        };
        let stat = blob.stat();
        state.blobs.insert(*digest, blob);
        Ok(stat)
    }

    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let version = state.fresh_version();
        let Some(blob) = state.blobs.get_mut(digest) else {
            return Ok(false);
        };
        blob.leased = now;
        blob.version = version;
        Ok(true)
    }

    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
        let state = self.state();
        let following = state.blobs.range((start, Bound::Unbounded));
        let listed = following.map(|(digest, blob)| ListedBlob {
            digest: *digest,
            stat: blob.stat(),
        });
        Ok(listed.take(limit).collect())
    }

    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let mut state = self.state();
        Ok(match state.blobs.get(digest) {
            None => BlobRemoval::Absent,
            Some(blob) if blob.version != *version => BlobRemoval::Changed,
            Some(_) => {
                state.blobs.remove(digest);
                BlobRemoval::Removed
            }
        })
    }

    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError> {
        let upload = StoredUpload {
            session: session.clone(),
            data: Vec::new(),
            last_used: self.clock.now(),
            appending: false,
        };
        self.state().uploads.insert(session.id, upload);
        Ok(())
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        let state = self.state();
        Ok(state.uploads.get(&id).map(|upload| UploadStatus {
            session: upload.session.clone(),
            received: upload.data.len() as u64,
        }))
    }

    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        let appending = match Appending::start(self, id, offset) {
            Ok(appending) => appending,
            Err(Refused::Unknown) => return Ok(AppendOutcome::Unknown),
            Err(Refused::OutOfOrder { received }) => {
                return Ok(AppendOutcome::OutOfOrder { received });
            }
        };
        Ok(match appending.receive(body).await {
            Err(error) => AppendOutcome::BodyFailed(error),
            Ok(None) => AppendOutcome::Unknown,
            Ok(Some(received)) => AppendOutcome::Appended { received },
        })
    }

    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let appending = match Appending::start(self, id, offset) {
            Ok(appending) => appending,
            Err(Refused::Unknown) => return Ok(FinishOutcome::Unknown),
            Err(Refused::OutOfOrder { received }) => {
                return Ok(FinishOutcome::OutOfOrder { received });
            }
        };
        if let Err(error) = appending.receive(body).await {
            return Ok(FinishOutcome::BodyFailed(error));
        }
        let leased = self.clock.now();
        let mut state = self.state();
        let Some(upload) = state.uploads.get_mut(&id) else {
            return Ok(FinishOutcome::Unknown);
        };
        let actual = Digest::of(digest.algorithm(), &upload.data);
        if actual != *digest {
            upload.data.truncate(appending.start_length);
            return Ok(FinishOutcome::DigestDiffers { actual });
        }
        let content = Bytes::from(std::mem::take(&mut upload.data));
        let blob = StoredBlob {
            content,
            leased,
            version: state.fresh_version(),
        };
        let stat = blob.stat();
        state.blobs.insert(*digest, blob);
        state.uploads.remove(&id);
        Ok(FinishOutcome::Finished(stat))
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError> {
        Ok(self.state().uploads.remove(&id).is_some())
    }

    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        let state = self.state();
        let stale = state
            .uploads
            .values()
            .filter(|upload| upload.last_used < before);
        Ok(stale.map(|upload| upload.session.id).take(limit).collect())
    }

    // A call that is cut off takes with it what it had in memory.
    async fn leftovers(&self, _: SystemTime, _: usize) -> Result<Vec<Leftover>, StoreError> {
        Ok(Vec::new())
    }

    async fn remove_leftover(&self, _: &Leftover) -> Result<bool, StoreError> {
        Ok(false)
    }
}

impl StoredBlob {
    fn stat(&self) -> BlobStat {
        BlobStat {
            size: self.content.len() as u64,
            leased: self.leased,
            version: self.version,
        }
    }
}

enum Refused {
    Unknown,
    OutOfOrder { received: u64 },
}

/// An upload that one request appends to; another one may when this is dropped.
struct Appending<'a> {
    store: &'a MemoryStore,
    id: UploadId,
    start_length: usize,
}

impl<'a> Appending<'a> {
    fn start(store: &'a MemoryStore, id: UploadId, offset: Option<u64>) -> Result<Self, Refused> {
        let mut state = store.state();
        let upload = state.uploads.get_mut(&id).ok_or(Refused::Unknown)?;
        let received = upload.data.len() as u64;
        if upload.appending || offset.is_some_and(|offset| offset != received) {
            return Err(Refused::OutOfOrder { received });
        }
        upload.appending = true;
        Ok(Self {
            store,
            id,
            start_length: upload.data.len(),
        })
    }

    /// Appends a body; `None` if the upload was abandoned meanwhile.
    async fn receive(&self, mut body: Body) -> Result<Option<u64>, BodyError> {
        while let Some(piece) = body.next().await {
            let now = self.store.clock.now();
            let mut state = self.store.state();
            let Some(upload) = state.uploads.get_mut(&self.id) else {
                return Ok(None);
            };
            upload.last_used = now;
            match piece {
                Ok(piece) => upload.data.extend_from_slice(&piece),
                Err(error) => {
                    if !error.keeps_received() {
                        upload.data.truncate(self.start_length);
                    }
                    return Err(error);
                }
            }
        }
        let state = self.store.state();
        let upload = state.uploads.get(&self.id);
        Ok(upload.map(|upload| upload.data.len() as u64))
    }
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.store.state().uploads.get_mut(&self.id) {
            upload.appending = false;
        }
    }
}
