//! Every use case, stopped and failed at every call of a port that it makes.

use tempfile::TempDir;

use crate::facts::{Facts, facts, lost_or_invented};
use crate::registry::{Ports, run};
use crate::stopping::{Mishap, Stopping};
use crate::stored::{Files, Stored, files_below, leftovers};
use crate::use_cases::{PREPARED, UseCase, expire_all, was_done_before};

/// No use case has so many steps.
const MOST_STEPS: usize = 500;

/// A store of its own for each run.
enum Store {
    Memory(Ports),
    Filesystem(TempDir),
}

impl Store {
    fn open(&self) -> Ports {
        match self {
            Self::Memory(ports) => ports.clone(),
            // Nothing here loses power.
            Self::Filesystem(directory) => Ports::filesystem(directory.path(), false),
        }
    }

    fn stored(&self) -> Stored {
        let stored = run(Stored::behind(&self.open()));
        if let Self::Filesystem(directory) = self {
            let in_files = Stored::in_files(&files_below(directory.path()));
            assert_eq!(in_files, stored, "the adapter says what the files say");
        }
        stored
    }

    fn files(&self) -> Files {
        match self {
            Self::Memory(_) => Files::new(),
            Self::Filesystem(directory) => files_below(directory.path()),
        }
    }
}

#[test]
fn over_memory_every_use_case_may_stop_at_every_step() {
    for use_case in UseCase::ALL {
        stop_everywhere(use_case, || Store::Memory(Ports::memory()));
    }
}

#[test]
fn over_the_filesystem_every_use_case_may_stop_at_every_step() {
    for use_case in UseCase::ALL {
        stop_everywhere(use_case, || Store::Filesystem(in_memory()));
    }
}

/// A directory that needs no disk, where there is such a thing.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a temporary directory")
}

fn stop_everywhere(use_case: UseCase, store: impl Fn() -> Store) {
    let prepared = || {
        let store = store();
        let registry = store.open().registry(PREPARED);
        run(use_case.prepare(&registry)).expect("the ground of the use case");
        store
    };
    let undisturbed = prepared();
    let before = facts(&undisturbed.stored());
    run(use_case.perform(&undisturbed.open().registry(1000))).expect("the use case succeeds");
    let after = facts(&undisturbed.stored());
    for mishap in Mishap::ALL {
        for step in 1.. {
            assert!(step < MOST_STEPS, "{use_case:?} does not end");
            let store = prepared();
            let stopping = Stopping::new(store.open(), step, mishap);
            let registry = stopping.ports().registry(1000);
            let ended = run(stopping.run(use_case.perform(&registry)));
            drop(registry);
            let Some(happened) = stopping.happened() else {
                ended
                    .expect("it was not stopped")
                    .expect("nor has it failed");
                break;
            };
            let acknowledged = matches!(ended, Some(Ok(())));
            check(use_case, &store, &happened, acknowledged, &before, &after);
        }
    }
}

/// Looks at what a mishap has left, and repeats the use case.
fn check(
    use_case: UseCase,
    store: &Store,
    happened: &str,
    acknowledged: bool,
    before: &Facts,
    after: &Facts,
) {
    let context = format!("{use_case:?}, where the store {happened}");
    let stored = store.stored();
    assert_eq!(stored.faults(), [] as [String; 0], "{context}");
    let now = facts(&stored);
    assert_eq!(
        lost_or_invented(before, after, &now),
        [] as [String; 0],
        "{context}"
    );
    if acknowledged {
        assert_eq!(
            now, *after,
            "{context} and all the same it was acknowledged"
        );
    }

    let registry = store.open().registry(2000);
    match run(use_case.perform(&registry)) {
        Ok(()) => {}
        Err(error) if was_done_before(&error) => {}
        Err(error) => panic!("{context}: repeated, it fails: {error}"),
    }
    let stored = store.stored();
    assert_eq!(stored.faults(), [] as [String; 0], "{context}, repeated");
    assert_eq!(facts(&stored), *after, "{context}, repeated");
    run(expire_all(&registry)).expect("what was left expires");
    let files = store.files();
    assert_eq!(leftovers(&files), [] as [&str; 0], "{context}, repeated");
}
