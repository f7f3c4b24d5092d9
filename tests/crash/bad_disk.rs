//! Disks that do not do what they say.

use nix::errno::Errno;

use crate::at_system_calls::Ground;
use crate::child::Ending;
use crate::facts::facts;
use crate::stored::{Stored, files_below, leftovers};
use crate::tracing::{Action, Observer, Verdict, perform};
use crate::use_cases::UseCase;

#[test]
fn a_directory_whose_locks_do_not_hold_is_refused() {
    /// Gives every lock to whoever asks for it, as some network file systems do.
    struct NoLocks;
    impl Observer for NoLocks {
        fn before(&mut self, action: &Action) -> Verdict {
            match action {
                Action::TryLock(_) => Verdict::Pretend,
                _ => Verdict::Make,
            }
        }
    }
    let ground = Ground::of(UseCase::PushByTag);
    let root = ground.directory.path();
    let ending = perform(UseCase::PushByTag, root, &mut NoLocks);
    let Ending::Refused(why) = ending else {
        panic!("{ending:?}");
    };
    assert!(why.contains("locks do not hold"), "{why}");
    assert_eq!(
        facts(&Stored::in_files(&files_below(root))),
        ground.before,
        "nothing is written"
    );
}

#[test]
fn bytes_that_could_not_be_synced_never_become_a_blob() {
    struct BadDisk;
    impl Observer for BadDisk {
        fn before(&mut self, action: &Action) -> Verdict {
            match action {
                Action::SyncFile(path) if path.ends_with("/data") => Verdict::Fail(Errno::EIO),
                _ => Verdict::Make,
            }
        }
    }
    let use_case = UseCase::FinishWithLastChunk;
    let ground = Ground::of(use_case);
    let root = ground.directory.path();
    let ending = perform(use_case, root, &mut BadDisk);
    assert!(matches!(ending, Ending::Refused(_)), "{ending:?}");
    // A client that finishes the same upload once more must not hear that all is
    // well: the kernel would say so now.
    let files = files_below(root);
    assert_eq!(leftovers(&files), [] as [&str; 0]);
    assert_eq!(facts(&Stored::in_files(&files)), ground.before);
}
