//! Requests whose future is dropped: the connection is gone, or the server
//! stops.

use bytes::Bytes;
use octoserve::domain::digest::Digest;
use octoserve::domain::upload::UploadId;
use octoserve::ports::BlobStore;
use octoserve::ports::blob_store::{AppendOutcome, FinishOutcome};
use octoserve::ports::body::Body;

use super::{finish, read_all, received};
use crate::adapters::{Adapter, until};
use crate::bodies::{LARGE, fed, whole};
use crate::names::{blob, session, sha512};

/// What is stored of a dropped request must be a prefix of what it sent, from
/// which another request can go on. Returns its length.
async fn settle(store: &dyn BlobStore, id: UploadId, content: &Bytes) -> usize {
    // What the request had in hand when it was dropped may still be stored, and
    // it holds the session until then.
    let mut at = 0;
    until("the session can be appended to", async || {
        at = received(store, id).await.expect("the session stands");
        let appended = store
            .append(id, Some(at), octoserve::ports::body::empty())
            .await;
        appended.expect("answers") == AppendOutcome::Appended { received: at }
    })
    .await;
    let at = usize::try_from(at).expect("a small upload");
    assert!(at <= content.len(), "more is stored than was sent");
    at
}

async fn an_append_dropped_before_its_first_byte_changes_nothing(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    let (content, digest) = blob(1, 100);
    store.begin(&session).await.expect("begins");
    let (_feed, body) = fed();
    drop_when(store.append(session.id, None, body), async || true).await;
    assert_eq!(settle(&*store, session.id, &Bytes::new()).await, 0);
    finish(&*store, session.id, &content, &content, &digest).await;
}

async fn an_append_dropped_midway_can_be_resumed(adapter: Adapter) {
    let session = session(&adapter);
    let (content, digest) = blob(1, 6 * LARGE);
    let store = adapter.blobs();
    store.begin(&session).await.expect("begins");
    let mut sent = 0;
    for number in 1..=3 {
        let end = number * 2 * LARGE;
        let at = settle(&*store, session.id, &content.slice(..sent)).await;
        let (feed, body) = fed();
        feed.send(&content.slice(at..end - 100));
        let appending = store.append(session.id, Some(at as u64), body);
        // The rest is less than an adapter gathers, so it may be lost.
        let mut rest = Some(content.slice(end - 100..end));
        drop_when(appending, async || {
            if let Some(rest) = rest.take() {
                feed.send(&rest);
            }
            received(&*store, session.id).await > Some(at as u64)
        })
        .await;
        sent = end;
    }
    let at = settle(&*store, session.id, &content.slice(..sent)).await;
    assert!(at > 0, "something was stored each time");
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

async fn a_finish_dropped_midway_can_be_resumed(adapter: Adapter) {
    let session = session(&adapter);
    let (content, digest) = blob(1, 3 * LARGE);
    let store = adapter.blobs();
    store.begin(&session).await.expect("begins");
    let (feed, body) = fed();
    feed.send(&content.slice(..2 * LARGE));
    drop_when(
        store.finish(session.id, Some(0), body, &digest),
        async || received(&*store, session.id).await > Some(0),
    )
    .await;
    assert_eq!(store.stat(&digest).await.expect("looks"), None);
    let at = settle(&*store, session.id, &content.slice(..2 * LARGE)).await;
    assert!(at > 0);
    finish(&*store, session.id, &content.slice(at..), &content, &digest).await;
}

async fn a_finish_as_sha512_dropped_midway_can_be_resumed_as_sha256(adapter: Adapter) {
    let session = session(&adapter);
    let (content, digest) = blob(1, 3 * LARGE);
    let store = adapter.blobs();
    store.begin(&session).await.expect("begins");
    let (feed, body) = fed();
    feed.send(&content.slice(..2 * LARGE));
    let other = sha512(&content);
    drop_when(
        store.finish(session.id, Some(0), body, &other),
        async || received(&*store, session.id).await > Some(0),
    )
    .await;
    let at = settle(&*store, session.id, &content.slice(..2 * LARGE)).await;
    finish(&*store, session.id, &content.slice(at..), &content, &digest).await;
}

async fn a_finish_dropped_at_any_moment_is_whole_or_can_be_repeated(adapter: Adapter) {
    let sessions = crate::names::sessions(&adapter, 24);
    for (polls, session) in sessions.into_iter().enumerate() {
        let store = adapter.blobs();
        let (content, digest) = blob(polls as u64, 70_000);
        store.begin(&session).await.expect("begins");
        super::append(&*store, session.id, 0, &content.slice(..35_000)).await;
        let rest = content.slice(35_000..);
        let finishing = store.finish(session.id, Some(35_000), whole(&rest), &digest);
        poll_times(finishing, polls).await;
        // It may still be at work; the blob appears whole, or the session stands.
        until("the finish has come to its end", async || {
            match received(&*store, session.id).await {
                None => true,
                Some(_) => is_idle(&*store, session.id).await,
            }
        })
        .await;
        if received(&*store, session.id).await.is_some() {
            let at = settle(&*store, session.id, &content).await;
            finish(&*store, session.id, &content.slice(at..), &content, &digest).await;
        }
        assert!(read_all(&*store, &digest).await.as_ref() == Some(&content));
    }
}

async fn an_abandoned_and_dropped_append_leaves_no_session(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    let (content, _) = blob(1, 2 * LARGE);
    store.begin(&session).await.expect("begins");
    let (feed, body) = fed();
    feed.send(&content);
    drop_when(store.append(session.id, None, body), async || {
        received(&*store, session.id).await > Some(0)
    })
    .await;
    assert!(store.abandon(session.id).await.expect("abandons"));
    assert_eq!(received(&*store, session.id).await, None);
    assert_eq!(received(&*adapter.blobs(), session.id).await, None);
}

/// Runs `request` until something is so, and drops it before its end.
async fn drop_when<T: std::fmt::Debug>(
    request: impl Future<Output = T>,
    is_so: impl AsyncFnMut() -> bool,
) {
    tokio::select! {
        biased;
        ended = request => panic!("the request ended: {ended:?}"),
        () = until("the request has come so far", is_so) => {}
    }
}

/// Polls a request so many times, with some time for its tasks in between.
async fn poll_times<T>(request: impl Future<Output = T>, times: usize) {
    let mut request = std::pin::pin!(request);
    for _ in 0..times {
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(request.as_mut().poll(context).is_ready())
        });
        if polled.await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_micros(100)).await;
    }
}

async fn is_idle(store: &dyn BlobStore, id: UploadId) -> bool {
    let body: Body = octoserve::ports::body::empty();
    !matches!(
        store.append(id, None, body).await.expect("answers"),
        AppendOutcome::OutOfOrder { .. }
    )
}

/// Kept apart from the tests above: a repeat of a finish that did come to its
/// end finds no session, and says so.
async fn a_finish_repeated_after_its_end_is_unknown(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    let (content, digest): (Bytes, Digest) = blob(1, 1000);
    store.begin(&session).await.expect("begins");
    finish(&*store, session.id, &content, &content, &digest).await;
    let again = store
        .finish(session.id, Some(0), whole(&content), &digest)
        .await;
    assert_eq!(again.expect("answers"), FinishOutcome::Unknown);
    assert!(read_all(&*store, &digest).await.as_ref() == Some(&content));
}

on_every_adapter!(
    an_append_dropped_before_its_first_byte_changes_nothing,
    an_append_dropped_midway_can_be_resumed,
    a_finish_dropped_midway_can_be_resumed,
    a_finish_as_sha512_dropped_midway_can_be_resumed_as_sha256,
    a_finish_dropped_at_any_moment_is_whole_or_can_be_repeated,
    an_abandoned_and_dropped_append_leaves_no_session,
    a_finish_repeated_after_its_end_is_unknown,
);
