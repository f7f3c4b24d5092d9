//! Upload sessions as such: `begin`, `upload`, `abandon` and `stale_uploads`.

use std::time::Duration;

use octoserve::domain::upload::UploadId;
use octoserve::ports::blob_store::{AppendOutcome, FinishOutcome, UploadStatus};
use octoserve::ports::body;

use super::{append, finish, received};
use crate::adapters::Adapter;
use crate::names::{blob, session, sessions, sha256};

const HOUR: Duration = Duration::from_secs(3600);

async fn a_session_is_seen_by_every_opening_once_it_has_begun(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    let begun = UploadStatus {
        session: session.clone(),
        received: 0,
    };
    for store in [store, other, adapter.blobs()] {
        let status = store.upload(session.id).await.expect("looks");
        assert_eq!(status, Some(begun.clone()));
    }
}

async fn a_session_that_was_never_begun_is_unknown(adapter: Adapter) {
    let store = adapter.blobs();
    let id = UploadId::new(uuid::Uuid::from_u128(77));
    let (content, digest) = blob(1, 10);
    assert_eq!(store.upload(id).await.expect("looks"), None);
    let appended = store.append(id, None, crate::bodies::whole(&content)).await;
    assert_eq!(appended.expect("answers"), AppendOutcome::Unknown);
    let finished = store
        .finish(id, Some(0), crate::bodies::whole(&content), &digest)
        .await;
    assert_eq!(finished.expect("answers"), FinishOutcome::Unknown);
    assert!(!store.abandon(id).await.expect("answers"));
    assert_eq!(store.stat(&digest).await.expect("looks"), None);
}

async fn a_finished_session_is_unknown(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let session = session(&adapter);
    let (content, digest) = blob(1, 10);
    store.begin(&session).await.expect("begins");
    finish(&*store, session.id, &content, &content, &digest).await;
    assert_eq!(received(&*other, session.id).await, None);
    let appended = other.append(session.id, None, body::empty()).await;
    assert_eq!(appended.expect("answers"), AppendOutcome::Unknown);
    let again = other.finish(session.id, None, body::empty(), &digest).await;
    assert_eq!(again.expect("answers"), FinishOutcome::Unknown);
    assert!(!other.abandon(session.id).await.expect("answers"));
}

async fn an_abandoned_session_is_unknown(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let session = session(&adapter);
    let (content, _) = blob(1, 10);
    store.begin(&session).await.expect("begins");
    append(&*store, session.id, 0, &content).await;
    assert!(other.abandon(session.id).await.expect("abandons"));
    assert_eq!(received(&*store, session.id).await, None);
    let appended = store.append(session.id, None, body::empty()).await;
    assert_eq!(appended.expect("answers"), AppendOutcome::Unknown);
    let finished = store
        .finish(session.id, None, body::empty(), &sha256(&content))
        .await;
    assert_eq!(finished.expect("answers"), FinishOutcome::Unknown);
    assert!(!store.abandon(session.id).await.expect("answers"));
}

async fn sessions_do_not_meet(adapter: Adapter) {
    let store = adapter.blobs();
    let [one, other] = <[_; 2]>::try_from(sessions(&adapter, 2)).expect("two sessions");
    store.begin(&one).await.expect("begins");
    store.begin(&other).await.expect("begins");
    let (first, first_digest) = blob(1, 1000);
    let (second, second_digest) = blob(2, 2000);
    append(&*store, one.id, 0, &first.slice(..500)).await;
    append(&*store, other.id, 0, &second.slice(..500)).await;
    finish(&*store, one.id, &first.slice(500..), &first, &first_digest).await;
    assert_eq!(received(&*store, other.id).await, Some(500));
    finish(
        &*store,
        other.id,
        &second.slice(500..),
        &second,
        &second_digest,
    )
    .await;
}

async fn only_sessions_that_nothing_has_happened_to_are_stale(adapter: Adapter) {
    let store = adapter.blobs();
    let all = sessions(&adapter, 4);
    let [idle, idle_with_bytes, used, begun] = <[_; 4]>::try_from(all).expect("four sessions");
    let (content, _) = blob(1, 10);
    for session in [&idle, &idle_with_bytes, &used] {
        store.begin(session).await.expect("begins");
    }
    for session in [&idle_with_bytes, &used] {
        append(&*store, session.id, 0, &content).await;
    }
    adapter.age(2 * HOUR);
    store.begin(&begun).await.expect("begins");
    append(&*store, used.id, 10, &content).await;

    let before = adapter.now() - HOUR;
    let mut stale = store.stale_uploads(before, 10).await.expect("lists");
    stale.sort_unstable();
    assert_eq!(stale, [idle.id, idle_with_bytes.id]);
    let older = adapter.now() - 3 * HOUR;
    assert_eq!(store.stale_uploads(older, 10).await.expect("lists"), []);
}

async fn no_more_stale_sessions_are_listed_than_asked_for(adapter: Adapter) {
    let store = adapter.blobs();
    for session in sessions(&adapter, 5) {
        store.begin(&session).await.expect("begins");
    }
    adapter.age(HOUR);
    let before = adapter.now() - HOUR / 2;
    for (limit, listed) in [(1, 1), (3, 3), (5, 5), (9, 5)] {
        let stale = store.stale_uploads(before, limit).await.expect("lists");
        assert_eq!(stale.len(), listed, "with a limit of {limit}");
    }
}

async fn what_is_listed_as_stale_can_be_abandoned(adapter: Adapter) {
    let store = adapter.blobs();
    for session in sessions(&adapter, 3) {
        store.begin(&session).await.expect("begins");
    }
    adapter.age(HOUR);
    let before = adapter.now() - HOUR / 2;
    for id in store.stale_uploads(before, 10).await.expect("lists") {
        assert!(store.abandon(id).await.expect("abandons"));
    }
    assert_eq!(store.stale_uploads(before, 10).await.expect("lists"), []);
}

on_every_adapter!(
    a_session_is_seen_by_every_opening_once_it_has_begun,
    a_session_that_was_never_begun_is_unknown,
    a_finished_session_is_unknown,
    an_abandoned_session_is_unknown,
    sessions_do_not_meet,
    only_sessions_that_nothing_has_happened_to_are_stale,
    no_more_stale_sessions_are_listed_than_asked_for,
    what_is_listed_as_stale_can_be_abandoned,
);
