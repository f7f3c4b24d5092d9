//! The adapters under test.

use std::fs::{self, File, FileTimes};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use octoserve::adapters::clock::SystemClock;
use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::adapters::memory::MemoryStore;
use octoserve::adapters::opendal::{BucketOptions, Credentials, OpendalOptions, OpendalStore};
use octoserve::adapters::telemetry::{Metrics, ObservedBlobs, ObservedRecords, StoreObserver};
use octoserve::ports::{BlobStore, Clock, RecordStore};
use tempfile::TempDir;

use crate::world::{ManualClock, ShiftedClock};

/// Makes a test for each adapter out of each `async fn name(adapter: Adapter)`.
///
/// Those of a bucket need one, and are run by `cargo test --test contract s3 --
/// --ignored` where the environment names it; see [`Adapter::s3`].
macro_rules! on_every_adapter {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[test]
            fn $test() {
                crate::adapters::run(super::$test(crate::adapters::Adapter::memory()));
            })+
        }

        mod observed {
            $(#[test]
            fn $test() {
                crate::adapters::run(super::$test(crate::adapters::Adapter::observed()));
            })+
        }

        mod filesystem {
            $(#[test]
            fn $test() {
                crate::adapters::run(super::$test(crate::adapters::Adapter::filesystem()));
            })+
        }

        mod s3 {
            $(#[test]
            #[ignore = "needs an S3 server"]
            fn $test() {
                crate::adapters::run(super::$test(crate::adapters::Adapter::s3()));
            })+
        }
    };
}

/// No test needs so long; one that does hangs.
const LONGEST_TEST: Duration = Duration::from_secs(60);

/// Both ports of one store, as one process has them open.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
}

/// An adapter over a store of its own, empty at first.
pub(crate) struct Adapter {
    open: Box<dyn Fn() -> Opened>,
    clock: Arc<dyn Clock>,
    age: Box<dyn Fn(Duration)>,
    directory: Option<TempDir>,
}

impl Adapter {
    /// The store in memory. Every opening shares what is stored.
    pub(crate) fn memory() -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self {
            open: Box::new(move || Opened {
                blobs: Arc::new(store.clone()),
                records: Arc::new(store.clone()),
            }),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            age: Box::new(move |by| clock.advance(by)),
            directory: None,
        }
    }

    /// The store in memory, behind what reports its operations: nothing but the
    /// reports is to be different.
    pub(crate) fn observed() -> Self {
        let memory = Self::memory();
        let open = memory.open;
        let observer = StoreObserver {
            adapter: "memory",
            metrics: Some(Arc::new(Metrics::new(false))),
        };
        Self {
            open: Box::new(move || {
                let Opened { blobs, records } = open();
                Opened {
                    blobs: Arc::new(ObservedBlobs::new(blobs, observer.clone())),
                    records: Arc::new(ObservedRecords::new(records, observer.clone())),
                }
            }),
            ..memory
        }
    }

    /// The store in a directory. Each opening shares nothing with the others
    /// but the directory, as in another process.
    pub(crate) fn filesystem() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let root = directory.path().to_owned();
        let aged = root.clone();
        Self {
            open: Box::new(move || {
                let store = FilesystemStore::open(&root, true).expect("the store opens");
                Opened {
                    blobs: Arc::new(store.clone()),
                    records: Arc::new(store),
                }
            }),
            clock: Arc::new(SystemClock),
            age: Box::new(move |by| set_back(&aged, by)),
            directory: Some(directory),
        }
    }

    /// A store of its own in the bucket that `OCTOSERVE_TEST_S3_ENDPOINT`,
    /// `…_BUCKET`, `…_ACCESS_KEY` and `…_SECRET_KEY` name. Each opening shares
    /// nothing with the others but the bucket, as in another process.
    pub(crate) fn s3() -> Self {
        let variable = |name: &str| {
            let name = format!("OCTOSERVE_TEST_S3_{name}");
            std::env::var(&name).unwrap_or_else(|_| panic!("{name} names no bucket"))
        };
        let bucket = BucketOptions {
            endpoint: Some(variable("ENDPOINT")),
            region: Some("us-east-1".to_owned()),
            bucket: variable("BUCKET"),
            root: format!("contract/{}", uuid::Uuid::new_v4()),
            virtual_host_style: false,
            credentials: Some(Credentials {
                access_key_id: variable("ACCESS_KEY"),
                secret_access_key: variable("SECRET_KEY"),
                session_token: None,
            }),
            encryption: None,
            checksums: false,
        };
        let options = OpendalOptions {
            announce_after: 256 * 1024,
            single_writer: std::env::var_os("OCTOSERVE_TEST_S3_SINGLE_WRITER").is_some(),
            ..OpendalOptions::default()
        };
        let clock = Arc::new(ShiftedClock::default());
        let ages = Arc::clone(&clock);
        Self {
            open: Box::new(move || {
                let store = OpendalStore::s3(&bucket, options.clone()).expect("the store opens");
                let store = store.with_clock(Arc::clone(&ages) as Arc<dyn Clock>);
                Opened {
                    blobs: Arc::new(store.clone()),
                    records: Arc::new(store),
                }
            }),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            age: Box::new(move |by| clock.advance(by)),
            directory: None,
        }
    }

    /// Opens the store as a process of its own would.
    pub(crate) fn open(&self) -> Opened {
        (self.open)()
    }

    /// Opens the store for its blobs.
    pub(crate) fn blobs(&self) -> Arc<dyn BlobStore> {
        self.open().blobs
    }

    /// Opens the store for its records.
    pub(crate) fn records(&self) -> Arc<dyn RecordStore> {
        self.open().records
    }

    /// What time it is to the store.
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Makes all that is stored older.
    pub(crate) fn age(&self, by: Duration) {
        (self.age)(by);
    }

    /// Where a store in a directory is.
    pub(crate) fn root(&self) -> PathBuf {
        let directory = self.directory.as_ref().expect("a store in a directory");
        directory.path().to_owned()
    }
}

/// Sets the modification time of everything in a tree back.
fn set_back(path: &Path, by: Duration) {
    let metadata = fs::metadata(path).expect("a file");
    if metadata.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            set_back(&entry.expect("an entry").path(), by);
        }
    }
    let modified = metadata.modified().expect("a modification time");
    let times = FileTimes::new().set_modified(modified - by);
    let file = File::open(path).expect("a file");
    file.set_times(times).expect("another time");
}

/// Runs a test to its end on this thread.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(LONGEST_TEST, test).await });
    ended.expect("the test ends in time")
}

/// Runs `work` once in each of `count` threads at the same time, and returns
/// what came of each.
pub(crate) fn at_once<T: Send, F: Future<Output = T>>(
    count: usize,
    work: impl Fn(usize) -> F + Sync,
) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    run(work(number))
                })
            })
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
