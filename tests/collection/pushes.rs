//! Pushes that a collector gets in the way of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::record_key::RecordKey;

use crate::meddling::{Change, MeddledRecords};
use crate::setup::{Setup, on_every_store, push_index};

/// The name of content becomes durable with a revision that is written after it.
async fn content_that_is_put_again_has_its_revision_written_after_it(mut setup: Setup) {
    let blobs = Arc::clone(&setup.blobs);
    let removed = Arc::new(AtomicUsize::new(0));
    let stored_at_writes = Arc::new(Mutex::new(Vec::new()));
    let (removals, seen) = (Arc::clone(&removed), Arc::clone(&stored_at_writes));
    setup.records = Arc::new(MeddledRecords::new(
        Arc::clone(&setup.records),
        move |change| {
            let (blobs, removals, seen) =
                (Arc::clone(&blobs), Arc::clone(&removals), Arc::clone(&seen));
            Box::pin(async move {
                match change {
                    Change::Write(RecordKey::Revision(_, digest)) => {
                        let stat = blobs.stat(&digest).await.expect("looks");
                        let mut seen = seen.lock().expect("not poisoned");
                        seen.push(stat.is_some());
                    }
                    Change::Written(RecordKey::Revision(_, digest))
                        if removals.fetch_add(1, Ordering::Relaxed) == 0 =>
                    {
                        let stat = blobs.stat(&digest).await.expect("looks");
                        let version = stat.expect("it is there").version;
                        let removal = blobs.remove_if_unchanged(&digest, &version).await;
                        removal.expect("removes");
                    }
                    _ => {}
                }
            })
        },
    ));
    let index = push_index(&setup.registry(), "a", Some("v1"), &[]).await;
    assert!(setup.is_stored(&index.digest).await);
    assert_eq!(
        index.digest,
        Digest::of(Algorithm::Sha256, index.content.as_bytes())
    );
    let stored = stored_at_writes.lock().expect("not poisoned").clone();
    assert_eq!(
        stored,
        [true, true],
        "once before and once after it was gone"
    );
}

on_every_store!(content_that_is_put_again_has_its_revision_written_after_it);
