//! `append`.

use bytes::Bytes;
use octoserve::ports::blob_store::AppendOutcome;
use octoserve::ports::body::{self, Body};

use super::{append, finish, received};
use crate::adapters::{Adapter, Opened, until};
use crate::bodies::{LARGE, fed, whole};
use crate::names::{blob, session};

async fn chunks_are_put_together_in_order(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    let (content, digest) = blob(1, LARGE);
    let cuts = [0, 1, 100, 70_000, 70_000, 600_000];
    for (start, end) in cuts.into_iter().zip(cuts.into_iter().skip(1)) {
        append(
            &*store,
            session.id,
            start as u64,
            &content.slice(start..end),
        )
        .await;
        assert_eq!(received(&*store, session.id).await, Some(end as u64));
    }
    finish(
        &*store,
        session.id,
        &content.slice(600_000..),
        &content,
        &digest,
    )
    .await;
}

async fn a_chunk_without_an_offset_follows_what_is_there(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    let (content, digest) = blob(1, 300);
    for number in 0..3 {
        let chunk = content.slice(number * 100..(number + 1) * 100);
        let appended = store.append(session.id, None, whole(&chunk)).await;
        let received = (number as u64 + 1) * 100;
        assert_eq!(
            appended.expect("appends"),
            AppendOutcome::Appended { received }
        );
    }
    finish(&*store, session.id, &Bytes::new(), &content, &digest).await;
}

async fn an_empty_chunk_changes_nothing(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    append(&*store, session.id, 0, &Bytes::new()).await;
    append(&*store, session.id, 0, &blob(1, 10).0).await;
    append(&*store, session.id, 10, &Bytes::new()).await;
    assert_eq!(received(&*store, session.id).await, Some(10));
}

async fn a_chunk_at_another_offset_is_refused_and_changes_nothing(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    let (content, digest) = blob(1, 2 * LARGE);
    append(&*store, session.id, 0, &content.slice(..LARGE)).await;
    let at = LARGE as u64;
    for offset in [0, 1, at - 1, at + 1, u64::MAX] {
        for length in [0, 10, LARGE] {
            let body = whole(&content.slice(..length));
            let appended = store.append(session.id, Some(offset), body).await;
            let refused = AppendOutcome::OutOfOrder { received: at };
            assert_eq!(
                appended.expect("answers"),
                refused,
                "{length} bytes at {offset}"
            );
            assert_eq!(received(&*store, session.id).await, Some(at));
        }
    }
    finish(
        &*store,
        session.id,
        &content.slice(LARGE..),
        &content,
        &digest,
    )
    .await;
}

async fn a_second_append_in_the_same_process_is_out_of_order(adapter: Adapter) {
    let opened = adapter.open();
    a_second_append_is_out_of_order(&adapter, &opened, &opened).await;
}

async fn a_second_append_in_another_process_is_out_of_order(adapter: Adapter) {
    let (opened, other) = (adapter.open(), adapter.open());
    a_second_append_is_out_of_order(&adapter, &opened, &other).await;
}

async fn a_second_append_is_out_of_order(adapter: &Adapter, opened: &Opened, other: &Opened) {
    let (store, other) = (&opened.blobs, &other.blobs);
    let session = session(adapter);
    store.begin(&session).await.expect("begins");
    let (content, digest) = blob(1, 2 * LARGE);
    let (first, rest) = (content.slice(..LARGE), content.slice(LARGE..));
    let (feed, body) = fed();
    feed.send(&first);
    let appending = store.append(session.id, Some(0), body);
    let meddling = async {
        until("the first append has stored bytes", async || {
            received(&**other, session.id).await > Some(0)
        })
        .await;
        for offset in [None, Some(0), received(&**other, session.id).await] {
            let second: Body = whole(&rest);
            let appended = other.append(session.id, offset, second).await;
            let appended = appended.expect("answers");
            assert!(
                matches!(appended, AppendOutcome::OutOfOrder { received } if received > 0),
                "at {offset:?}: {appended:?}"
            );
            let finished = other
                .finish(session.id, offset, body::empty(), &digest)
                .await;
            let finished = finished.expect("answers");
            assert!(
                matches!(
                    finished,
                    octoserve::ports::blob_store::FinishOutcome::OutOfOrder { received }
                        if received > 0
                ),
                "at {offset:?}: {finished:?}"
            );
        }
        drop(feed);
    };
    let (appended, ()) = tokio::join!(appending, meddling);
    let received = LARGE as u64;
    assert_eq!(
        appended.expect("appends"),
        AppendOutcome::Appended { received }
    );
    finish(&**other, session.id, &rest, &content, &digest).await;
}

async fn what_was_appended_is_there_when_the_store_is_opened_again(adapter: Adapter) {
    let session = session(&adapter);
    let (content, digest) = blob(1, 3 * LARGE);
    adapter.blobs().begin(&session).await.expect("begins");
    for number in 0..3_usize {
        let (start, end) = (number * LARGE, (number + 1) * LARGE);
        let store = adapter.blobs();
        assert_eq!(received(&*store, session.id).await, Some(start as u64));
        append(
            &*store,
            session.id,
            start as u64,
            &content.slice(start..end),
        )
        .await;
    }
    finish(
        &*adapter.blobs(),
        session.id,
        &Bytes::new(),
        &content,
        &digest,
    )
    .await;
}

async fn an_upload_that_is_abandoned_takes_no_more(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    let (content, _) = blob(1, LARGE);
    let (feed, body) = fed();
    feed.send(&content);
    let appending = store.append(session.id, Some(0), body);
    let meddling = async {
        until("the append has stored bytes", async || {
            received(&*other, session.id).await > Some(0)
        })
        .await;
        assert!(other.abandon(session.id).await.expect("abandons"));
        feed.send(&content);
        drop(feed);
    };
    let (appended, ()) = tokio::join!(appending, meddling);
    assert_eq!(appended.expect("answers"), AppendOutcome::Unknown);
    assert_eq!(received(&*store, session.id).await, None);
    assert!(!store.abandon(session.id).await.expect("answers"));
}

on_every_adapter!(
    chunks_are_put_together_in_order,
    a_chunk_without_an_offset_follows_what_is_there,
    an_empty_chunk_changes_nothing,
    a_chunk_at_another_offset_is_refused_and_changes_nothing,
    a_second_append_in_the_same_process_is_out_of_order,
    a_second_append_in_another_process_is_out_of_order,
    what_was_appended_is_there_when_the_store_is_opened_again,
    an_upload_that_is_abandoned_takes_no_more,
);
