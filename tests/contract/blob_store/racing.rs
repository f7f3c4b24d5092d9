//! Readers beside writers: a blob is there whole or not at all.

use std::sync::atomic::{AtomicBool, Ordering};

use octoserve::domain::digest::Digest;
use octoserve::domain::upload::UploadSession;
use octoserve::ports::BlobStore;

use super::{read_all, read_source};
use crate::adapters::{Adapter, at_once};
use crate::bodies::whole;
use crate::names::blob;

/// How many blobs appear while they are read.
const ROUNDS: usize = 20;

/// Large enough to take a while to write.
const LENGTH: usize = 200_000;

async fn a_blob_that_is_put_appears_whole(adapter: Adapter) {
    appears_whole(&adapter, async |store, _, content, digest| {
        store.put(digest, content.clone()).await.expect("stores");
    });
}

async fn an_upload_that_is_finished_appears_whole(adapter: Adapter) {
    appears_whole(&adapter, async |store, session, content, digest| {
        store.begin(session).await.expect("begins");
        super::finish(store, session.id, content, content, digest).await;
    });
}

/// One writes, one of its process and one of another read.
fn appears_whole(
    adapter: &Adapter,
    write: impl AsyncFn(&dyn BlobStore, &UploadSession, &bytes::Bytes, &Digest) + Sync,
) {
    let (one, other) = (adapter.open(), adapter.open());
    for (round, session) in crate::names::sessions(adapter, ROUNDS)
        .into_iter()
        .enumerate()
    {
        let (content, digest) = blob(round as u64, LENGTH);
        let (content, digest, session) = (&content, &digest, &session);
        let (one, other, write) = (&one, &other, &write);
        at_once(3, move |number| async move {
            match number {
                0 => write(&*one.blobs, session, content, digest).await,
                1 => read_until_there(&*one.blobs, content, digest).await,
                _ => read_until_there(&*other.blobs, content, digest).await,
            }
        });
    }
}

async fn read_until_there(store: &dyn BlobStore, content: &bytes::Bytes, digest: &Digest) {
    loop {
        if let Some(stat) = store.stat(digest).await.expect("looks") {
            assert_eq!(stat.size, LENGTH as u64, "a part of it is there");
        }
        if let Some(opened) = store.open(digest, None).await.expect("opens") {
            assert!(
                read_source(opened.source).await == *content,
                "a part of it is there"
            );
        }
        if let Some(read) = read_all(store, digest).await {
            assert!(read == *content, "a part of it is there");
            return;
        }
    }
}

async fn a_blob_that_is_stored_again_and_again_stays_readable(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let (content, digest) = blob(1, LENGTH);
    one.blobs
        .put(&digest, content.clone())
        .await
        .expect("stores");
    let sessions = crate::names::sessions(&adapter, ROUNDS);
    let done = AtomicBool::new(false);
    at_once(3, async |number| match number {
        0 => {
            for session in &sessions {
                one.blobs
                    .put(&digest, content.clone())
                    .await
                    .expect("stores");
                other.blobs.begin(session).await.expect("begins");
                let finished = other
                    .blobs
                    .finish(session.id, None, whole(&content), &digest);
                finished.await.expect("finishes");
            }
            done.store(true, Ordering::Relaxed);
        }
        reader => {
            let store = if reader == 1 {
                &one.blobs
            } else {
                &other.blobs
            };
            while !done.load(Ordering::Relaxed) {
                let read = read_all(&**store, &digest).await;
                assert!(read.as_ref() == Some(&content), "it was gone, or not whole");
                assert!(store.touch(&digest).await.expect("touches"), "it was gone");
            }
        }
    });
}

async fn the_same_content_put_by_many_is_one_whole_blob(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    for round in 0..ROUNDS {
        let (content, digest) = blob(round as u64, 50_000);
        at_once(4, async |number| {
            let store = if number % 2 == 0 {
                &one.blobs
            } else {
                &other.blobs
            };
            store.put(&digest, content.clone()).await.expect("stores");
            assert!(read_all(&**store, &digest).await.as_ref() == Some(&content));
        });
    }
}

on_every_adapter!(
    a_blob_that_is_put_appears_whole,
    an_upload_that_is_finished_appears_whole,
    a_blob_that_is_stored_again_and_again_stays_readable,
    the_same_content_put_by_many_is_one_whole_blob,
);
