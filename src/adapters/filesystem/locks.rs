//! Locks that hold between threads and between processes.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::durability::failed;
use super::layout::Layout;
use crate::ports::{StoreError, StoreErrorKind};

/// How many locks share the keys among them. Held for microseconds, they need
/// not be many; the number must be the same in every process.
const SHARDS: usize = 64;

/// A lock for every key, a few files for all of them.
///
/// A file lock belongs to an open file, which the threads of a process share;
/// so a mutex keeps the threads apart, and the file lock the processes.
pub(super) struct Locks {
    shards: Vec<Mutex<File>>,
}

/// Holds a lock until it is dropped.
pub(super) struct Locked<'a> {
    file: MutexGuard<'a, File>,
}

impl Locks {
    /// Opens the lock files, and tries whether locks hold here.
    pub(super) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let open = |shard| {
            let path = layout.lock(shard);
            fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(failed("open", &path))
        };
        let shards = (0..SHARDS)
            .map(|shard| open(shard).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        let locks = Self { shards };
        locks.probe(layout, &open(0)?)?;
        Ok(locks)
    }

    /// Locks whatever may be at `path`.
    pub(super) fn lock(&self, layout: &Layout, path: &Path) -> Result<Locked<'_>, StoreError> {
        let shard = fnv_1a(layout.below_root(path)) % SHARDS as u64;
        self.lock_shard(shard as usize)
    }

    fn lock_shard(&self, shard: usize) -> Result<Locked<'_>, StoreError> {
        let lost = || StoreError::new(StoreErrorKind::Permanent, "lock", format!("shard {shard}"));
        let mutex = self.shards.get(shard).ok_or_else(lost)?;
        // A panic while the lock was held leaves no state behind in the file.
        let file = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match flock(&*file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Locked { file }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(lost().caused_by(error)),
            }
        }
    }

    /// A second open file of a held lock must not get it: where it does, as on
    /// some network file systems, two processes would overwrite each other.
    fn probe(&self, layout: &Layout, second: &File) -> Result<(), StoreError> {
        let _held = self.lock_shard(0)?;
        match flock(second, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
            Err(error) => Err(failed("lock", &layout.lock(0))(error.into())),
            Ok(()) => Err(StoreError::new(
                StoreErrorKind::Permanent,
                "use",
                "the data directory: locks do not hold on its file system, so two processes \
                 could overwrite each other's work; choose a local file system",
            )),
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Unlocking a lock that is held cannot fail, and closing would do too.
        let _ = flock(&*self.file, FlockOperation::Unlock);
    }
}

/// A hash that is the same in every build of the program, as processes of two
/// versions may share a tree.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
