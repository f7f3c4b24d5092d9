//! Readers and listings beside writers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::ports::record_store::{Expected, RemoveOutcome};

use super::{leaves, remove, set, value, write_of};
use crate::adapters::{Adapter, at_once};
use crate::names::{repository, tag};

/// How long writers and readers are let loose on each other.
const LONG_ENOUGH: Duration = Duration::from_millis(1000);

async fn a_value_is_read_whole(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let key = tag("a", "v1");
    let values = ["x".repeat(200_000), "y".repeat(10), "z".repeat(70_000)];
    set(&*one.records, &key, &values[0]).await;
    let done = AtomicBool::new(false);
    at_once(3, async |number| match number {
        0 => {
            let start = Instant::now();
            while start.elapsed() < LONG_ENOUGH / 2 {
                for value in &values {
                    set(&*one.records, &key, value).await;
                }
            }
            done.store(true, Ordering::Relaxed);
        }
        reader => {
            let store = if reader == 1 { &one } else { &other };
            while !done.load(Ordering::Relaxed) {
                let read = value(&*store.records, &key)
                    .await
                    .expect("it is never gone");
                assert!(
                    values.contains(&read),
                    "{} bytes that nobody wrote",
                    read.len()
                );
            }
        }
    });
}

async fn whoever_sees_a_write_sees_those_before_it(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let keys = ["first", "second", "third"].map(|name| tag("a", name));
    let round = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    at_once(3, async |number| match number {
        0 => {
            let start = Instant::now();
            while start.elapsed() < LONG_ENOUGH / 2 {
                let value = round.fetch_add(1, Ordering::Relaxed).to_string();
                let writes = keys
                    .each_ref()
                    .map(|key| write_of(key, &value, Expected::Any));
                one.records.write(&writes).await.expect("writes");
            }
            done.store(true, Ordering::Relaxed);
        }
        reader => {
            let store = if reader == 1 { &one } else { &other };
            let read = async |key: &RecordKey| {
                let value = value(&*store.records, key).await;
                value.map_or(-1, |value| value.parse::<i64>().expect("a number"))
            };
            while !done.load(Ordering::Relaxed) {
                // In the other direction, so that each may only be newer.
                let third = read(&keys[2]).await;
                let second = read(&keys[1]).await;
                let first = read(&keys[0]).await;
                assert!(
                    third <= second && second <= first,
                    "{third}, {second}, {first}"
                );
            }
        }
    });
}

/// Some keys stay, some of those are written again and again, and beside them
/// others come and go: those that stay are in every list, and nothing is that
/// never was. Enough of them that a directory is not read in one step.
async fn a_list_beside_changes_misses_nothing_and_invents_nothing(adapter: Adapter) {
    const STAYING: usize = 1200;
    let (one, other) = (adapter.open(), adapter.open());
    let name = "library/alpine";
    let staying = |number: usize| format!("stays-{number:04}");
    let all: BTreeSet<String> = (0..STAYING).map(staying).collect();
    for chunk in all.iter().collect::<Vec<_>>().chunks(300) {
        let writes: Vec<_> = chunk
            .iter()
            .map(|leaf| write_of(&tag(name, leaf), "value", Expected::Any))
            .collect();
        one.records.write(&writes).await.expect("writes");
    }
    let tags = RecordSet::Tags(repository(name));
    let done = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    at_once(4, async |number| match number {
        0 => {
            let start = Instant::now();
            while start.elapsed() < LONG_ENOUGH {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                let comes = tag(name, &format!("comes-{}", round % 100));
                set(&*one.records, &comes, "value").await;
                remove(&*one.records, &comes, &Expected::Any).await;
            }
            done.store(true, Ordering::Relaxed);
        }
        1 => {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                let leaf = staying(round * 37 % STAYING);
                set(&*other.records, &tag(name, &leaf), &round.to_string()).await;
            }
        }
        reader => {
            let store = if reader == 2 { &one } else { &other };
            while !done.load(Ordering::Relaxed) {
                let listed = leaves(&*store.records, &tags).await;
                assert!(listed.is_sorted(), "out of order");
                let listed: BTreeSet<String> = listed.into_iter().collect();
                let missed: Vec<_> = all.difference(&listed).collect();
                assert!(missed.is_empty(), "missed {missed:?}");
                let invented = listed.difference(&all);
                let invented: Vec<_> = invented.filter(|l| !l.starts_with("comes-")).collect();
                assert!(invented.is_empty(), "invented {invented:?}");
            }
        }
    });
}

/// Each of several writers sees its own changes in the next list, as fast as it
/// can make them: also when a directory changes twice in a tick of the clock.
async fn a_list_after_a_change_shows_it(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let name = "a";
    let tags = RecordSet::Tags(repository(name));
    at_once(4, async |number| {
        let (own, across) = match number % 2 {
            0 => (&one.records, &other.records),
            _ => (&other.records, &one.records),
        };
        let start = Instant::now();
        let mut round = 0;
        while start.elapsed() < LONG_ENOUGH {
            round += 1;
            let leaf = format!("writer-{number}-{}", round % 3);
            let key = tag(name, &leaf);
            set(&**own, &key, &round.to_string()).await;
            for store in [own, across] {
                let listed = leaves(&**store, &tags).await;
                assert!(listed.contains(&leaf), "round {round}: missed {leaf}");
            }
            let removed = remove(&**across, &key, &Expected::Any).await;
            assert_eq!(removed, RemoveOutcome::Removed);
            for store in [own, across] {
                let listed = leaves(&**store, &tags).await;
                assert!(!listed.contains(&leaf), "round {round}: invented {leaf}");
            }
        }
    });
}

/// A list that is remembered is let go of at the first change after a pause.
async fn a_list_after_a_pause_and_a_change_shows_it(adapter: Adapter) {
    let (one, other) = (adapter.open(), adapter.open());
    let name = "a";
    let tags = RecordSet::Tags(repository(name));
    set(&*one.records, &tag(name, "first"), "value").await;
    let mut expected = vec!["first".to_owned()];
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(30 * round)).await;
        for store in [&one, &other, &one, &other] {
            assert_eq!(leaves(&*store.records, &tags).await, expected);
        }
        let leaf = format!("round-{round}");
        set(&*one.records, &tag(name, &leaf), "value").await;
        expected.push(leaf);
        for store in [&other, &one] {
            assert_eq!(leaves(&*store.records, &tags).await, expected);
        }
    }
}

on_every_adapter!(
    a_value_is_read_whole,
    whoever_sees_a_write_sees_those_before_it,
    a_list_beside_changes_misses_nothing_and_invents_nothing,
    a_list_after_a_change_shows_it,
    a_list_after_a_pause_and_a_change_shows_it,
);
