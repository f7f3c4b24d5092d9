//! Everything that changes a store, as a client does it.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use octoserve::app::{ManifestPush, PushedTo, Registry, RegistryError};
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::name::{RepositoryName, Tag};
use octoserve::domain::precondition::{EntityTags, Preconditions};
use octoserve::domain::upload::UploadId;
use uuid::Uuid;

use crate::content::{Document, bytes, chunk, digest, repository, tag};

/// The identifier of what [`UseCase::prepare`] begins.
pub(crate) const PREPARED: u64 = 1;

/// A change of a store, on the ground of an image that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UseCase {
    /// The ground of all others, where there was nothing.
    FirstPush,
    BeginUpload,
    AppendFirstChunk,
    AppendNextChunk,
    FinishWithLastChunk,
    FinishWithoutChunk,
    PushBlob,
    PushLargeBlob,
    PushBlobThatIsThere,
    PushBlobOfAnotherRepository,
    PushBlobThatWasDeleted,
    Mount,
    PushByTag,
    PushToNewRepository,
    Retag,
    PushByDigest,
    PushByDigestWithTags,
    PushReferrer,
    PushIndex,
    PushIfMatch,
    PushIfNoneMatch,
    PushAgain,
    DeleteTag,
    DeleteManifest,
    DeleteReferrer,
    DeleteLastManifest,
    DeleteBlob,
    CancelUpload,
    ExpireUploads,
}

use UseCase::{
    AppendFirstChunk, AppendNextChunk, BeginUpload, CancelUpload, DeleteBlob, DeleteLastManifest,
    DeleteManifest, DeleteReferrer, DeleteTag, ExpireUploads, FinishWithLastChunk,
    FinishWithoutChunk, FirstPush, Mount, PushAgain, PushBlob, PushBlobOfAnotherRepository,
    PushBlobThatIsThere, PushBlobThatWasDeleted, PushByDigest, PushByDigestWithTags, PushByTag,
    PushIfMatch, PushIfNoneMatch, PushIndex, PushLargeBlob, PushReferrer, PushToNewRepository,
    Retag,
};

impl UseCase {
    pub(crate) const ALL: [Self; 29] = [
        FirstPush,
        BeginUpload,
        AppendFirstChunk,
        AppendNextChunk,
        FinishWithLastChunk,
        FinishWithoutChunk,
        PushBlob,
        PushLargeBlob,
        PushBlobThatIsThere,
        PushBlobOfAnotherRepository,
        PushBlobThatWasDeleted,
        Mount,
        PushByTag,
        PushToNewRepository,
        Retag,
        PushByDigest,
        PushByDigestWithTags,
        PushReferrer,
        PushIndex,
        PushIfMatch,
        PushIfNoneMatch,
        PushAgain,
        DeleteTag,
        DeleteManifest,
        DeleteReferrer,
        DeleteLastManifest,
        DeleteBlob,
        CancelUpload,
        ExpireUploads,
    ];

    /// Brings about what the use case starts from.
    pub(crate) async fn prepare(self, registry: &Registry) -> Result<(), RegistryError> {
        if let AppendNextChunk | FinishWithLastChunk | FinishWithoutChunk | CancelUpload
        | AppendFirstChunk | ExpireUploads = self
        {
            let id = registry.begin_upload(&home(), Algorithm::Sha256).await?;
            assert_eq!(id, prepared_upload());
        }
        match self {
            AppendNextChunk | FinishWithLastChunk | CancelUpload => {
                let first = blob().slice(..700);
                registry
                    .append_chunk(&home(), prepared_upload(), chunk(&first))
                    .await?;
            }
            FinishWithoutChunk => {
                registry
                    .append_chunk(&home(), prepared_upload(), chunk(&blob()))
                    .await?;
            }
            ExpireUploads => {
                for _ in 0..2 {
                    let id = registry.begin_upload(&home(), Algorithm::Sha512).await?;
                    registry.append_chunk(&home(), id, chunk(&blob())).await?;
                }
            }
            _ => {}
        }
        if self == FirstPush {
            return Ok(());
        }
        push_first(registry).await?;
        match self {
            PushIndex | DeleteManifest => {
                push(registry, &home(), &new(), to_digest(&new(), &["v2", "v3"])).await?;
            }
            PushReferrer => push(registry, &home(), &new(), to_tag("v2")).await?,
            PushBlobThatIsThere => push_blob(registry, &home(), &blob()).await?,
            PushBlobOfAnotherRepository | Mount => push_blob(registry, &other(), &blob()).await?,
            PushBlobThatWasDeleted | DeleteBlob => {
                push_blob(registry, &home(), &blob()).await?;
                if self == PushBlobThatWasDeleted {
                    registry.delete_blob(&home(), &digest(&blob())).await?;
                }
            }
            PushToNewRepository => {
                for layer in layers() {
                    push_blob(registry, &other(), &layer).await?;
                }
            }
            DeleteReferrer => {
                push(registry, &home(), &referrer(), to_digest(&referrer(), &[])).await?;
            }
            DeleteLastManifest => {
                for layer in layers() {
                    push_blob(registry, &other(), &layer).await?;
                }
                push(registry, &other(), &new(), to_tag("only")).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the change, or goes on with it where it was interrupted before.
    pub(crate) async fn perform(self, registry: &Registry) -> Result<(), RegistryError> {
        match self {
            FirstPush => push_first(registry).await,
            BeginUpload => {
                registry.begin_upload(&home(), Algorithm::Sha256).await?;
                Ok(())
            }
            AppendFirstChunk => append_up_to(registry, 700).await.map(drop),
            AppendNextChunk => append_up_to(registry, 1400).await.map(drop),
            FinishWithLastChunk | FinishWithoutChunk => {
                let (id, received) = resume(registry).await?;
                let rest = chunk(&blob().slice(received..));
                registry
                    .finish_upload(&home(), id, rest, &digest(&blob()))
                    .await?;
                Ok(())
            }
            PushBlob
            | PushBlobThatIsThere
            | PushBlobOfAnotherRepository
            | PushBlobThatWasDeleted => push_blob(registry, &home(), &blob()).await,
            PushLargeBlob => push_blob(registry, &home(), &large_blob()).await,
            Mount => {
                let (digest, to, from) = (digest(&blob()), home(), other());
                let mounted = registry.mount_blob(&to, &digest, Some(&from)).await?;
                assert!(mounted.is_some(), "it is there to be mounted");
                Ok(())
            }
            PushByTag => push(registry, &home(), &new(), to_tag("v2")).await,
            PushToNewRepository => push(registry, &other(), &new(), to_tag("v2")).await,
            Retag => push(registry, &home(), &new(), to_tag("v1")).await,
            PushByDigest => push(registry, &home(), &new(), to_digest(&new(), &[])).await,
            PushByDigestWithTags => {
                let target = to_digest(&new(), &["v1", "v2", "v3"]);
                push(registry, &home(), &new(), target).await
            }
            PushReferrer => push(registry, &home(), &referrer(), to_tag("signature")).await,
            PushIndex => {
                let index = Document::index(&[old(), new()]);
                push(registry, &home(), &index, to_tag("v1")).await
            }
            PushIfMatch => {
                let preconditions = Preconditions {
                    if_match: Some(EntityTags::Listed(vec![old().digest().to_string()])),
                    if_none_match: None,
                };
                let target = PushedTo::Tag(tag("v1"), preconditions);
                push(registry, &home(), &new(), target).await
            }
            PushIfNoneMatch => {
                let preconditions = Preconditions {
                    if_match: None,
                    if_none_match: Some(EntityTags::Any),
                };
                let target = PushedTo::Tag(tag("v2"), preconditions);
                push(registry, &home(), &new(), target).await
            }
            PushAgain => push(registry, &home(), &old(), to_tag("v1")).await,
            DeleteTag => registry.delete_tag(&home(), &tag("v1")).await,
            DeleteManifest => registry.delete_manifest(&home(), &new().digest()).await,
            DeleteReferrer => {
                registry
                    .delete_manifest(&home(), &referrer().digest())
                    .await
            }
            DeleteLastManifest => registry.delete_manifest(&other(), &new().digest()).await,
            DeleteBlob => registry.delete_blob(&home(), &digest(&blob())).await,
            CancelUpload => registry.cancel_upload(&home(), prepared_upload()).await,
            ExpireUploads => expire_all(registry).await,
        }
    }
}

/// Whether a repeated request may say that there is nothing to do any more.
pub(crate) const fn was_done_before(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::ManifestUnknown(_)
            | RegistryError::BlobUnknown(_)
            | RegistryError::UploadUnknown
            | RegistryError::PreconditionFailed
    )
}

/// Lets every upload expire, and all else that expires with them.
pub(crate) async fn expire_all(registry: &Registry) -> Result<(), RegistryError> {
    let later = SystemTime::now() + Duration::from_secs(3600);
    registry.expire_uploads(later).await.map(drop)
}

/// The repositories that use cases touch.
pub(crate) fn repositories() -> [RepositoryName; 2] {
    [home(), other()]
}

/// The digests that use cases touch.
pub(crate) fn digests() -> &'static [Digest] {
    static DIGESTS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
        let index = Document::index(&[old(), new()]);
        let documents = [image(), old(), new(), referrer(), index];
        let blobs = layers().into_iter().chain([blob(), large_blob()]);
        let content = documents.map(|document| document.content);
        let content = content.into_iter().chain(blobs);
        content.map(|content| digest(&content)).collect()
    });
    &DIGESTS
}

pub(crate) fn home() -> RepositoryName {
    repository("library/alpine")
}

fn other() -> RepositoryName {
    repository("library/alpine/mirror")
}

fn prepared_upload() -> UploadId {
    UploadId::new(Uuid::from_u128(u128::from(PREPARED)))
}

pub(crate) fn layers() -> Vec<Bytes> {
    static LAYERS: LazyLock<Vec<Bytes>> =
        LazyLock::new(|| (1..4).map(|seed| bytes(seed, 300)).collect());
    LAYERS.clone()
}

pub(crate) fn blob() -> Bytes {
    bytes(7, 2000)
}

/// More than what is written in one go.
fn large_blob() -> Bytes {
    static CONTENT: LazyLock<Bytes> = LazyLock::new(|| bytes(9, 2_500_000));
    CONTENT.clone()
}

fn image() -> Document {
    Document::image(&layers())
}

fn old() -> Document {
    Document::image(&layers()[..2])
}

pub(crate) fn new() -> Document {
    Document::image(&layers()[1..])
}

pub(crate) fn referrer() -> Document {
    Document::image_about(&layers()[..1], Some(&new()))
}

fn to_tag(name: &str) -> PushedTo {
    PushedTo::Tag(tag(name), Preconditions::default())
}

fn to_digest(document: &Document, tags: &[&str]) -> PushedTo {
    let tags: Vec<Tag> = tags.iter().map(|name| tag(name)).collect();
    PushedTo::Digest(document.digest(), tags)
}

async fn push(
    registry: &Registry,
    repository: &RepositoryName,
    document: &Document,
    target: PushedTo,
) -> Result<(), RegistryError> {
    let push = ManifestPush {
        content: document.content.clone(),
        content_type: Some(document.media_type.clone()),
        target,
    };
    registry.put_manifest(repository, &push).await.map(drop)
}

async fn push_first(registry: &Registry) -> Result<(), RegistryError> {
    for layer in layers() {
        push_blob(registry, &home(), &layer).await?;
    }
    push(registry, &home(), &image(), to_tag("stands")).await?;
    push(registry, &home(), &old(), to_tag("v1")).await
}

async fn push_blob(
    registry: &Registry,
    repository: &RepositoryName,
    content: &Bytes,
) -> Result<(), RegistryError> {
    let digest = digest(content);
    let pushed = registry.push_blob(repository, &digest, chunk(content));
    pushed.await.map(drop)
}

/// The upload that was prepared, or a new one if that is gone, and how much of
/// the blob it has.
async fn resume(registry: &Registry) -> Result<(UploadId, usize), RegistryError> {
    match registry.upload_received(&home(), prepared_upload()).await {
        Ok(received) => Ok((prepared_upload(), received as usize)),
        Err(RegistryError::UploadUnknown) => {
            let id = registry.begin_upload(&home(), Algorithm::Sha256).await?;
            Ok((id, 0))
        }
        Err(error) => Err(error),
    }
}

async fn append_up_to(registry: &Registry, end: usize) -> Result<u64, RegistryError> {
    let (id, received) = resume(registry).await?;
    let rest = chunk(&blob().slice(received..end.max(received)));
    registry.append_chunk(&home(), id, rest).await
}
