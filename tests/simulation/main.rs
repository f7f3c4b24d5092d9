//! Pushes, deletes and collectors on one store, interleaved as a seed says.
//!
//! Several registries share a store in memory, as replicas share a bucket. Every
//! storage call of every one of them is a point where it may be held up, fail
//! before or after it took effect, or die, and where the clock may jump. A seed
//! decides all of it, so that a run that ends badly can be run again:
//!
//! ```sh
//! OCTOSERVE_SEED=1234 cargo test --test simulation -- --nocapture
//! OCTOSERVE_SEEDS=500000 cargo test --release --test simulation
//! ```
//!
//! Afterwards the store itself is looked at ([`check`]). That the checks see
//! what they should is shown by protocols that are broken on purpose.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it says"
)]
#![expect(clippy::print_stdout, reason = "a seed that fails is told")]

mod actors;
mod check;
mod content;
mod history;
mod random;
mod scenario;
mod store;
#[path = "../support/world.rs"]
#[expect(dead_code, reason = "the clock of a run also goes backwards")]
mod world;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use scenario::{Outcome, simulate};
use store::Broken;

/// How many seeds are tried if nobody says otherwise.
const SEEDS: u64 = 20_000;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn no_interleaving_loses_what_was_accepted_or_keeps_what_nobody_needs() {
    if let Some(seed) = number_from("OCTOSERVE_SEED") {
        let outcome = simulate(seed, Broken::Nothing, true);
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
        return;
    }
    let seeds = number_from("OCTOSERVE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let counts = Counts::default();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = simulate(seed, Broken::Nothing, false);
                    let violations = &outcome.violations;
                    assert!(
                        violations.is_empty(),
                        "seed {seed}: {violations:#?}\nrun it again with OCTOSERVE_SEED={seed}",
                    );
                    counts.add(&outcome);
                }
            });
        }
    });
    counts.tell(seeds);
}

/// What happened in all runs: a simulation in which nothing happens shows nothing.
#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    collected: AtomicUsize,
    renewed: AtomicUsize,
    crashed: AtomicUsize,
    removed_manifests: AtomicUsize,
}

impl Counts {
    fn add(&self, outcome: &Outcome) {
        for (total, one) in [
            (&self.accepted, outcome.accepted),
            (&self.refused, outcome.refused),
            (&self.collected, outcome.collected),
            (&self.renewed, outcome.renewed),
            (&self.crashed, outcome.crashed),
            (&self.removed_manifests, outcome.removed_manifests),
        ] {
            total.fetch_add(one, Ordering::Relaxed);
        }
    }

    fn tell(self, seeds: u64) {
        let numbers = [
            ("manifests accepted", self.accepted.into_inner()),
            ("pushes refused", self.refused.into_inner()),
            ("blobs collected", self.collected.into_inner()),
            ("blobs renewed in time", self.renewed.into_inner()),
            ("operations that died", self.crashed.into_inner()),
            (
                "untagged manifests removed",
                self.removed_manifests.into_inner(),
            ),
        ];
        println!("{seeds} seeds: {numbers:?}");
        if seeds >= SEEDS {
            for (what, number) in numbers {
                assert!(number > 100, "{what}: {number}");
            }
        }
    }
}

/// Finds a seed with which a broken protocol does harm.
fn is_caught(broken: Broken, harm: &str) {
    const MOST: u64 = 20_000;
    for seed in 0..MOST {
        let outcome = simulate(seed, broken, false);
        if outcome.violations.iter().any(|what| what.contains(harm)) {
            println!(
                "{broken:?} is caught with seed {seed}: {:?}",
                outcome.violations
            );
            return;
        }
    }
    panic!("{broken:?} did no harm in {MOST} runs");
}

#[test]
fn a_push_that_renews_no_lease_is_caught() {
    is_caught(Broken::NothingRenewed, "lacks");
}

#[test]
fn a_removal_that_ignores_the_version_is_caught() {
    is_caught(Broken::VersionIgnored, "lacks");
}

#[test]
fn a_removal_of_records_that_ignores_the_version_is_caught() {
    is_caught(Broken::RecordVersionIgnored, "lacks");
}

#[test]
fn a_collector_that_ignores_the_grace_is_caught() {
    is_caught(Broken::LeasesLookOld, "younger than the grace");
}

#[test]
fn a_collector_that_removes_nothing_is_caught() {
    is_caught(Broken::NothingRemoved, "nothing refers to");
}
