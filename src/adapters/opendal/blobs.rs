//! Blobs: a pointer each, and the objects that it names.
//!
//! A blob is there when its pointer is, and whoever stores a blob that is there
//! replaces the pointer by one to its own bytes, which were hashed just now; so
//! damaged content is repaired. A blob is removed by replacing its pointer, by
//! compare-and-swap, with one that says so. What a pointer named before is
//! remembered in the next one: whoever is reading it may go on, until it is
//! collected as a leftover of long ago.
//!
//! In the end the pointer goes as well: it is replaced with one that says that
//! it *vanishes*, and then removed. Whoever stores the blob between the two
//! waits until the key is free. What vanishes and does not, because who removed
//! it has died, is taken over as [`records`](super::records) has it for
//! tombstones.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use opendal::Buffer;
use uuid::Uuid;

use super::bucket::{Condition, Object, Put, pause};
use super::content::BucketContent;
use super::pointer::{LARGEST_INLINE, Place, Pointer};
use super::records::LONGEST_REMOVAL;
use super::{OpendalStore, Patience, damaged, layout, unencodable};
use crate::domain::digest::Digest;
use crate::domain::hasher::Hasher;
use crate::domain::range::ByteRange;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobSource, BlobStat, BlobVersion, FinishOutcome,
    HashedBlob, Leftover, ListedBlob, RemoteContent, UploadStatus,
};
use crate::ports::body::Body;
use crate::ports::{BlobStore, StoreError, StoreErrorKind};

#[async_trait]
impl BlobStore for OpendalStore {
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError> {
        let found = self.pointer(digest).await?;
        Ok(found.map(|(pointer, _)| pointer.stat()))
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        let pointer = match self.recall_pointer(digest) {
            Some(pointer) => pointer,
            None => match self.pointer(digest).await? {
                Some((pointer, _)) => Arc::new(pointer),
                None => return Ok(None),
            },
        };
        let size = pointer.size;
        let whole = ByteRange {
            start: 0,
            end: size,
        };
        let range = range.unwrap_or(whole);
        let source = match (&pointer.place, self.options().redirect) {
            (Place::Inline(content), _) => BlobSource::Memory(content.clone()).part(range),
            (Place::Parts(parts), Some(expiry)) if parts.len() == 1 => {
                let key = parts.first().map_or("", |part| part.key.as_str());
                BlobSource::Redirect(self.bucket().presign(key, expiry).await?)
            }
            (Place::Parts(_) | Place::Removed | Place::Vanishing, _) => {
                BlobSource::Remote(self.content(Arc::clone(&pointer)), whole).part(range)
            }
        };
        if let Place::Parts(_) = pointer.place {
            self.remember_pointer(digest, pointer);
        }
        Ok(Some(BlobContent { size, source }))
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        match self.pointer(digest).await? {
            Some((pointer, _)) if pointer.size <= limit => {
                let mut content = Vec::new();
                let read = self.read_through(pointer, |piece| content.extend_from_slice(piece));
                Ok(read.await?.map(|()| content.into()))
            }
            _ => Ok(None),
        }
    }

    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        let Some((pointer, _)) = self.pointer(digest).await? else {
            return Ok(None);
        };
        let stat = pointer.stat();
        let mut hasher = Hasher::new(digest.algorithm());
        let read = self.read_through(pointer, |piece| hasher.update(piece));
        let is_there = read.await?.is_some();
        Ok(is_there.then(|| HashedBlob {
            stat,
            actual: hasher.finish(),
        }))
    }

    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError> {
        let size = content.len() as u64;
        let place = match content.len() <= LARGEST_INLINE {
            true => Place::Inline(content),
            false => {
                let part = self.store_part(Uuid::new_v4(), Buffer::from(content));
                Place::Parts(vec![part.await?])
            }
        };
        self.publish(digest, size, place).await
    }

    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        let key = layout::blob(digest);
        let mut patience = Patience::new(&key);
        loop {
            let Some((pointer, etag)) = self.pointer(digest).await? else {
                return Ok(false);
            };
            let renewed = pointer.successor(pointer.size, self.now(), pointer.place.clone());
            if self.replace_pointer(&key, etag, &renewed).await? {
                return Ok(true);
            }
            patience.spend()?;
        }
    }

    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        self.list_blobs(after, limit).await
    }

    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let key = layout::blob(digest);
        let mut patience = Patience::new(&key);
        loop {
            let Some((pointer, etag)) = self.pointer(digest).await? else {
                return Ok(BlobRemoval::Absent);
            };
            if pointer.stat().version != *version {
                return Ok(BlobRemoval::Changed);
            }
            let removed = pointer.successor(pointer.size, self.now(), Place::Removed);
            if self.replace_pointer(&key, etag, &removed).await? {
                self.forget_pointer(digest);
                return Ok(BlobRemoval::Removed);
            }
            patience.spend()?;
        }
    }

    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError> {
        self.begin_upload(session).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        self.upload_status(id).await
    }

    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        self.append_upload(id, offset, body).await
    }

    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        self.finish_upload(id, offset, body, digest).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError> {
        self.abandon_upload(id).await
    }

    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        self.stale_sessions(before, limit).await
    }

    async fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        self.list_leftovers(before, limit).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        self.take_leftover(leftover).await
    }
}

impl Pointer {
    pub(super) const fn stat(&self) -> BlobStat {
        BlobStat {
            size: self.size,
            leased: self.leased,
            version: BlobVersion::new(self.nonce.into_bytes()),
        }
    }
}

impl OpendalStore {
    /// The pointer to a blob that is there, and what its object is called.
    pub(super) async fn pointer(
        &self,
        digest: &Digest,
    ) -> Result<Option<(Pointer, String)>, StoreError> {
        let key = layout::blob(digest);
        let Some(Object { content, etag, .. }) = self.bucket().get(&key).await? else {
            return Ok(None);
        };
        let pointer = Pointer::decode(&content).ok_or_else(|| damaged(&key))?;
        Ok(pointer.is_stored().then_some((pointer, etag)))
    }

    fn content(&self, pointer: Arc<Pointer>) -> Arc<dyn RemoteContent> {
        let retries = self.options().retries;
        Arc::new(BucketContent::new(self.bucket().clone(), retries, pointer))
    }

    /// Reads content whole, piece by piece; `None` if its bytes are gone.
    async fn read_through(
        &self,
        pointer: Pointer,
        mut take: impl FnMut(&[u8]) + Send,
    ) -> Result<Option<()>, StoreError> {
        let whole = ByteRange {
            start: 0,
            end: pointer.size,
        };
        if let Place::Inline(content) = &pointer.place {
            take(content);
            return Ok(Some(()));
        }
        let mut content = self.content(Arc::new(pointer)).stream(whole);
        loop {
            match content.try_next().await {
                Ok(Some(piece)) => take(&piece),
                Ok(None) => return Ok(Some(())),
                Err(error) if error.kind() == StoreErrorKind::Damaged => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes content a blob, whether or not it is one already.
    pub(super) async fn publish(
        &self,
        digest: &Digest,
        size: u64,
        place: Place,
    ) -> Result<BlobStat, StoreError> {
        let key = layout::blob(digest);
        let mut patience = Patience::new(&key);
        let mut condition = Condition::Absent;
        let mut pointer = Pointer::new(size, self.now(), place);
        loop {
            let object = pointer.encode().map_err(unencodable)?;
            if self.bucket().put_if(&key, &object, &condition).await? != Put::Refused {
                self.forget_pointer(digest);
                return Ok(pointer.stat());
            }
            patience.spend()?;
            (pointer, condition) = match self.bucket().get(&key).await? {
                None => (pointer, Condition::Absent),
                Some(object) => match Pointer::decode(&object.content) {
                    Some(Pointer {
                        place: Place::Vanishing,
                        ..
                    }) => {
                        self.clear_vanishing(&key, object).await?;
                        (pointer, Condition::Absent)
                    }
                    Some(there) => {
                        let next = there.successor(size, self.now(), pointer.place);
                        (next, Condition::Matches(object.etag))
                    }
                    // What does not read is replaced all the same.
                    None => (pointer, Condition::Matches(object.etag)),
                },
            };
        }
    }

    /// Replaces a pointer; `false` if another one than expected is there.
    async fn replace_pointer(
        &self,
        key: &str,
        etag: String,
        pointer: &Pointer,
    ) -> Result<bool, StoreError> {
        let object = pointer.encode().map_err(unencodable)?;
        let condition = Condition::Matches(etag);
        let put = self.bucket().put_if(key, &object, &condition).await?;
        Ok(put != Put::Refused)
    }

    /// Waits a moment for a pointer that vanishes to be gone, or sees to it.
    async fn clear_vanishing(&self, key: &str, object: Object) -> Result<(), StoreError> {
        if self.is_older(&object, LONGEST_REMOVAL) {
            self.vanish(key, object.etag).await?;
        } else {
            pause(0).await;
        }
        Ok(())
    }

    /// Removes a pointer to nothing; `false` if it is another one by now.
    pub(super) async fn vanish(&self, key: &str, etag: String) -> Result<bool, StoreError> {
        let vanishing = Pointer::new(0, self.now(), Place::Vanishing);
        if !self.replace_pointer(key, etag, &vanishing).await? {
            return Ok(false);
        }
        // Should this fail, it is left to whoever meets it.
        let _ = tokio::time::timeout(LONGEST_REMOVAL / 4, self.bucket().delete_once(key)).await;
        Ok(true)
    }
}
