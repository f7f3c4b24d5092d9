//! Why the registry refuses: every outcome of a use case that is not success.
//!
//! The messages go to clients, so they speak of what the client did and never
//! of paths, hosts or other insides. What failed inside is the error's source,
//! for the log.

use thiserror::Error;

use crate::domain::digest::Digest;
use crate::domain::manifest::ManifestError;
use crate::domain::name::{Reference, RepositoryName};
use crate::domain::record::RecordError;
use crate::domain::record_key::RecordKey;
use crate::ports::body::BodyError;
use crate::ports::{StoreError, StoreErrorKind};

/// A refusal, at the edge of the use cases.
#[derive(Clone, Debug, Error)]
pub enum RegistryError {
    /// No such repository.
    #[error("repository {0} does not exist")]
    NameUnknown(RepositoryName),
    /// Content does not have the digest that it was pushed as.
    #[error("the content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
    /// The repository has no such blob.
    #[error("blob {0} is not in the repository")]
    BlobUnknown(Digest),
    /// A blob is in the repository, but its stored bytes are gone or are not
    /// what they were.
    #[error("the stored content of blob {0} is damaged; pushing it again repairs it")]
    BlobDamaged(Digest),
    /// The repository has no such upload session.
    #[error("the upload session does not exist: it was finished, cancelled, or has expired")]
    UploadUnknown,
    /// A chunk does not start where the last one ended, or another one is
    /// being received.
    #[error("the upload has received {received} bytes: the next chunk starts there")]
    ChunkOutOfOrder {
        /// How many bytes the session has.
        received: u64,
    },
    /// A body is not as long as it was announced.
    #[error("the body is not as long as the request says")]
    SizeInvalid,
    /// A blob is larger than this registry takes.
    #[error("a blob is at most {limit} bytes here")]
    BlobTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body of an upload broke off; what came is kept.
    #[error("the request's body broke off before its end")]
    BodyInterrupted,
    /// No bytes of a body came for too long; what came is kept.
    #[error("the request's body made no progress for too long")]
    BodyTimedOut,
    /// The repository has no such manifest.
    #[error("manifest {0} is not in the repository")]
    ManifestUnknown(Reference),
    /// A manifest is in the repository, but its stored bytes are gone or are
    /// not what they were.
    #[error("the stored content of manifest {0} is damaged; pushing it again repairs it")]
    ManifestDamaged(Digest),
    /// The document is not a manifest that can be stored.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// A manifest refers to what the repository does not have.
    #[error("the manifest refers to content that is not in the repository")]
    ManifestBlobUnknown(Vec<Digest>),
    /// A manifest is larger than this registry takes.
    #[error("a manifest is at most {limit} bytes here")]
    ManifestTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// What a conditional request demands does not hold.
    #[error("the tag is not in the state that the request's conditions demand")]
    PreconditionFailed,
    /// The store has no room left.
    #[error("the registry's storage is full; nothing that was stored is lost")]
    StorageFull(#[source] StoreError),
    /// The store did not do what it should.
    #[error("the registry's storage failed; try again later")]
    Storage(#[source] StoreError),
}

impl RegistryError {
    /// A stored record that does not read back.
    #[must_use]
    pub fn damaged_record(key: &RecordKey, error: RecordError) -> Self {
        let context = match key.within() {
            Some(repository) => format!("the {} record {} of {repository}", key.kind(), key.leaf()),
            None => format!("the {} record {}", key.kind(), key.leaf()),
        };
        StoreError::new(StoreErrorKind::Damaged, "read", context)
            .caused_by(error)
            .into()
    }

    /// A body that failed, where blobs have at most `largest_blob` bytes.
    #[must_use]
    pub const fn body(error: BodyError, largest_blob: u64) -> Self {
        match error {
            BodyError::Interrupted => Self::BodyInterrupted,
            BodyError::TimedOut => Self::BodyTimedOut,
            BodyError::LengthDiffers => Self::SizeInvalid,
            BodyError::TooLarge => Self::BlobTooLarge {
                limit: largest_blob,
            },
        }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Full => Self::StorageFull(error),
            StoreErrorKind::Temporary | StoreErrorKind::Damaged | StoreErrorKind::Permanent => {
                Self::Storage(error)
            }
        }
    }
}

impl From<RecordError> for RegistryError {
    /// A record of ours that does not encode; a stored one that does not
    /// decode is [`RegistryError::damaged_record`].
    fn from(error: RecordError) -> Self {
        StoreError::new(StoreErrorKind::Permanent, "encode", "a record")
            .caused_by(error)
            .into()
    }
}
