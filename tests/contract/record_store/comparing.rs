//! Compare-and-swap: what is expected, and that nobody comes between the
//! comparison and the change.

use octoserve::domain::record_key::RecordKey;
use octoserve::ports::record_store::{Expected, RemoveOutcome, WriteOutcome};

use super::{remove, set, value, version, write, write_of};
use crate::adapters::{Adapter, at_once};
use crate::names::{repository, sha256, tag};

/// How many threads meet at a key, half of them in another process.
const WRITERS: usize = 8;

const ROUNDS: usize = 40;

async fn absent_is_a_key_without_a_record(adapter: Adapter) {
    let store = adapter.records();
    for key in super::values::keys_of_every_kind("a") {
        assert!(write(&*store, &key, "first", Expected::Absent).await);
        assert!(!write(&*store, &key, "second", Expected::Absent).await);
        assert_eq!(value(&*store, &key).await.as_deref(), Some("first"));
        assert_eq!(
            remove(&*store, &key, &Expected::Any).await,
            RemoveOutcome::Removed
        );
        assert!(write(&*store, &key, "third", Expected::Absent).await);
    }
}

async fn a_version_matches_until_the_value_changes(adapter: Adapter) {
    let store = adapter.records();
    let key = tag("a", "v1");
    set(&*store, &key, "one").await;
    let one = Expected::Matches(version(&*store, &key).await);
    assert!(write(&*adapter.records(), &key, "two", one.clone()).await);
    assert!(!write(&*store, &key, "three", one.clone()).await);
    assert_eq!(value(&*store, &key).await.as_deref(), Some("two"));
    remove(&*store, &key, &Expected::Any).await;
    assert!(
        !write(&*store, &key, "four", one).await,
        "there is nothing to match"
    );
    assert_eq!(value(&*store, &key).await, None);
}

async fn of_many_who_expect_nothing_one_writes(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    for round in 0..ROUNDS {
        let key = tag("a", &format!("v{round}"));
        let won = at_once(WRITERS, async |number| {
            let store = if number % 2 == 0 { &one } else { &other };
            write(&*store.records, &key, &number.to_string(), Expected::Absent).await
        });
        one_won(&*one.records, &key, &won).await;
    }
}

async fn of_many_who_expect_the_same_version_one_writes(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let key = tag("a", "v1");
    set(&*one.records, &key, "start").await;
    for _ in 0..ROUNDS {
        // Each value differs from the one before, as the port asks for.
        set(&*one.records, &key, "between").await;
        let expected = Expected::Matches(version(&*other.records, &key).await);
        let won = at_once(WRITERS, async |number| {
            let store = if number % 2 == 0 { &one } else { &other };
            write(&*store.records, &key, &number.to_string(), expected.clone()).await
        });
        one_won(&*other.records, &key, &won).await;
    }
}

async fn one_won(store: &dyn octoserve::ports::RecordStore, key: &RecordKey, won: &[bool]) {
    let winners: Vec<_> = won.iter().enumerate().filter(|(_, won)| **won).collect();
    assert_eq!(winners.len(), 1, "{won:?}");
    let winner = winners.first().map(|(number, _)| number.to_string());
    assert_eq!(value(store, key).await, winner);
}

async fn a_counter_loses_no_step(adapter: Adapter) {
    const STEPS: usize = 25;
    let (one, other) = (adapter.open(), adapter.open());
    let key = RecordKey::Claim(repository("a"), sha256(b"counter"));
    set(&*one.records, &key, "0").await;
    at_once(WRITERS, async |number| {
        let store = if number % 2 == 0 { &one } else { &other };
        for _ in 0..STEPS {
            loop {
                let stored = store
                    .records
                    .get(&key)
                    .await
                    .expect("reads")
                    .expect("a record");
                let text = std::str::from_utf8(&stored.value).expect("text");
                let count: usize = text.parse().expect("a number");
                let expected = Expected::Matches(stored.version);
                if write(&*store.records, &key, &(count + 1).to_string(), expected).await {
                    break;
                }
            }
        }
    });
    let total = (WRITERS * STEPS).to_string();
    assert_eq!(value(&*one.records, &key).await, Some(total));
}

async fn of_a_write_and_a_removal_of_the_same_version_one_wins(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let key = tag("a", "v1");
    for round in 0..ROUNDS {
        set(&*one.records, &key, &format!("before {round}")).await;
        let expected = Expected::Matches(version(&*one.records, &key).await);
        let won = at_once(2, async |number| match number {
            0 => write(&*one.records, &key, "written", expected.clone()).await,
            _ => match remove(&*other.records, &key, &expected).await {
                RemoveOutcome::Removed => true,
                RemoveOutcome::Conflict => false,
                RemoveOutcome::Absent => panic!("nobody else removes it"),
            },
        });
        let left = value(&*one.records, &key).await;
        match won.as_slice() {
            [true, false] => assert_eq!(left.as_deref(), Some("written")),
            [false, true] => assert_eq!(left, None),
            both => panic!("write and removal: {both:?}"),
        }
    }
}

async fn of_many_removals_one_removes(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    for key in super::values::keys_of_every_kind("a") {
        for expected in [None, Some("value")] {
            set(&*one.records, &key, "value").await;
            let expected = match expected {
                None => Expected::Any,
                Some(_) => Expected::Matches(version(&*one.records, &key).await),
            };
            let outcomes = at_once(WRITERS, async |number| {
                let store = if number % 2 == 0 { &one } else { &other };
                remove(&*store.records, &key, &expected).await
            });
            let removed = outcomes.iter().filter(|o| **o == RemoveOutcome::Removed);
            assert_eq!(removed.count(), 1, "{key:?}: {outcomes:?}");
            let rest = outcomes.iter().filter(|o| **o == RemoveOutcome::Absent);
            assert_eq!(rest.count(), WRITERS - 1, "{key:?}: {outcomes:?}");
        }
    }
}

async fn a_conflict_leaves_the_others_way_standing(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    for round in 0..ROUNDS {
        let own = |number: usize| tag("a", &format!("own-{round}-{number}"));
        let contested = tag("a", &format!("contested-{round}"));
        let after = |number: usize| tag("a", &format!("after-{round}-{number}"));
        let outcomes = at_once(4, async |number| {
            let store = if number % 2 == 0 { &one } else { &other };
            let writes = [
                write_of(&own(number), "own", Expected::Absent),
                write_of(&contested, "contested", Expected::Absent),
                write_of(&after(number), "after", Expected::Absent),
            ];
            store.records.write(&writes).await.expect("answers")
        });
        for (number, outcome) in outcomes.iter().enumerate() {
            let won = *outcome == WriteOutcome::Written;
            assert!(won || *outcome == WriteOutcome::Conflict(1), "{outcome:?}");
            assert!(value(&*one.records, &own(number)).await.is_some());
            assert_eq!(value(&*one.records, &after(number)).await.is_some(), won);
        }
        let written = outcomes.iter().filter(|o| **o == WriteOutcome::Written);
        assert_eq!(written.count(), 1);
    }
}

on_every_adapter!(
    absent_is_a_key_without_a_record,
    a_version_matches_until_the_value_changes,
    of_many_who_expect_nothing_one_writes,
    of_many_who_expect_the_same_version_one_writes,
    a_counter_loses_no_step,
    of_a_write_and_a_removal_of_the_same_version_one_wins,
    of_many_removals_one_removes,
    a_conflict_leaves_the_others_way_standing,
);
