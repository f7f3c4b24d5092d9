//! The registry under test, and the process that it lives in.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::adapters::memory::MemoryStore;
use octoserve::app::{Registry, RegistryRules};
use octoserve::domain::digest::Digest;
use octoserve::ports::{BlobStore, Clock, Identifiers, RecordStore};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::Adapter;

/// A clock that is set by hand.
#[derive(Default)]
pub(super) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(super) fn wait(&self, hours: u64) {
        self.0.fetch_add(hours * 3600, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        // Long after any file of this run was written, so that every lease on
        // the file system is old enough to be renewed.
        const START: Duration = Duration::from_secs(4_000_000_000);
        SystemTime::UNIX_EPOCH + START + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Identifiers that are the same in every run of a program.
#[derive(Default)]
struct Counted(AtomicU64);

impl Identifiers for Counted {
    fn fresh(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1)
    }
}

/// What outlives the process.
enum Storage {
    Memory(MemoryStore),
    Directory(TempDir),
}

pub(super) struct World {
    storage: Storage,
    rules: RegistryRules,
    pub(super) clock: Arc<ManualClock>,
    identifiers: Arc<Counted>,
    process: Option<Process>,
}

struct Process {
    registry: Registry,
    blobs: Arc<dyn BlobStore>,
    runtime: Runtime,
}

impl World {
    pub(super) fn new(adapter: Adapter, rules: RegistryRules) -> Self {
        let clock = Arc::new(ManualClock::default());
        let storage = match adapter {
            Adapter::Memory => {
                Storage::Memory(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>))
            }
            Adapter::Filesystem => {
                Storage::Directory(TempDir::new().expect("a temporary directory"))
            }
        };
        let mut world = Self {
            storage,
            rules,
            clock,
            identifiers: Arc::default(),
            process: None,
        };
        world.restart();
        world
    }

    /// Ends the process and starts another one on what it has stored. What runs
    /// on blocking threads is waited for, what waits there for its turn is not
    /// begun any more.
    pub(super) fn restart(&mut self) {
        self.process = None;
        let (blobs, records): (Arc<dyn BlobStore>, Arc<dyn RecordStore>) = match &self.storage {
            Storage::Memory(store) => (Arc::new(store.clone()), Arc::new(store.clone())),
            Storage::Directory(directory) => {
                let store =
                    FilesystemStore::open(directory.path(), false).expect("the store opens");
                (Arc::new(store.clone()), Arc::new(store))
            }
        };
        let registry = Registry::new(
            Arc::clone(&blobs),
            records,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Arc::clone(&self.identifiers) as Arc<dyn Identifiers>,
            self.rules.clone(),
        );
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        self.process = Some(Process {
            registry,
            blobs,
            runtime,
        });
    }

    fn process(&self) -> &Process {
        self.process
            .as_ref()
            .expect("a process runs between restarts")
    }

    /// Asks the registry, and waits for its answer.
    pub(super) fn ask<T>(&self, question: impl AsyncFnOnce(&Registry) -> T) -> T {
        let process = self.process();
        process.runtime.block_on(question(&process.registry))
    }

    /// Asks the registry. With `dropped_after`, an answer that is not there
    /// after so many polls is not waited for: the request is dropped, and the
    /// process restarted.
    pub(super) fn answer<T>(
        &mut self,
        dropped_after: Option<usize>,
        question: impl AsyncFnOnce(&Registry) -> T,
    ) -> Option<T> {
        let Some(polls) = dropped_after else {
            return Some(self.ask(question));
        };
        let answer = self.ask(async |registry| give_up_after(polls, question(registry)).await);
        if answer.is_none() {
            self.restart();
        }
        answer
    }

    /// The length of content as it is stored, whoever may have it.
    pub(super) fn stored_size(&self, digest: &Digest) -> Option<u64> {
        let process = self.process();
        let stat = process
            .runtime
            .block_on(process.blobs.stat(digest))
            .expect("the store works");
        stat.map(|stat| stat.size)
    }

    /// The data directory, if there is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        match &self.storage {
            Storage::Memory(_) => None,
            Storage::Directory(directory) => Some(directory.path()),
        }
    }

    /// Where a directory keeps content.
    pub(super) fn file_of(&self, digest: &Digest) -> Option<PathBuf> {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.to_hex());
        let root = self.directory()?;
        Some(root.join("blobs").join(algorithm).join(&hex[..2]).join(hex))
    }

    /// All content in a directory: what each file is called, and its bytes.
    pub(super) fn files(&self) -> Option<BTreeMap<PathBuf, Vec<u8>>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.directory()?.join("blobs")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let bytes = fs::read(&path).expect("a file");
                    files.insert(path, bytes);
                }
            }
        }
        Some(files)
    }
}

/// What a future comes to, if it does so within so many polls.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
