//! Every use case in a process of its own, killed before every system call
//! that changes files, and again with every one of them failing.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use tempfile::TempDir;

use crate::child::Ending;
use crate::facts::{Facts, facts, lost_or_invented};
use crate::registry::{Ports, run};
use crate::stored::{Stored, files_below, leftovers};
use crate::tracing::{Action, Observer, Verdict, perform};
use crate::use_cases::{PREPARED, UseCase, expire_all, was_done_before};

/// No use case makes so many.
const MOST_CALLS: usize = 500;

/// Lets something happen at one system call, counted from 1.
struct AtCall {
    call: usize,
    happens: fn(&Action) -> Verdict,
    seen: usize,
    happened: Option<Action>,
}

impl Observer for AtCall {
    fn before(&mut self, action: &Action) -> Verdict {
        self.seen += 1;
        if self.seen != self.call {
            return Verdict::Make;
        }
        self.happened = Some(action.clone());
        (self.happens)(action)
    }
}

#[test]
fn every_use_case_may_be_killed_before_every_system_call() {
    for use_case in UseCase::ALL {
        at_every_call(use_case, "killed", |_| Verdict::Kill);
    }
}

#[test]
fn every_system_call_of_every_use_case_may_fail() {
    for use_case in UseCase::ALL {
        at_every_call(use_case, "failed", |action| {
            Verdict::Fail(match action {
                Action::Create(_)
                | Action::Write(_)
                | Action::MakeDirectory(_)
                | Action::Rename(..) => Errno::ENOSPC,
                _ => Errno::EIO,
            })
        });
    }
}

/// A store on which a use case is prepared, to be copied.
pub(crate) struct Ground {
    pub(crate) directory: TempDir,
    pub(crate) before: Facts,
    pub(crate) after: Facts,
}

impl Ground {
    pub(crate) fn of(use_case: UseCase) -> Self {
        let directory = in_memory();
        if use_case != UseCase::FirstPush {
            let registry = Ports::filesystem(directory.path(), false).registry(PREPARED);
            run(use_case.prepare(&registry)).expect("the ground of the use case");
        }
        let before = facts(&stored(directory.path()));
        let undisturbed = copied(directory.path());
        let registry = Ports::filesystem(undisturbed.path(), false).registry(1000);
        run(use_case.perform(&registry)).expect("the use case succeeds");
        let after = facts(&stored(undisturbed.path()));
        Self {
            directory,
            before,
            after,
        }
    }
}

fn at_every_call(use_case: UseCase, what: &str, happens: fn(&Action) -> Verdict) {
    let ground = Ground::of(use_case);
    for call in 1.. {
        assert!(call < MOST_CALLS, "{use_case:?} does not end");
        let directory = copied(ground.directory.path());
        let root = directory.path();
        let mut observer = AtCall {
            call,
            happens,
            seen: 0,
            happened: None,
        };
        let ending = perform(use_case, root, &mut observer);
        let Some(happened) = observer.happened else {
            assert_eq!(ending, Ending::Acknowledged, "{use_case:?} undisturbed");
            break;
        };
        let context = format!("{use_case:?}, {what} at call {call}, {happened:?}: {ending:?}");
        let stored = stored(root);
        assert_eq!(stored.faults(), [] as [String; 0], "{context}");
        let now = facts(&stored);
        let strange = lost_or_invented(&ground.before, &ground.after, &now);
        assert_eq!(strange, [] as [String; 0], "{context}");
        if ending == Ending::Acknowledged {
            assert_eq!(now, ground.after, "{context}");
        }
        repeat(use_case, root, &ground.after, &context);
    }
}

/// Repeats a use case on what was left of it.
fn repeat(use_case: UseCase, root: &Path, after: &Facts, context: &str) {
    let registry = Ports::filesystem(root, false).registry(2000);
    match run(use_case.perform(&registry)) {
        Ok(()) => {}
        Err(error) if was_done_before(&error) => {}
        Err(error) => panic!("{context}: repeated, it fails: {error}"),
    }
    let stored = stored(root);
    assert_eq!(stored.faults(), [] as [String; 0], "{context}, repeated");
    assert_eq!(facts(&stored), *after, "{context}, repeated");
    run(expire_all(&registry)).expect("what was left expires");
    let files = files_below(root);
    assert_eq!(leftovers(&files), [] as [&str; 0], "{context}, repeated");
    let mut uploads = fs::read_dir(root.join("uploads")).expect("a directory");
    assert!(uploads.next().is_none(), "{context}, repeated");
}

fn stored(root: &Path) -> Stored {
    Stored::in_files(&files_below(root))
}

/// A directory that needs no disk, where there is such a thing.
pub(crate) fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a temporary directory")
}

/// A copy of a directory.
pub(crate) fn copied(from: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            let to = to.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                fs::create_dir(&to).expect("a directory");
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("a copy");
            }
        }
    }
    let directory = in_memory();
    copy(from, directory.path());
    directory
}
