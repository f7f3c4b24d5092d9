//! `list`.

use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::ports::record_store::Expected;

use super::values::keys_of_every_kind;
use super::{leaves, remove, set};
use crate::adapters::Adapter;
use crate::names::{repository, sha256, tag};

const NAMES: [&str; 7] = ["a", "a/b", "a-b", "a.b", "a0", "b", "a/tags"];

async fn a_set_without_keys_is_empty(adapter: Adapter) {
    let store = adapter.records();
    for key in keys_of_every_kind("a") {
        let keys = store.list(&key.set(), None, 10).await.expect("lists");
        assert_eq!(keys, []);
        let keys = store.list(&key.set(), Some("m"), 10).await.expect("lists");
        assert_eq!(keys, []);
    }
}

async fn a_set_lists_its_own_keys_and_no_others(adapter: Adapter) {
    let store = adapter.records();
    let keys: Vec<_> = NAMES.into_iter().flat_map(keys_of_every_kind).collect();
    for key in &keys {
        set(&*store, key, "value").await;
    }
    for store in [store, adapter.records()] {
        for key in &keys {
            let listed = store.list(&key.set(), None, 1000).await.expect("lists");
            let mut expected: Vec<_> = keys.iter().filter(|k| k.set() == key.set()).collect();
            expected.sort_by_key(|key| key.leaf());
            assert!(listed.iter().eq(expected), "{:?}: {listed:?}", key.set());
        }
    }
}

async fn keys_are_listed_in_the_byte_order_of_their_leaves(adapter: Adapter) {
    let store = adapter.records();
    let tags = [
        "b", "a", "B", "_", "1", "a.b", "a-b", "a_b", "ab", "A", "10", "2", "aa",
    ];
    for name in tags {
        set(&*store, &tag("a", name), "value").await;
    }
    let mut sorted = tags.map(str::to_owned).to_vec();
    sorted.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    assert_eq!(
        leaves(&*store, &RecordSet::Tags(repository("a"))).await,
        sorted
    );

    for name in NAMES {
        set(&*store, &RecordKey::Repository(repository(name)), "value").await;
    }
    let mut sorted = NAMES.map(str::to_owned).to_vec();
    sorted.sort_unstable();
    assert_eq!(leaves(&*store, &RecordSet::Repositories).await, sorted);
}

async fn digests_of_both_algorithms_are_listed_in_order(adapter: Adapter) {
    let store = adapter.records();
    let digests = (0..20_u8)
        .flat_map(|number| Algorithm::ALL.map(|algorithm| Digest::of(algorithm, &[number])));
    let digests: Vec<_> = digests.collect();
    let name = repository("a");
    let subject = sha256(b"subject");
    for digest in &digests {
        set(
            &*store,
            &RecordKey::Revision(name.clone(), *digest),
            "value",
        )
        .await;
        set(&*store, &RecordKey::Claim(name.clone(), *digest), "value").await;
        set(
            &*store,
            &RecordKey::Referrer(name.clone(), subject, *digest),
            "value",
        )
        .await;
    }
    let mut sorted: Vec<_> = digests.iter().map(Digest::to_string).collect();
    sorted.sort_unstable();
    for records in [
        RecordSet::Revisions(name.clone()),
        RecordSet::Claims(name.clone()),
        RecordSet::Referrers(name, subject),
    ] {
        assert_eq!(leaves(&*store, &records).await, sorted);
        pages(&*store, &records, &sorted).await;
    }
}

async fn pages_of_any_size_hold_every_key_once(adapter: Adapter) {
    let store = adapter.records();
    let mut names: Vec<_> = (0..50).map(|number| format!("v{number}")).collect();
    for name in &names {
        set(&*store, &tag("a", name), "value").await;
    }
    names.sort_unstable();
    pages(&*store, &RecordSet::Tags(repository("a")), &names).await;
}

/// Pages through a set in pages of several sizes.
async fn pages(store: &dyn octoserve::ports::RecordStore, set: &RecordSet, all: &[String]) {
    for limit in [1, 3, all.len() - 1, all.len(), all.len() + 1] {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let after = seen.last().map(String::as_str);
            let page = store.list(set, after, limit).await.expect("lists");
            assert!(page.len() <= limit, "a page of {limit} has {}", page.len());
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(RecordKey::leaf));
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    assert_eq!(store.list(set, None, 0).await.expect("lists"), []);
}

async fn a_cursor_need_not_be_a_key(adapter: Adapter) {
    let store = adapter.records();
    for name in ["b", "d", "f"] {
        set(&*store, &tag("a", name), "value").await;
    }
    let tags = RecordSet::Tags(repository("a"));
    let after = async |cursor: &str| {
        let keys = store.list(&tags, Some(cursor), 10).await.expect("lists");
        keys.iter().map(RecordKey::leaf).collect::<String>()
    };
    for (cursor, listed) in [
        ("", "bdf"),
        ("a", "bdf"),
        ("b", "df"),
        ("c", "df"),
        ("cc", "df"),
        ("d", "f"),
        ("d/../x", "f"),
        ("f", ""),
        ("zzz", ""),
        ("\u{10ffff}", ""),
    ] {
        assert_eq!(after(cursor).await, listed, "after {cursor:?}");
    }
    remove(&*store, &tag("a", "d"), &Expected::Any).await;
    assert_eq!(after("d").await, "f", "the cursor outlives its key");
    assert_eq!(after("b").await, "f");
}

async fn a_key_that_came_back_is_listed_again(adapter: Adapter) {
    let (store, other) = (adapter.records(), adapter.records());
    let tags = RecordSet::Tags(repository("a"));
    let key = tag("a", "v1");
    set(&*store, &tag("a", "v0"), "value").await;
    for _ in 0..30 {
        set(&*store, &key, "value").await;
        assert_eq!(leaves(&*other, &tags).await, ["v0", "v1"]);
        remove(&*other, &key, &Expected::Any).await;
        assert_eq!(leaves(&*store, &tags).await, ["v0"]);
    }
}

on_every_adapter!(
    a_set_without_keys_is_empty,
    a_set_lists_its_own_keys_and_no_others,
    keys_are_listed_in_the_byte_order_of_their_leaves,
    digests_of_both_algorithms_are_listed_in_order,
    pages_of_any_size_hold_every_key_once,
    a_cursor_need_not_be_a_key,
    a_key_that_came_back_is_listed_again,
);
