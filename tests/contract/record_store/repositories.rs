//! `repositories`.

use octoserve::domain::name::RepositoryName;
use octoserve::domain::record_key::RecordKey;
use octoserve::ports::RecordStore;
use octoserve::ports::record_store::Expected;

use super::values::keys_of_every_kind;
use super::{remove, set};
use crate::adapters::Adapter;
use crate::names::{repository, sha256};

/// Names that a walk through directories meets in another order than that of
/// their bytes.
const NAMES: [&str; 11] = [
    "a", "a-b", "a-b/c", "a.b", "a/b", "a/b/c", "a/tags", "a0", "a_b", "b/c/d", "c",
];

async fn names(store: &dyn RecordStore, after: Option<&str>, limit: usize) -> Vec<String> {
    let after: Option<RepositoryName> = after.map(repository);
    let names = store.repositories(after.as_ref(), limit).await;
    let names = names.expect("lists");
    names.iter().map(ToString::to_string).collect()
}

async fn an_empty_store_has_no_repositories(adapter: Adapter) {
    let store = adapter.records();
    assert_eq!(names(&*store, None, 10).await, [""; 0]);
    assert_eq!(names(&*store, Some("m"), 10).await, [""; 0]);
}

async fn a_repository_with_any_kind_of_record_is_seen(adapter: Adapter) {
    for key in keys_of_every_kind("some/name") {
        if matches!(key, RecordKey::Repository(_)) {
            continue;
        }
        let (store, other) = (adapter.records(), adapter.records());
        set(&*store, &key, "value").await;
        assert_eq!(names(&*other, None, 10).await, ["some/name"], "{key:?}");
        remove(&*store, &key, &Expected::Any).await;
    }
}

async fn a_repository_that_is_only_listed_has_no_records(adapter: Adapter) {
    let store = adapter.records();
    set(&*store, &RecordKey::Repository(repository("a")), "value").await;
    assert_eq!(names(&*store, None, 10).await, [""; 0]);
}

async fn repositories_are_seen_in_the_byte_order_of_their_names(adapter: Adapter) {
    let store = adapter.records();
    for name in NAMES.iter().rev() {
        set_claim(&*store, name).await;
    }
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    assert_eq!(names(&*store, None, 100).await, sorted);
    for limit in [1, 2, 3, 10, 11, 12] {
        let mut paged: Vec<String> = Vec::new();
        loop {
            let page = names(&*store, paged.last().map(String::as_str), limit).await;
            assert!(page.len() <= limit, "no more than were asked for");
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, sorted, "in pages of {limit}");
    }
}

async fn repositories_are_seen_after_a_name_that_is_none(adapter: Adapter) {
    let store = adapter.records();
    for name in NAMES {
        set_claim(&*store, name).await;
    }
    for after in [
        "0", "a-a", "a-b/b", "a-b/d", "a/a", "a/b/b/b", "a1", "b", "b/c", "d",
    ] {
        let mut expected = NAMES.to_vec();
        expected.retain(|name| *name > after);
        expected.sort_unstable();
        assert_eq!(names(&*store, Some(after), 100).await, expected, "{after}");
    }
}

async fn set_claim(store: &dyn RecordStore, name: &str) {
    let key = RecordKey::Claim(repository(name), sha256(b""));
    set(store, &key, "value").await;
}

on_every_adapter!(
    an_empty_store_has_no_repositories,
    a_repository_with_any_kind_of_record_is_seen,
    a_repository_that_is_only_listed_has_no_records,
    repositories_are_seen_in_the_byte_order_of_their_names,
    repositories_are_seen_after_a_name_that_is_none,
);
