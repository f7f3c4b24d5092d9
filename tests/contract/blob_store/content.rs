//! Content by its digest: `stat`, `open`, `read`, `hash`, `put` and `touch`.

use std::time::Duration;

use bytes::Bytes;
use octoserve::domain::range::ByteRange;
use octoserve::ports::BlobStore;

use super::{read_all, read_source};
use crate::adapters::Adapter;
use crate::bodies::LARGE;
use crate::names::{blob, sha256, sha512};

const HOUR: Duration = Duration::from_secs(3600);

async fn a_blob_that_is_not_stored_is_not_found(adapter: Adapter) {
    let store = adapter.blobs();
    let digest = sha256(b"nothing");
    assert_eq!(store.stat(&digest).await.expect("looks"), None);
    assert!(store.open(&digest, None).await.expect("looks").is_none());
    assert_eq!(store.read(&digest, u64::MAX).await.expect("looks"), None);
    assert_eq!(store.hash(&digest).await.expect("looks"), None);
    assert!(!store.touch(&digest).await.expect("looks"));
}

async fn a_blob_hashes_to_its_digest_by_its_own_algorithm(adapter: Adapter) {
    let store = adapter.blobs();
    for length in [0, 1, LARGE] {
        let (content, digest) = blob(1, length);
        for digest in [digest, sha512(&content)] {
            store.put(&digest, content.clone()).await.expect("stores");
            let hashed = store.hash(&digest).await.expect("reads");
            let hashed = hashed.expect("a stored blob");
            assert_eq!(hashed.actual, digest);
            assert_eq!(hashed.stat.size, length as u64);
        }
    }
}

async fn what_is_put_is_read_back_by_every_opening(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    for length in [0, 1, LARGE] {
        let (content, digest) = blob(1, length);
        let put = store.put(&digest, content.clone()).await.expect("stores");
        assert_eq!(put.size, length as u64);
        for store in [&store, &other, &adapter.blobs()] {
            let stat = store.stat(&digest).await.expect("looks");
            assert_eq!(stat.map(|stat| stat.size), Some(length as u64));
            assert!(read_all(&**store, &digest).await.as_ref() == Some(&content));
            let opened = store.open(&digest, None).await.expect("opens");
            let opened = opened.expect("a stored blob");
            assert_eq!(opened.size, length as u64);
            assert!(read_source(opened.source).await == content);
        }
    }
}

async fn digests_of_both_algorithms_are_different_blobs(adapter: Adapter) {
    let store = adapter.blobs();
    let content = Bytes::from_static(b"content");
    let (one, other) = (sha256(&content), sha512(&content));
    store.put(&other, content.clone()).await.expect("stores");
    assert_eq!(store.stat(&one).await.expect("looks"), None);
    assert_eq!(read_all(&*store, &other).await, Some(content));
}

async fn a_range_is_cut_at_the_contents_end(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content.clone()).await.expect("stores");
    for (start, end, from, to) in [
        (0, 1000, 0, 1000),
        (0, 1, 0, 1),
        (999, 1000, 999, 1000),
        (10, 20, 10, 20),
        (990, 2000, 990, 1000),
        (0, u64::MAX, 0, 1000),
    ] {
        let range = Some(ByteRange { start, end });
        let opened = store.open(&digest, range).await.expect("opens");
        let opened = opened.expect("a stored blob");
        assert_eq!(opened.size, 1000, "the whole content's size");
        assert_eq!(read_source(opened.source).await, content.slice(from..to));
    }
}

async fn a_range_behind_the_content_is_empty(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content).await.expect("stores");
    for (start, end) in [(1000, 1001), (5000, 6000), (u64::MAX - 1, u64::MAX)] {
        let range = Some(ByteRange { start, end });
        let opened = store.open(&digest, range).await.expect("opens");
        let opened = opened.expect("a stored blob");
        assert_eq!(opened.size, 1000);
        assert_eq!(read_source(opened.source).await, Bytes::new());
    }
}

async fn a_blob_larger_than_the_limit_is_not_read(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 100);
    store.put(&digest, content.clone()).await.expect("stores");
    let read = async |limit| store.read(&digest, limit).await.expect("reads");
    assert_eq!(read(99).await, None);
    assert_eq!(read(0).await, None);
    assert_eq!(read(100).await, Some(content.clone()));
    assert_eq!(read(101).await, Some(content));
}

async fn what_was_opened_stays_readable_when_the_blob_is_stored_anew(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, LARGE);
    store.put(&digest, content.clone()).await.expect("stores");
    let opened = store.open(&digest, None).await.expect("opens");
    store.put(&digest, content.clone()).await.expect("stores");
    let opened = opened.expect("a stored blob");
    assert!(read_source(opened.source).await == content);
}

async fn storing_again_renews_the_lease(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 100);
    store.put(&digest, content.clone()).await.expect("stores");
    adapter.age(HOUR);
    assert!(age(&adapter, &*store, &digest).await >= HOUR);
    let put = store.put(&digest, content).await.expect("stores");
    assert!(age(&adapter, &*store, &digest).await < HOUR);
    let stat = store.stat(&digest).await.expect("looks");
    assert_eq!(stat, Some(put), "what the store said it did");
}

async fn touching_renews_the_lease_and_keeps_the_content(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 100);
    store.put(&digest, content.clone()).await.expect("stores");
    adapter.age(HOUR);
    assert!(age(&adapter, &*store, &digest).await >= HOUR);
    assert!(adapter.blobs().touch(&digest).await.expect("touches"));
    assert!(age(&adapter, &*store, &digest).await < HOUR);
    assert_eq!(read_all(&*store, &digest).await, Some(content));
}

/// How long ago a blob's lease was renewed.
async fn age(
    adapter: &Adapter,
    store: &dyn BlobStore,
    digest: &octoserve::domain::digest::Digest,
) -> Duration {
    let stat = store.stat(digest).await.expect("looks");
    let leased = stat.expect("a stored blob").leased;
    // A lease of this very moment may be ahead of a coarser clock.
    adapter.now().duration_since(leased).unwrap_or_default()
}

on_every_adapter!(
    a_blob_that_is_not_stored_is_not_found,
    what_is_put_is_read_back_by_every_opening,
    digests_of_both_algorithms_are_different_blobs,
    a_blob_hashes_to_its_digest_by_its_own_algorithm,
    a_range_is_cut_at_the_contents_end,
    a_range_behind_the_content_is_empty,
    a_blob_larger_than_the_limit_is_not_read,
    what_was_opened_stays_readable_when_the_blob_is_stored_anew,
    storing_again_renews_the_lease,
    touching_renews_the_lease_and_keeps_the_content,
);
