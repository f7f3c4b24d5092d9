//! Bodies that fail, under `append` and `finish`: what came before the failure
//! is kept, or the request leaves nothing behind.

use bytes::Bytes;
use octoserve::domain::digest::Digest;
use octoserve::domain::upload::UploadId;
use octoserve::ports::BlobStore;
use octoserve::ports::blob_store::{AppendOutcome, FinishOutcome};
use octoserve::ports::body::BodyError;

use super::{append, finish, received};
use crate::adapters::{Adapter, until};
use crate::bodies::{LARGE, failing, fed};
use crate::names::{blob, session, sha512};

/// What is in the session before the body that fails.
const BEFORE: usize = 1000;

/// Less and more than an adapter gathers before it stores what has come.
const LENGTHS: [usize; 3] = [0, 100, LARGE];

/// Sends a body that fails, and returns how it was answered.
enum Request {
    Append,
    Finish,
}

impl Request {
    async fn send(
        &self,
        store: &dyn BlobStore,
        id: UploadId,
        sent: &Bytes,
        error: BodyError,
        digest: &Digest,
    ) -> BodyError {
        let (offset, body) = (Some(BEFORE as u64), failing(sent, error));
        match self {
            Self::Append => match store.append(id, offset, body).await.expect("answers") {
                AppendOutcome::BodyFailed(error) => error,
                other => panic!("a failed body, but {other:?}"),
            },
            Self::Finish => {
                let finished = store.finish(id, offset, body, digest).await;
                match finished.expect("answers") {
                    FinishOutcome::BodyFailed(error) => error,
                    other => panic!("a failed body, but {other:?}"),
                }
            }
        }
    }
}

/// The session has what the error says it keeps, and goes on from there.
async fn keeps_what_it_says(adapter: &Adapter, request: &Request, error: BodyError) {
    for (length, session) in LENGTHS.into_iter().zip(crate::names::sessions(adapter, 3)) {
        let store = adapter.blobs();
        let (content, digest) = blob(length as u64, BEFORE + LARGE + 10);
        store.begin(&session).await.expect("begins");
        append(&*store, session.id, 0, &content.slice(..BEFORE)).await;
        let sent = content.slice(BEFORE..BEFORE + length);
        let failed = request
            .send(&*store, session.id, &sent, error, &digest)
            .await;
        assert_eq!(failed, error);
        let kept = if error.keeps_received() { length } else { 0 };
        let at = BEFORE + kept;
        assert_eq!(
            received(&*store, session.id).await,
            Some(at as u64),
            "{length} bytes sent"
        );
        assert_eq!(store.stat(&digest).await.expect("looks"), None);
        let reopened = adapter.blobs();
        finish(
            &*reopened,
            session.id,
            &content.slice(at..),
            &content,
            &digest,
        )
        .await;
    }
}

async fn an_append_that_breaks_off_keeps_what_came(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Append, BodyError::Interrupted).await;
}

async fn an_append_that_stalls_keeps_what_came(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Append, BodyError::TimedOut).await;
}

async fn an_append_of_another_length_leaves_nothing(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Append, BodyError::LengthDiffers).await;
}

async fn an_append_that_is_too_large_leaves_nothing(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Append, BodyError::TooLarge).await;
}

async fn a_finish_that_breaks_off_keeps_what_came(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Finish, BodyError::Interrupted).await;
}

async fn a_finish_that_stalls_keeps_what_came(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Finish, BodyError::TimedOut).await;
}

async fn a_finish_of_another_length_leaves_nothing(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Finish, BodyError::LengthDiffers).await;
}

async fn a_finish_that_is_too_large_leaves_nothing(adapter: Adapter) {
    keeps_what_it_says(&adapter, &Request::Finish, BodyError::TooLarge).await;
}

async fn a_finish_as_sha512_that_breaks_off_can_go_on_as_sha256(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    let (content, digest) = blob(1, 2 * LARGE);
    store.begin(&session).await.expect("begins");
    let body = failing(&content.slice(..LARGE), BodyError::Interrupted);
    let finished = store
        .finish(session.id, Some(0), body, &sha512(&content))
        .await;
    let failed = FinishOutcome::BodyFailed(BodyError::Interrupted);
    assert_eq!(finished.expect("answers"), failed);
    finish(
        &*store,
        session.id,
        &content.slice(LARGE..),
        &content,
        &digest,
    )
    .await;
}

async fn a_body_that_breaks_off_after_its_upload_was_abandoned_is_unknown(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let [one, two] = <[_; 2]>::try_from(crate::names::sessions(&adapter, 2)).expect("two");
    let (content, digest) = blob(1, LARGE);
    for session in [&one, &two] {
        store.begin(session).await.expect("begins");
    }
    let abandon = async |id, feed: crate::bodies::Feed| {
        feed.send(&content);
        until("bytes are stored", async || {
            received(&*other, id).await > Some(0)
        })
        .await;
        assert!(other.abandon(id).await.expect("abandons"));
        feed.fail(BodyError::Interrupted);
    };
    let (feed, body) = fed();
    let appending = store.append(one.id, None, body);
    let (appended, ()) = tokio::join!(appending, abandon(one.id, feed));
    let appended = appended.expect("answers");
    assert!(
        matches!(
            appended,
            AppendOutcome::Unknown | AppendOutcome::BodyFailed(_)
        ),
        "{appended:?}"
    );
    let (feed, body) = fed();
    let finishing = store.finish(two.id, None, body, &digest);
    let (finished, ()) = tokio::join!(finishing, abandon(two.id, feed));
    let finished = finished.expect("answers");
    assert!(
        matches!(
            finished,
            FinishOutcome::Unknown | FinishOutcome::BodyFailed(_)
        ),
        "{finished:?}"
    );
    for session in [one, two] {
        assert_eq!(received(&*store, session.id).await, None);
    }
}

on_every_adapter!(
    an_append_that_breaks_off_keeps_what_came,
    an_append_that_stalls_keeps_what_came,
    an_append_of_another_length_leaves_nothing,
    an_append_that_is_too_large_leaves_nothing,
    a_finish_that_breaks_off_keeps_what_came,
    a_finish_that_stalls_keeps_what_came,
    a_finish_of_another_length_leaves_nothing,
    a_finish_that_is_too_large_leaves_nothing,
    a_finish_as_sha512_that_breaks_off_can_go_on_as_sha256,
    a_body_that_breaks_off_after_its_upload_was_abandoned_is_unknown,
);
