//! [`BlobStore`](octoserve::ports::BlobStore), point by point.

mod append;
mod body_failures;
mod cancellation;
mod content;
mod finish;
mod listing;
mod racing;
mod sessions;

use bytes::Bytes;
use futures_util::TryStreamExt;
use octoserve::domain::digest::Digest;
use octoserve::domain::range::ByteRange;
use octoserve::domain::upload::UploadId;
use octoserve::ports::BlobStore;
use octoserve::ports::blob_store::{AppendOutcome, BlobSource, FinishOutcome};

use crate::bodies::whole;

/// Reads an opened blob to its end.
async fn read_source(source: BlobSource) -> Bytes {
    use std::os::unix::fs::FileExt;
    match source {
        BlobSource::Memory(content) => content,
        BlobSource::File(file, ByteRange { start, end }) => {
            let mut content = vec![0; usize::try_from(end - start).expect("a small range")];
            file.read_exact_at(&mut content, start)
                .expect("an opened blob reads");
            content.into()
        }
        BlobSource::Remote(content, range) => {
            let pieces: Vec<Bytes> = content
                .stream(range)
                .try_collect()
                .await
                .expect("an opened blob reads");
            pieces.concat().into()
        }
        BlobSource::Redirect(url) => panic!("nobody asked for a link to {url}"),
    }
}

/// A stored blob, whole.
async fn read_all(store: &dyn BlobStore, digest: &Digest) -> Option<Bytes> {
    store.read(digest, u64::MAX).await.expect("reads")
}

/// How many bytes an upload has; `None` if there is none.
async fn received(store: &dyn BlobStore, id: UploadId) -> Option<u64> {
    let status = store.upload(id).await.expect("looks");
    status.map(|status| status.received)
}

/// Appends content that must fit.
async fn append(store: &dyn BlobStore, id: UploadId, offset: u64, content: &Bytes) {
    let appended = store.append(id, Some(offset), whole(content)).await;
    let received = offset + content.len() as u64;
    assert_eq!(
        appended.expect("appends"),
        AppendOutcome::Appended { received }
    );
}

/// Finishes an upload with what is left of its content, and checks the blob.
async fn finish(
    store: &dyn BlobStore,
    id: UploadId,
    rest: &Bytes,
    content: &Bytes,
    digest: &Digest,
) {
    let finished = store.finish(id, None, whole(rest), digest).await;
    match finished.expect("finishes") {
        FinishOutcome::Finished(stat) => assert_eq!(stat.size, content.len() as u64),
        other => panic!("the upload did not finish: {other:?}"),
    }
    let stored = read_all(store, digest).await;
    assert!(
        stored.as_ref() == Some(content),
        "the blob is not what was sent"
    );
    assert_eq!(
        received(store, id).await,
        None,
        "the session is still there"
    );
}

/// Appends the first bytes of an upload.
pub(crate) async fn appended(store: &dyn BlobStore, id: UploadId, content: &Bytes) {
    append(store, id, 0, content).await;
}
