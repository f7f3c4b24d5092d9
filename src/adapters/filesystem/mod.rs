//! The default store: a directory tree that an administrator can read with
//! `ls` and `cat`.
//!
//! ```text
//! data/
//! ├── blobs/<algorithm>/ab/abcd…         content, one copy of each
//! ├── jobs/<job>                         who is at it; a record like the others
//! ├── manifests/<repository>/…           records, see `domain::record_key`
//! ├── repositories/<name with + for />   one record per repository
//! ├── uploads/<uuid>/                    session.json, data, hash
//! ├── staging/<uuid>                     files on their way to their place
//! └── locks/00 … 3f                      empty; locked by flock
//! ```
//!
//! **Atomic.** A file appears under its name by a rename, so it is there whole
//! or not at all. **Durable.** Its bytes and its directory are synced before
//! the caller hears of success; content becomes durable with the claim or the
//! revision that makes it part of a repository. **Ordered.** Local
//! file systems commit renames in the order in which they were made, so what
//! was written first is there if what was written later is. **Shared.** Any
//! number of processes on one machine may use one tree: what is compared before
//! it is changed is compared under a lock file of its shard.

mod blobs;
mod durability;
mod layout;
mod listing;
mod locks;
mod receive;
mod recent;
mod records;
mod repositories;
mod session;
mod settling;
mod stored;
mod sync_queue;
mod uploads;

use std::path::Path;
use std::sync::Arc;

use crate::ports::{StoreError, StoreErrorKind};

use self::durability::{Durability, ensure_directory};
use self::layout::Layout;
use self::listing::Listings;
use self::locks::Locks;
use self::recent::RecentRecords;

/// A store in a directory.
///
/// Reads of small files are made where they are asked for: from a warm page
/// cache they cost less than handing them to another thread. Whatever writes,
/// or may wait for the disk for long, runs on the runtime's blocking threads.
#[derive(Clone)]
pub struct FilesystemStore(Arc<Shared>);

struct Shared {
    layout: Layout,
    durability: Durability,
    locks: Locks,
    listings: Listings,
    recent: RecentRecords,
}

impl FilesystemStore {
    /// Opens the store in `root`, which is made if it is not there.
    ///
    /// With `fsync` false, what was acknowledged may be lost when the machine
    /// loses power; a crash of the process alone still loses nothing.
    ///
    /// # Errors
    /// When the directory cannot be made or written, or lies on a file system
    /// whose locks do not hold.
    pub fn open(root: &Path, fsync: bool) -> Result<Self, StoreError> {
        let layout = Layout::new(root.to_owned());
        let durability = Durability::new(root, fsync)?;
        let mut changed = Vec::new();
        for directory in layout.fixed_directories() {
            ensure_directory(&directory, &mut changed)?;
        }
        durability.sync_with_the_next(changed);
        let locks = Locks::open(&layout)?;
        Ok(Self(Arc::new(Shared {
            layout,
            durability,
            locks,
            listings: Listings::default(),
            recent: RecentRecords::default(),
        })))
    }
}

/// Runs what may wait for the disk where waiting is allowed.
async fn blocking<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => Err(task_failed(panicked)),
    }
}

fn task_failed(error: tokio::task::JoinError) -> StoreError {
    StoreError::new(StoreErrorKind::Permanent, "finish", "a storage task").caused_by(error)
}
