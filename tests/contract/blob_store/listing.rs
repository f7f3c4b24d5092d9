//! What a collector asks for: `list`, `remove_if_unchanged`, `touch_all` and
//! `leftovers`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use octoserve::domain::digest::Digest;
use octoserve::domain::range::ByteRange;
use octoserve::ports::BlobStore;
use octoserve::ports::blob_store::{BlobRemoval, BlobVersion, ListedBlob};

use super::{appended, finish, read_all, read_source};
use crate::adapters::{Adapter, at_once};
use crate::bodies::LARGE;
use crate::names::{blob, session, sessions, sha256, sha512};

const HOUR: Duration = Duration::from_secs(3600);

/// Stores `count` small blobs of both algorithms, and returns their digests in
/// order.
async fn stored(store: &dyn BlobStore, count: u64) -> Vec<Digest> {
    let mut digests = Vec::new();
    for number in 0..count {
        let content = Bytes::from(number.to_string());
        let digest = match number % 3 {
            0 => sha512(&content),
            _ => sha256(&content),
        };
        store.put(&digest, content).await.expect("stores");
        digests.push(digest);
    }
    digests.sort_unstable();
    digests
}

async fn listed(store: &dyn BlobStore, after: Option<&Digest>, limit: usize) -> Vec<Digest> {
    let blobs = store.list(after, limit).await.expect("lists");
    blobs.into_iter().map(|blob| blob.digest).collect()
}

async fn version(store: &dyn BlobStore, digest: &Digest) -> BlobVersion {
    let stat = store.stat(digest).await.expect("looks");
    stat.expect("a stored blob").version
}

async fn an_empty_store_lists_no_blobs(adapter: Adapter) {
    let store = adapter.blobs();
    assert_eq!(listed(&*store, None, 10).await, []);
    assert_eq!(listed(&*store, Some(&sha256(b"")), 10).await, []);
}

async fn blobs_are_listed_in_the_order_of_their_digests(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let digests = stored(&*store, 300).await;
    for store in [store, other, adapter.blobs()] {
        assert_eq!(listed(&*store, None, 1000).await, digests);
    }
    let texts = digests.iter().map(ToString::to_string);
    assert!(texts.is_sorted(), "the order is that of the texts, too");
}

async fn blobs_are_listed_page_by_page(adapter: Adapter) {
    let store = adapter.blobs();
    let digests = stored(&*store, 100).await;
    for limit in [1, 7, 99, 100, 101] {
        let mut paged = Vec::new();
        loop {
            let page = listed(&*store, paged.last(), limit).await;
            assert!(page.len() <= limit, "no more than were asked for");
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, digests, "in pages of {limit}");
    }
}

async fn blobs_are_listed_after_a_digest_that_is_not_stored(adapter: Adapter) {
    let store = adapter.blobs();
    let digests = stored(&*store, 50).await;
    let mut others: Vec<_> = (0..40_u8)
        .flat_map(|number| [sha256(&[number, 0, 1]), sha512(&[number, 0, 1])])
        .collect();
    others.sort_unstable();
    for after in others {
        let expected = digests.iter().copied().filter(|digest| *digest > after);
        let expected: Vec<_> = expected.collect();
        assert_eq!(listed(&*store, Some(&after), 100).await, expected);
    }
}

async fn a_listed_blob_is_as_stat_shows_it(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 1000);
    let session = session(&adapter);
    store.begin(&session).await.expect("begins");
    finish(&*store, session.id, &content, &content, &digest).await;
    let stat = store.stat(&digest).await.expect("looks");
    let stat = stat.expect("a stored blob");
    let blobs = adapter.blobs().list(None, 10).await.expect("lists");
    assert_eq!(blobs, [ListedBlob { digest, stat }]);
}

async fn what_is_no_blob_yet_is_not_listed(adapter: Adapter) {
    let store = adapter.blobs();
    let session = session(&adapter);
    let (content, _) = blob(1, 1000);
    store.begin(&session).await.expect("begins");
    appended(&*store, session.id, &content).await;
    assert_eq!(listed(&*store, None, 10).await, []);
}

async fn a_blob_that_is_renewed_meanwhile_is_listed(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let (content, digest) = blob(1, 10);
    let put = one.blobs.put(&digest, content.clone()).await;
    put.expect("stores");
    let (content, one, other) = (&content, &one, &other);
    at_once(2, move |number| async move {
        for _ in 0..200 {
            if number == 0 {
                let put = one.blobs.put(&digest, content.clone()).await;
                put.expect("stores");
            } else {
                assert_eq!(listed(&*other.blobs, None, 10).await, [digest]);
            }
        }
    });
}

async fn a_blob_is_removed_in_the_state_it_was_seen_in(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content.clone()).await.expect("stores");
    let seen = version(&*store, &digest).await;
    let removed = other.remove_if_unchanged(&digest, &seen).await;
    assert_eq!(removed.expect("removes"), BlobRemoval::Removed);
    assert_eq!(store.stat(&digest).await.expect("looks"), None);
    assert_eq!(read_all(&*store, &digest).await, None);
    assert_eq!(listed(&*store, None, 10).await, []);
    let again = store.remove_if_unchanged(&digest, &seen).await;
    assert_eq!(again.expect("answers"), BlobRemoval::Absent);
}

async fn what_was_opened_stays_readable_when_the_blob_is_removed(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, LARGE);
    store.put(&digest, content.clone()).await.expect("stores");
    let whole = store.open(&digest, None).await.expect("opens");
    let range = ByteRange { start: 10, end: 20 };
    let part = store.open(&digest, Some(range)).await.expect("opens");
    let seen = version(&*store, &digest).await;
    let removed = store.remove_if_unchanged(&digest, &seen).await;
    assert_eq!(removed.expect("removes"), BlobRemoval::Removed);
    assert!(read_source(whole.expect("a stored blob").source).await == content);
    assert!(read_source(part.expect("a stored blob").source).await == content.slice(10..20));
}

async fn a_blob_that_was_renewed_is_not_removed(adapter: Adapter) {
    let (store, other) = (adapter.blobs(), adapter.blobs());
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content.clone()).await.expect("stores");
    for way in 0..4 {
        let seen = version(&*store, &digest).await;
        match way {
            0 => assert!(other.touch(&digest).await.expect("touches")),
            1 => assert_eq!(other.touch_all(&[digest]).await.expect("touches"), []),
            2 => {
                let put = other.put(&digest, content.clone()).await.expect("stores");
                assert_ne!(put.version, seen);
            }
            _ => {
                let session = session(&adapter);
                other.begin(&session).await.expect("begins");
                finish(&*other, session.id, &content, &content, &digest).await;
            }
        }
        assert_ne!(version(&*store, &digest).await, seen, "way {way}");
        let removed = store.remove_if_unchanged(&digest, &seen).await;
        assert_eq!(removed.expect("answers"), BlobRemoval::Changed, "way {way}");
        assert_eq!(read_all(&*store, &digest).await, Some(content.clone()));
    }
}

async fn a_blob_that_came_back_is_another_one(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content.clone()).await.expect("stores");
    let seen = version(&*store, &digest).await;
    let removed = store.remove_if_unchanged(&digest, &seen).await;
    assert_eq!(removed.expect("removes"), BlobRemoval::Removed);
    store.put(&digest, content.clone()).await.expect("stores");
    let again = store.remove_if_unchanged(&digest, &seen).await;
    assert_eq!(again.expect("answers"), BlobRemoval::Changed);
    assert_eq!(read_all(&*store, &digest).await, Some(content));
}

async fn reading_a_blob_does_not_renew_it(adapter: Adapter) {
    let store = adapter.blobs();
    let (content, digest) = blob(1, 1000);
    store.put(&digest, content).await.expect("stores");
    let seen = version(&*store, &digest).await;
    read_all(&*store, &digest).await;
    store.hash(&digest).await.expect("hashes");
    listed(&*store, None, 10).await;
    assert_eq!(version(&*adapter.blobs(), &digest).await, seen);
}

/// Whoever is told that the blob was renewed still has it afterwards.
async fn a_renewal_and_a_removal_do_not_both_succeed(adapter: Adapter) {
    const ROUNDS: u64 = 60;
    let (one, other) = (adapter.open(), adapter.open());
    for round in 0..ROUNDS {
        let (content, digest) = blob(round, 10);
        one.blobs.put(&digest, content).await.expect("stores");
        let seen = version(&*one.blobs, &digest).await;
        let (one, other) = (&one, &other);
        let succeeded = at_once(2, move |number| async move {
            match number {
                0 => one.blobs.touch(&digest).await.expect("answers"),
                _ => {
                    let removed = other.blobs.remove_if_unchanged(&digest, &seen).await;
                    removed.expect("answers") == BlobRemoval::Removed
                }
            }
        });
        let [renewed, removed] = succeeded[..] else {
            panic!("two were asked: {succeeded:?}");
        };
        assert!(renewed != removed, "both or none: {renewed}");
        let stat = one.blobs.stat(&digest).await.expect("looks");
        assert_eq!(stat.is_some(), renewed);
    }
}

async fn of_several_blobs_the_missing_are_told(adapter: Adapter) {
    let store = adapter.blobs();
    let digests = stored(&*store, 40).await;
    adapter.age(2 * HOUR);
    let missing = [sha256(b"missing"), sha512(b"missing")];
    let mut all = digests.clone();
    all.extend(missing);
    let mut told = store.touch_all(&all).await.expect("touches");
    told.sort_unstable();
    assert_eq!(told, missing);
    let before = adapter.now() - HOUR;
    for listed in store.list(None, 100).await.expect("lists") {
        assert!(listed.stat.leased > before, "{} is renewed", listed.digest);
    }
    assert_eq!(store.touch_all(&[]).await.expect("touches"), []);
}

async fn what_is_in_use_is_no_leftover(adapter: Adapter) {
    let store = adapter.blobs();
    let sessions = sessions(&adapter, 2);
    let (content, digest) = blob(1, LARGE);
    for session in &sessions {
        store.begin(session).await.expect("begins");
        appended(&*store, session.id, &content).await;
    }
    let [finished, _begun] = <[_; 2]>::try_from(sessions).expect("two sessions");
    finish(&*store, finished.id, &Bytes::new(), &content, &digest).await;
    let (content, digest) = blob(2, 10);
    store.put(&digest, content).await.expect("stores");
    adapter.age(HOUR);
    assert_eq!(leftovers(&*store, adapter.now()).await, 0);
}

async fn leftovers(store: &dyn BlobStore, before: SystemTime) -> usize {
    store.leftovers(before, 100).await.expect("lists").len()
}

on_every_adapter!(
    an_empty_store_lists_no_blobs,
    blobs_are_listed_in_the_order_of_their_digests,
    blobs_are_listed_page_by_page,
    blobs_are_listed_after_a_digest_that_is_not_stored,
    a_listed_blob_is_as_stat_shows_it,
    what_is_no_blob_yet_is_not_listed,
    a_blob_that_is_renewed_meanwhile_is_listed,
    a_blob_is_removed_in_the_state_it_was_seen_in,
    what_was_opened_stays_readable_when_the_blob_is_removed,
    a_blob_that_was_renewed_is_not_removed,
    a_blob_that_came_back_is_another_one,
    reading_a_blob_does_not_renew_it,
    a_renewal_and_a_removal_do_not_both_succeed,
    of_several_blobs_the_missing_are_told,
    what_is_in_use_is_no_leftover,
);
