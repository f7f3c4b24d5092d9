//! Content by its digest, and the upload sessions that bring it in.

use std::fmt::Debug;
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::body::{Body, BodyError};
use super::store_error::StoreError;
use crate::domain::digest::Digest;
use crate::domain::range::ByteRange;
use crate::domain::upload::{UploadId, UploadSession};

/// Tells a state of a stored blob from every other one that its digest has had:
/// whenever a blob is stored or its lease renewed, this becomes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobVersion([u8; 16]);

impl BlobVersion {
    /// The version that a store tells by these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// What a store knows of a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// The content's length in bytes.
    pub size: u64,
    /// When the blob's lease was last renewed, by the store's own clock.
    pub leased: SystemTime,
    /// Which of the blob's states this is.
    pub version: BlobVersion,
}

/// A blob as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedBlob {
    /// What it is called.
    pub digest: Digest,
    /// What it was like at some moment of the call.
    pub stat: BlobStat,
}

/// How a conditional removal of a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRemoval {
    /// The blob is gone.
    Removed,
    /// There was none.
    Absent,
    /// It has been stored anew or its lease renewed since it had that version,
    /// and stays.
    Changed,
}

/// Something in the store that belongs to no blob and no session: the rest of a
/// call that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What the store calls it; no other leftover was or will be called so.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A blob that has been read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedBlob {
    /// What the store knew of it when it was opened.
    pub stat: BlobStat,
    /// What its bytes hash to, by the algorithm of the digest it is called by.
    pub actual: Digest,
}

/// A blob that has been opened.
#[derive(Debug)]
pub struct BlobContent {
    /// The length of the whole content in bytes, whatever part was asked for.
    pub size: u64,
    /// The part that was asked for.
    pub source: BlobSource,
}

/// Where the bytes of an opened blob come from.
#[derive(Debug)]
pub enum BlobSource {
    /// They are here.
    Memory(Bytes),
    /// They are this part of a file, which is the reader's to send as cheaply
    /// as it can. The file never changes; it can only be damaged from outside,
    /// and then reading it fails or ends early.
    File(Arc<File>, ByteRange),
    /// They are this part of something that is on another machine.
    Remote(Arc<dyn RemoteContent>, ByteRange),
    /// They are elsewhere, and whoever wants them, or a part of them, fetches
    /// them there: at this URL, which needs no other credentials and is good
    /// for a while. Whatever part was asked for, it is of the whole content.
    Redirect(String),
}

/// The bytes of a part of remote content, in the pieces they arrive in.
pub type ContentStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// Content that is read over a network. It never changes.
pub trait RemoteContent: Debug + Send + Sync {
    /// Streams a part of it: exactly these bytes, or an error after fewer. A
    /// [`Damaged`](super::StoreErrorKind::Damaged) one says that they are gone.
    fn stream(&self, range: ByteRange) -> ContentStream;
}

impl BlobSource {
    /// The part of the source that begins `range.start` bytes after the
    /// source's own begin, cut at the source's end.
    #[must_use]
    pub fn part(&self, range: ByteRange) -> Self {
        match self {
            Self::Memory(content) => {
                let range = range.within(content.len() as u64);
                // Both lie in the content, whose length is a usize.
                Self::Memory(content.slice(range.start as usize..range.end as usize))
            }
            Self::File(file, whole) => {
                let range = range.within(whole.length());
                let part = ByteRange {
                    start: whole.start + range.start,
                    end: whole.start + range.end,
                };
                Self::File(Arc::clone(file), part)
            }
            Self::Remote(content, whole) => {
                let range = range.within(whole.length());
                let part = ByteRange {
                    start: whole.start + range.start,
                    end: whole.start + range.end,
                };
                Self::Remote(Arc::clone(content), part)
            }
            Self::Redirect(url) => Self::Redirect(url.clone()),
        }
    }
}

/// An upload session as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// What was said when it began.
    pub session: UploadSession,
    /// How many bytes have been received.
    pub received: u64,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The whole body is part of the upload, which has so many bytes now.
    Appended {
        /// Bytes received so far.
        received: u64,
    },
    /// There is no such session.
    Unknown,
    /// The upload does not have as many bytes as the caller thought, or
    /// another request is appending to it. Nothing has changed.
    OutOfOrder {
        /// Bytes received so far.
        received: u64,
    },
    /// The body failed; the bytes before are kept if the error says so.
    BodyFailed(BodyError),
}

/// How finishing an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishOutcome {
    /// The blob is stored, and the session is gone.
    Finished(BlobStat),
    /// There is no such session.
    Unknown,
    /// As for [`AppendOutcome::OutOfOrder`].
    OutOfOrder {
        /// Bytes received so far.
        received: u64,
    },
    /// As for [`AppendOutcome::BodyFailed`].
    BodyFailed(BodyError),
    /// The bytes are not those of the digest; the session is as it was before
    /// the call.
    DigestDiffers {
        /// What the bytes hash to.
        actual: Digest,
    },
}

/// Content by its digest, one copy of each, and upload sessions.
///
/// Stored content never changes. Where a blob is listed as stored, its bytes
/// were hashed on their way in.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// What is known of a blob.
    ///
    /// - A blob that is not stored is `None`.
    /// - The size is that of the bytes as they are stored now.
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError>;

    /// Opens a blob, or `range` of it.
    ///
    /// - A blob that is not stored is `None`.
    /// - A range is cut at the content's end; one wholly behind it is empty.
    /// - What was opened stays readable even if the blob is removed.
    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError>;

    /// Reads a blob whole, for content that is small: a manifest, a config.
    ///
    /// - A blob that is not stored, or has more than `limit` bytes, is `None`.
    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError>;

    /// Reads a blob whole, and hashes it.
    ///
    /// - A blob that is not stored is `None`.
    /// - The hash is that of the bytes as they are stored now, whatever cache
    ///   there may be.
    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError>;

    /// Stores small content whole. The caller has computed `digest` from it.
    ///
    /// - Storing what is stored already keeps one copy, makes it good should it
    ///   have been damaged, and renews its lease: its version is another one.
    /// - Readers see the whole content or none.
    /// - It is durable when a claim on it, or a revision of it, has been written.
    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError>;

    /// Renews a blob's lease to now.
    ///
    /// - `false` if the blob is not stored.
    /// - Its version is another one, even if its lease was of this very moment.
    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// Renews the leases of several blobs, and returns those that are not
    /// stored.
    ///
    /// - For each it is as [`touch`](Self::touch) says.
    async fn touch_all(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        const AT_A_TIME: usize = 16;
        let touches = digests.iter().copied().map(|digest| async move {
            let stored = self.touch(&digest).await?;
            Ok::<_, StoreError>((!stored).then_some(digest))
        });
        let missing: Vec<Option<Digest>> = stream::iter(touches)
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(missing.into_iter().flatten().collect())
    }

    /// Up to `limit` stored blobs, in the order of their digests.
    ///
    /// - With `after`, only those whose digest is greater, whether or not a blob
    ///   is or ever was called so.
    /// - A blob that was there before the call and is there after it is seen,
    ///   also if it is stored anew or renewed meanwhile.
    /// - Each is as [`stat`](Self::stat) would have shown it during the call.
    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError>;

    /// Removes a blob if it is still in the state that `version` tells.
    ///
    /// - Compared and removed in one step: what is stored anew or renewed before
    ///   stays, in whichever process, and what comes after is a new blob.
    /// - What was opened stays readable.
    /// - After a crash of the machine the blob may be back.
    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError>;

    /// Begins an upload session.
    ///
    /// - Another process on the same store sees it on return.
    /// - It survives a crash of the process, but perhaps not of the machine.
    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError>;

    /// An upload session as it stands.
    ///
    /// - A session that was never begun, or is finished or abandoned, is `None`.
    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError>;

    /// Appends a body to an upload.
    ///
    /// - With an `offset`, the upload must have received exactly so many bytes.
    /// - Only one request at a time appends to a session, in whichever process;
    ///   another one is out of order.
    /// - A body that fails leaves what came before it, or nothing, as
    ///   [`BodyError::keeps_received`] says.
    /// - What is appended survives a crash of the process.
    ///
    /// # Cancel safety
    /// Dropping the future is as if the body had been interrupted: a prefix of
    /// it may have been appended.
    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError>;

    /// Appends a last body, and makes the whole a blob called `digest`.
    ///
    /// - Offset, concurrency and failing bodies are as for `append`.
    /// - If the bytes do not hash to `digest`, the upload is as it was before.
    /// - Finishing as what is stored already keeps one copy, makes it good
    ///   should it have been damaged, and renews its lease.
    /// - Readers see the whole blob or none.
    /// - The blob is durable when a claim on it has been written.
    /// - The session is gone.
    ///
    /// # Cancel safety
    /// As for `append`; or the blob may be stored and the session gone.
    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError>;

    /// Abandons an upload with all that it has received.
    ///
    /// - `false` if there is no such session.
    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError>;

    /// Up to `limit` sessions to which nothing has happened since `before`.
    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError>;

    /// Up to `limit` leftovers of calls that were cut off before `before`.
    ///
    /// - Whatever a blob, an upload session or a call that is under way needs is
    ///   none, provided that no call takes as long as since `before`.
    async fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError>;

    /// Removes a leftover.
    ///
    /// - `false` if it is gone already.
    async fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError>;
}
