//! Stored content: one file each, found by its digest.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::durability::{StagedFile, failed, if_found};
use super::{FilesystemStore, Shared, blocking};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hasher::Hasher;
use crate::domain::range::ByteRange;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobSource, BlobStat, BlobVersion, FinishOutcome,
    HashedBlob, Leftover, ListedBlob, UploadStatus,
};
use crate::ports::body::Body;
use crate::ports::{BlobStore, StoreError};

#[async_trait]
impl BlobStore for FilesystemStore {
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError> {
        let path = self.0.layout.blob(digest);
        let metadata = if_found(fs::metadata(&path)).map_err(failed("stat", &path))?;
        metadata
            .map(|metadata| blob_stat(&metadata, &path))
            .transpose()
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        let path = self.0.layout.blob(digest);
        let Some((file, size)) = open_sized(&path)? else {
            return Ok(None);
        };
        let whole = ByteRange {
            start: 0,
            end: size,
        };
        let range = range.map_or(whole, |range| range.within(size));
        Ok(Some(BlobContent {
            size,
            source: BlobSource::File(Arc::new(file), range),
        }))
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        let path = self.0.layout.blob(digest);
        let Some((file, size)) = open_sized(&path)? else {
            return Ok(None);
        };
        if size > limit {
            return Ok(None);
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(size)
            .read_to_end(&mut content)
            .map_err(failed("read", &path))?;
        Ok(Some(content.into()))
    }

    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        let shared = Arc::clone(&self.0);
        let digest = *digest;
        blocking(move || shared.hash_blob(&digest)).await
    }

    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError> {
        let shared = Arc::clone(&self.0);
        let digest = *digest;
        blocking(move || shared.put_blob(&digest, &content)).await
    }

    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.0);
        let digest = *digest;
        blocking(move || shared.touch_blob(&digest)).await
    }

    async fn touch_all(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let shared = Arc::clone(&self.0);
        let digests = digests.to_vec();
        blocking(move || {
            let mut missing = Vec::new();
            for digest in digests {
                if !shared.touch_blob(&digest)? {
                    missing.push(digest);
                }
            }
            Ok(missing)
        })
        .await
    }

    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        let shared = Arc::clone(&self.0);
        let after = after.copied();
        blocking(move || shared.list_blobs(after.as_ref(), limit)).await
    }

    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let shared = Arc::clone(&self.0);
        let (digest, version) = (*digest, *version);
        blocking(move || shared.remove_blob(&digest, &version)).await
    }

    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.0);
        let session = session.clone();
        blocking(move || shared.begin_upload(&session)).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        self.0.upload_status(id)
    }

    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        Shared::append_upload(&self.0, id, offset, body).await
    }

    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        Shared::finish_upload(&self.0, id, offset, body, *digest).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.0);
        blocking(move || shared.abandon_upload(id)).await
    }

    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        let shared = Arc::clone(&self.0);
        blocking(move || shared.stale_uploads(before, limit)).await
    }

    async fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        let shared = Arc::clone(&self.0);
        blocking(move || shared.leftovers(before, limit)).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.0);
        let leftover = leftover.clone();
        blocking(move || shared.remove_leftover(&leftover)).await
    }
}

impl Shared {
    fn touch_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.layout.blob(digest);
        // Under the lock, so that whoever compares a version and acts on it does
        // both before or both after.
        let _lock = self.locks.lock(&self.layout, &path)?;
        let file = if_found(File::options().write(true).open(&path));
        match file.map_err(failed("open", &path))? {
            Some(file) => renew(&file, &path).map(|()| true),
            None => Ok(false),
        }
    }

    fn hash_blob(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        const PIECE: usize = 256 * 1024;
        let path = self.layout.blob(digest);
        let Some(mut file) = if_found(File::open(&path)).map_err(failed("open", &path))? else {
            return Ok(None);
        };
        let metadata = file.metadata().map_err(failed("stat", &path))?;
        let stat = blob_stat(&metadata, &path)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; PIECE];
        loop {
            let read = match file.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("read", &path)(error)),
            };
            match buffer.get(..read) {
                Some(piece) if !piece.is_empty() => hasher.update(piece),
                _ => break,
            }
        }
        let actual = hasher.finish();
        Ok(Some(HashedBlob { stat, actual }))
    }

    fn put_blob(&self, digest: &Digest, content: &[u8]) -> Result<BlobStat, StoreError> {
        let mut staged = StagedFile::write(self.layout.staging(), content)?;
        self.durability.sync_file(&staged.file, &staged.path)?;
        let target = self.layout.blob(digest);
        let mut changed = Vec::new();
        {
            let _lock = self.locks.lock(&self.layout, &target)?;
            staged.place(&target, &self.durability, &mut changed)?;
        }
        self.durability.sync(changed)?;
        let metadata = staged.file.metadata().map_err(failed("stat", &target))?;
        blob_stat(&metadata, &target)
    }
}

/// Opens a file for reading; `None` if there is none.
fn open_sized(path: &Path) -> Result<Option<(File, u64)>, StoreError> {
    let Some(file) = if_found(File::open(path)).map_err(failed("open", path))? else {
        return Ok(None);
    };
    let size = file.metadata().map_err(failed("stat", path))?.len();
    Ok(Some((file, size)))
}

/// Sets a file's modification time, which is the lease of a blob, to now.
pub(super) fn renew(file: &File, path: &Path) -> Result<(), StoreError> {
    let now = FileTimes::new().set_modified(SystemTime::now());
    file.set_times(now).map_err(failed("touch", path))
}

pub(super) fn blob_stat(metadata: &Metadata, path: &Path) -> Result<BlobStat, StoreError> {
    Ok(BlobStat {
        size: metadata.len(),
        leased: metadata.modified().map_err(failed("stat", path))?,
        version: version(metadata),
    })
}

/// Storing a blob anew makes another file of it, and renewing its lease sets its
/// time, which is to the nanosecond; its time of change, which is the kernel's
/// to set, tells them apart should a clock have been set back.
fn version(metadata: &Metadata) -> BlobVersion {
    let mut facts = Vec::with_capacity(5 * size_of::<u64>());
    facts.extend(metadata.ino().to_be_bytes());
    for time in [
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ] {
        facts.extend(time.to_be_bytes());
    }
    let mut version = [0; 16];
    let hash = Digest::of(Algorithm::Sha256, &facts);
    for (to, from) in version.iter_mut().zip(hash.hash()) {
        *to = *from;
    }
    BlobVersion::new(version)
}
