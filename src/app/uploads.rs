//! Pushing blobs: upload sessions from their beginning to their end.

use std::time::SystemTime;

use super::blobs::ClaimedBlob;
use super::body_check::checked;
use super::error::RegistryError;
use super::registry::Registry;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::domain::upload::{ChunkRange, UploadId, UploadSession};
use crate::ports::blob_store::{AppendOutcome, FinishOutcome, UploadStatus};
use crate::ports::body::Body;

/// A piece of a blob, as a request brings it.
pub struct Chunk {
    /// Where it goes, if the request says; otherwise it follows what is there.
    pub range: Option<ChunkRange>,
    /// Its length in bytes, if the request says.
    pub length: Option<u64>,
    /// Its bytes.
    pub body: Body,
}

impl Registry {
    /// Begins an upload session.
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn begin_upload(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, RegistryError> {
        let session = UploadSession {
            id: UploadId::new(self.identifiers.fresh()),
            repository: repository.clone(),
            algorithm,
            started: self.clock.now(),
        };
        self.blobs.begin(&session).await?;
        Ok(session.id)
    }

    /// How many bytes an upload has received.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`].
    pub async fn upload_received(
        &self,
        repository: &RepositoryName,
        id: UploadId,
    ) -> Result<u64, RegistryError> {
        Ok(self.upload_of(repository, id).await?.received)
    }

    /// Appends a chunk to an upload, and returns how many bytes it has then.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`], [`RegistryError::ChunkOutOfOrder`], or
    /// what is wrong with the body.
    pub async fn append_chunk(
        &self,
        repository: &RepositoryName,
        id: UploadId,
        chunk: Chunk,
    ) -> Result<u64, RegistryError> {
        let upload = self.upload_of(repository, id).await?;
        let (offset, body) = self.admit(&upload, chunk)?;
        match self.blobs.append(id, offset, body).await? {
            AppendOutcome::Appended { received } => Ok(received),
            AppendOutcome::Unknown => Err(RegistryError::UploadUnknown),
            AppendOutcome::OutOfOrder { received } => {
                Err(RegistryError::ChunkOutOfOrder { received })
            }
            AppendOutcome::BodyFailed(error) => {
                Err(RegistryError::body(error, self.rules.largest_blob))
            }
        }
    }

    /// Appends a last chunk, which may be empty, and makes the upload a blob of
    /// the repository.
    ///
    /// # Errors
    /// As for [`Registry::append_chunk`], or [`RegistryError::DigestMismatch`];
    /// then the upload is as it was.
    pub async fn finish_upload(
        &self,
        repository: &RepositoryName,
        id: UploadId,
        chunk: Chunk,
        digest: &Digest,
    ) -> Result<ClaimedBlob, RegistryError> {
        let upload = self.upload_of(repository, id).await?;
        let (offset, body) = self.admit(&upload, chunk)?;
        match self.blobs.finish(id, offset, body, digest).await? {
            FinishOutcome::Finished(stat) => {
                // Whether or not there is a claim already, which may be on
                // content that was lost: the new content is durable with it.
                self.write_claim_anew(repository, digest, stat.size).await
            }
            FinishOutcome::Unknown => Err(RegistryError::UploadUnknown),
            FinishOutcome::OutOfOrder { received } => {
                Err(RegistryError::ChunkOutOfOrder { received })
            }
            FinishOutcome::BodyFailed(error) => {
                Err(RegistryError::body(error, self.rules.largest_blob))
            }
            FinishOutcome::DigestDiffers { actual } => Err(RegistryError::DigestMismatch {
                expected: *digest,
                actual,
            }),
        }
    }

    /// Pushes a blob in one request. Nothing of it stays if that fails: no
    /// client knows a session that it could go on with.
    ///
    /// # Errors
    /// As for [`Registry::finish_upload`].
    pub async fn push_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        chunk: Chunk,
    ) -> Result<ClaimedBlob, RegistryError> {
        let id = self.begin_upload(repository, digest.algorithm()).await?;
        let pushed = self.finish_upload(repository, id, chunk, digest).await;
        if pushed.is_err() {
            // Should this fail too, the session expires like any abandoned one.
            let _ = self.blobs.abandon(id).await;
        }
        pushed
    }

    /// Cancels an upload.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`].
    pub async fn cancel_upload(
        &self,
        repository: &RepositoryName,
        id: UploadId,
    ) -> Result<(), RegistryError> {
        self.upload_of(repository, id).await?;
        if self.blobs.abandon(id).await? {
            Ok(())
        } else {
            Err(RegistryError::UploadUnknown)
        }
    }

    /// Abandons uploads to which nothing has happened since `before`, and
    /// returns how many those were. What else calls that were cut off before
    /// then have left in the store goes as well.
    ///
    /// # Errors
    /// Only if the store fails. One upload that cannot be abandoned does not
    /// keep the others.
    pub async fn expire_uploads(&self, before: SystemTime) -> Result<u64, RegistryError> {
        const BATCH: usize = 1000;
        let mut expired = 0;
        let mut failure = None;
        let mut previous = Vec::new();
        loop {
            let stale = self.blobs.stale_uploads(before, BATCH).await?;
            for id in &stale {
                match self.blobs.abandon(*id).await {
                    Ok(abandoned) => expired += u64::from(abandoned),
                    Err(error) => failure = Some(error),
                }
            }
            // The same ones again: they cannot be abandoned.
            if stale.len() < BATCH || stale == previous {
                break;
            }
            previous = stale;
        }
        for leftover in self.blobs.leftovers(before, usize::MAX).await? {
            self.blobs.remove_leftover(&leftover).await?;
        }
        failure.map_or(Ok(expired), |error| Err(error.into()))
    }

    /// How many uploads are under way, but no more than `limit`.
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn open_uploads(&self, limit: usize) -> Result<usize, RegistryError> {
        let before = self.clock.now();
        Ok(self.blobs.stale_uploads(before, limit).await?.len())
    }

    /// An upload of this repository; one of another repository is unknown here.
    async fn upload_of(
        &self,
        repository: &RepositoryName,
        id: UploadId,
    ) -> Result<UploadStatus, RegistryError> {
        self.blobs
            .upload(id)
            .await?
            .filter(|upload| upload.session.repository == *repository)
            .ok_or(RegistryError::UploadUnknown)
    }

    /// Decides on a chunk by what the request says of it: where it is to go,
    /// and its body held to its announced length and the largest blob.
    ///
    /// A chunk that does not say where it goes follows what is there now. Should
    /// another one come in between, it is out of order like any other: together
    /// they might be more than the largest blob, and in an order nobody meant.
    fn admit(
        &self,
        upload: &UploadStatus,
        chunk: Chunk,
    ) -> Result<(Option<u64>, Body), RegistryError> {
        let Chunk {
            range,
            length,
            body,
        } = chunk;
        if let (Some(range), Some(length)) = (range, length)
            && range.length != length
        {
            return Err(RegistryError::SizeInvalid);
        }
        let length = length.or(range.map(|range| range.length));
        let limit = self.rules.largest_blob;
        let room = limit.saturating_sub(upload.received);
        if length.is_some_and(|length| length > room) {
            return Err(RegistryError::BlobTooLarge { limit });
        }
        let offset = range.map_or(upload.received, |range| range.first);
        Ok((Some(offset), checked(body, length, room)))
    }
}
