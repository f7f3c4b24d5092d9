//! `finish`.

use std::time::Duration;

use bytes::Bytes;
use octoserve::domain::digest::Algorithm;
use octoserve::domain::upload::UploadSession;
use octoserve::ports::blob_store::FinishOutcome;
use octoserve::ports::body;

use super::{append, finish, read_all, received};
use crate::adapters::Adapter;
use crate::bodies::{LARGE, whole};
use crate::names::{blob, session, sha256, sha512};

async fn an_upload_in_one_request_is_a_blob(adapter: Adapter) {
    let lengths = [0, 1, 8191, 8192, 512 * 1024, LARGE];
    for (length, session) in lengths.into_iter().zip(crate::names::sessions(&adapter, 6)) {
        let store = adapter.blobs();
        let (content, digest) = blob(length as u64, length);
        store.begin(&session).await.expect("begins");
        finish(&*store, session.id, &content, &content, &digest).await;
        let elsewhere = read_all(&*adapter.blobs(), &digest).await;
        assert!(elsewhere.as_ref() == Some(&content));
    }
}

async fn a_last_chunk_at_another_offset_is_refused_and_changes_nothing(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    let (content, digest) = blob(1, 2000);
    store.begin(&session).await.expect("begins");
    append(&*store, session.id, 0, &content.slice(..1000)).await;
    for offset in [0, 999, 1001, u64::MAX] {
        let body = whole(&content.slice(1000..));
        let finished = store.finish(session.id, Some(offset), body, &digest).await;
        let refused = FinishOutcome::OutOfOrder { received: 1000 };
        assert_eq!(finished.expect("answers"), refused, "at {offset}");
    }
    assert_eq!(store.stat(&digest).await.expect("looks"), None);
    finish(
        &*store,
        session.id,
        &content.slice(1000..),
        &content,
        &digest,
    )
    .await;
}

async fn bytes_of_another_digest_leave_the_upload_as_it_was(adapter: Adapter) {
    for algorithm in Algorithm::ALL {
        for length in [10, LARGE] {
            differs(&adapter, algorithm, length).await;
        }
    }
}

async fn differs(adapter: &Adapter, algorithm: Algorithm, length: usize) {
    use octoserve::domain::digest::Digest;
    let store = adapter.blobs();
    let session = session(adapter);
    let (content, _) = blob(length as u64, length);
    let (right, wrong) = (
        Digest::of(algorithm, &content),
        Digest::of(algorithm, b"something else"),
    );
    let half = length / 2;
    store.begin(&session).await.expect("begins");
    append(&*store, session.id, 0, &content.slice(..half)).await;
    for sent in [content.slice(half..), Bytes::new()] {
        let actual = Digest::of(algorithm, &content.slice(..half + sent.len()));
        let finished = store.finish(session.id, None, whole(&sent), &wrong).await;
        let differs = FinishOutcome::DigestDiffers { actual };
        assert_eq!(finished.expect("answers"), differs);
        assert_eq!(received(&*store, session.id).await, Some(half as u64));
        assert_eq!(store.stat(&wrong).await.expect("looks"), None);
    }
    finish(
        &*store,
        session.id,
        &content.slice(half..),
        &content,
        &right,
    )
    .await;
}

async fn a_session_of_one_algorithm_can_be_finished_as_the_other(adapter: Adapter) {
    let sessions = crate::names::sessions(&adapter, 4);
    let mut sessions = sessions.into_iter();
    for begun_as in Algorithm::ALL {
        for length in [1000, 2 * LARGE] {
            let session = UploadSession {
                algorithm: begun_as,
                ..sessions.next().expect("a session")
            };
            let (content, _) = blob(length as u64, length);
            let digest = match begun_as {
                Algorithm::Sha256 => sha512(&content),
                Algorithm::Sha512 => sha256(&content),
            };
            let half = length / 2;
            adapter.blobs().begin(&session).await.expect("begins");
            append(&*adapter.blobs(), session.id, 0, &content.slice(..half)).await;
            let store = adapter.blobs();
            finish(
                &*store,
                session.id,
                &content.slice(half..),
                &content,
                &digest,
            )
            .await;
        }
    }
}

async fn finishing_what_is_stored_renews_the_lease(adapter: Adapter) {
    let hour = Duration::from_secs(3600);
    let store = adapter.blobs();
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content.clone()).await.expect("stores");
    adapter.age(hour);
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    let finished = store
        .finish(session.id, None, whole(&content), &digest)
        .await;
    let FinishOutcome::Finished(stat) = finished.expect("finishes") else {
        panic!("the upload did not finish");
    };
    assert_eq!(store.stat(&digest).await.expect("looks"), Some(stat));
    let age = adapter
        .now()
        .duration_since(stat.leased)
        .unwrap_or_default();
    assert!(age < hour, "the lease is of {age:?} ago");
    assert!(read_all(&*store, &digest).await.as_ref() == Some(&content));
}

async fn of_two_finishes_at_once_one_wins(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    for (round, session) in crate::names::sessions(&adapter, 20).into_iter().enumerate() {
        let (content, digest) = blob(round as u64, 10_000);
        one.blobs.begin(&session).await.expect("begins");
        append(&*one.blobs, session.id, 0, &content).await;
        let outcomes = crate::adapters::at_once(4, async |number| {
            let store = if number % 2 == 0 {
                &one.blobs
            } else {
                &other.blobs
            };
            let offset = Some(content.len() as u64);
            let finished = store.finish(session.id, offset, body::empty(), &digest);
            finished.await.expect("answers")
        });
        let (won, lost): (Vec<_>, Vec<_>) = outcomes
            .into_iter()
            .partition(|outcome| matches!(outcome, FinishOutcome::Finished(_)));
        assert_eq!(won.len(), 1, "those who lost: {lost:?}");
        for outcome in lost {
            assert!(
                matches!(
                    outcome,
                    FinishOutcome::Unknown | FinishOutcome::OutOfOrder { .. }
                ),
                "{outcome:?}"
            );
        }
        assert!(read_all(&*one.blobs, &digest).await.as_ref() == Some(&content));
        assert_eq!(received(&*one.blobs, session.id).await, None);
    }
}

async fn of_a_finish_and_an_abandon_at_once_either_tells_the_truth(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let mut finished_ones = 0;
    let sessions = crate::names::sessions(&adapter, 60);
    for (round, session) in sessions.into_iter().enumerate() {
        let (content, digest) = blob(round as u64, 10_000);
        one.blobs.begin(&session).await.expect("begins");
        append(&*one.blobs, session.id, 0, &content).await;
        // The abandon is late by more and more, to meet the finish at each of
        // its steps.
        let delay = Duration::from_micros(round as u64 * 10);
        let outcomes = crate::adapters::at_once(2, async |number| {
            if number == 0 {
                let finishing = one.blobs.finish(session.id, None, body::empty(), &digest);
                Some(finishing.await.expect("answers"))
            } else {
                std::thread::sleep(delay);
                other.blobs.abandon(session.id).await.expect("answers");
                None
            }
        });
        let stored = read_all(&*one.blobs, &digest).await;
        match outcomes.into_iter().flatten().next() {
            Some(FinishOutcome::Finished(_)) => {
                finished_ones += 1;
                assert!(stored.as_ref() == Some(&content), "it said it had finished");
            }
            Some(FinishOutcome::Unknown) => {
                assert_eq!(stored, None, "it said there was no upload");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(received(&*one.blobs, session.id).await, None);
        assert!(!one.blobs.abandon(session.id).await.expect("answers"));
    }
    assert!(finished_ones > 0, "the abandon was never late");
}

on_every_adapter!(
    an_upload_in_one_request_is_a_blob,
    a_last_chunk_at_another_offset_is_refused_and_changes_nothing,
    bytes_of_another_digest_leave_the_upload_as_it_was,
    a_session_of_one_algorithm_can_be_finished_as_the_other,
    finishing_what_is_stored_renews_the_lease,
    of_two_finishes_at_once_one_wins,
    of_a_finish_and_an_abandon_at_once_either_tells_the_truth,
);
