//! A registry over a store that stays when the registry is gone.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use octoserve::adapters::clock::SystemClock;
use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::adapters::memory::MemoryStore;
use octoserve::app::{Registry, RegistryRules};
use octoserve::ports::{BlobStore, Identifiers, RecordStore};
use uuid::Uuid;

/// Both ports of one store, as one process has them open.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
}

impl Ports {
    /// An empty store in memory.
    pub(crate) fn memory() -> Self {
        let store = MemoryStore::new(Arc::new(SystemClock));
        Self {
            blobs: Arc::new(store.clone()),
            records: Arc::new(store),
        }
    }

    /// The store in a directory, opened as a process of its own would.
    pub(crate) fn filesystem(root: &Path, fsync: bool) -> Self {
        Self::of(FilesystemStore::open(root, fsync).expect("the store opens"))
    }

    /// The ports of a store in a directory.
    pub(crate) fn of(store: FilesystemStore) -> Self {
        Self {
            blobs: Arc::new(store.clone()),
            records: Arc::new(store),
        }
    }

    /// The registry of one process. Each has identifiers of its own, which
    /// start at `first_identifier`.
    pub(crate) fn registry(&self, first_identifier: u64) -> Registry {
        let rules = RegistryRules {
            // Every lease is old, so every use case that may renew one does.
            grace: Duration::ZERO,
            // What is stored decides, not what is remembered of it.
            cache_size: 0,
            ..RegistryRules::default()
        };
        Registry::new(
            Arc::clone(&self.blobs),
            Arc::clone(&self.records),
            Arc::new(SystemClock),
            Arc::new(NumberedFrom(AtomicU64::new(first_identifier))),
            rules,
        )
    }
}

struct NumberedFrom(AtomicU64);

impl Identifiers for NumberedFrom {
    fn fresh(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Runs what one process does. On return nothing of it is still at work.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    const LONGEST: Duration = Duration::from_secs(60);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(LONGEST, work).await });
    ended.expect("it ends in time")
}
