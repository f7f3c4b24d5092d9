//! A registry to call, over each store in turn.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use http::Method;
use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::adapters::http::{Health, router};
use octoserve::adapters::memory::MemoryStore;
use octoserve::app::{Registry, RegistryRules};
use octoserve::domain::digest::Digest;
use octoserve::ports::{BlobStore, Clock, Identifiers, RecordStore};
use tempfile::TempDir;
use uuid::Uuid;

use crate::call::Call;
use crate::content::{Blob, Image, Manifest};

/// How a registry is set up for a test.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) rules: RegistryRules,
    pub(crate) read_timeout: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rules: RegistryRules::default(),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// A registry, and what a test may do to it besides calling it.
pub(crate) struct TestRegistry {
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) health: Health,
    router: Router,
    directory: Option<TempDir>,
}

/// Runs a test over the memory store, then over the filesystem store.
pub(crate) fn over_each_store(test: impl AsyncFn(TestRegistry)) {
    over_each_store_with(&Setup::default(), test);
}

/// As [`over_each_store`], with registries set up like this.
pub(crate) fn over_each_store_with(setup: &Setup, test: impl AsyncFn(TestRegistry)) {
    // What one store has answered, the other is to answer too.
    insta::allow_duplicates! {
        run("memory", &test, TestRegistry::in_memory(setup));
        run("filesystem", &test, TestRegistry::in_directory(setup));
    }
}

/// Runs a test that looks at files over the filesystem store only.
pub(crate) fn over_the_filesystem(setup: &Setup, test: impl AsyncFn(TestRegistry)) {
    run("filesystem", &test, TestRegistry::in_directory(setup));
}

fn run(store: &'static str, test: &impl AsyncFn(TestRegistry), registry: TestRegistry) {
    let _told = ToldOnFailure(store);
    runtime().block_on(test(registry));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Says over which store a test has failed.
struct ToldOnFailure(&'static str);

impl Drop for ToldOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was over the {} store", self.0);
        }
    }
}

impl TestRegistry {
    fn in_memory(setup: &Setup) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self::over(setup, clock, Arc::new(store), None)
    }

    fn in_directory(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Nothing here loses power, and syncing is what takes the time.
        let store = FilesystemStore::open(directory.path(), false).expect("a store");
        let clock = Arc::new(ManualClock::default());
        Self::over(setup, clock, Arc::new(store), Some(directory))
    }

    /// A registry over any store.
    pub(crate) fn over<S: BlobStore + RecordStore + 'static>(
        setup: &Setup,
        clock: Arc<ManualClock>,
        store: Arc<S>,
        directory: Option<TempDir>,
    ) -> Self {
        let registry = Arc::new(Registry::new(
            Arc::clone(&store) as Arc<dyn BlobStore>,
            store,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(NumberedIdentifiers::default()),
            setup.rules.clone(),
        ));
        let health = Health::default();
        let router = router(Arc::clone(&registry), health.clone(), setup.read_timeout);
        Self {
            registry,
            clock,
            health,
            router,
            directory,
        }
    }

    pub(crate) fn call(&self, method: Method, uri: impl AsRef<str>) -> Call {
        Call::new(&self.router, method, uri.as_ref())
    }

    pub(crate) fn get(&self, uri: impl AsRef<str>) -> Call {
        self.call(Method::GET, uri)
    }

    pub(crate) fn head(&self, uri: impl AsRef<str>) -> Call {
        self.call(Method::HEAD, uri)
    }

    pub(crate) fn post(&self, uri: impl AsRef<str>) -> Call {
        self.call(Method::POST, uri)
    }

    pub(crate) fn put(&self, uri: impl AsRef<str>) -> Call {
        self.call(Method::PUT, uri)
    }

    pub(crate) fn patch(&self, uri: impl AsRef<str>) -> Call {
        self.call(Method::PATCH, uri)
    }

    pub(crate) fn delete(&self, uri: impl AsRef<str>) -> Call {
        self.call(Method::DELETE, uri)
    }

    /// Has a repository hold a blob.
    #[track_caller]
    pub(crate) fn holding(&self, repository: &str, blob: &Blob) -> impl Future<Output = ()> {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={}", blob.digest());
        let call = self.post(path).body(blob.content());
        async move {
            call.await.expect(201);
        }
    }

    /// Pushes a manifest whose references are there.
    pub(crate) async fn push(
        &self,
        repository: &str,
        reference: impl std::fmt::Display,
        manifest: &Manifest,
    ) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let call = self.put(path).body(manifest.content());
        let call = call.header(http::header::CONTENT_TYPE, manifest.media_type());
        call.await.expect(201);
    }

    /// Pushes an image with a config and a layer of its own, as `tag`.
    pub(crate) async fn push_image(&self, repository: &str, tag: &str) -> Manifest {
        let (config, layer) = (
            Blob::text(&format!("the config of {repository}:{tag}")),
            Blob::text(&format!("the layer of {repository}:{tag}")),
        );
        self.holding(repository, &config).await;
        self.holding(repository, &layer).await;
        let manifest = Image::with_config(&config).layer(&layer).build();
        self.push(repository, tag, &manifest).await;
        manifest
    }

    /// Begins an upload session, and returns its location.
    pub(crate) async fn begin(&self, repository: &str) -> String {
        let call = self.post(format!("/v2/{repository}/blobs/uploads/"));
        call.body("").await.expect(202).location()
    }

    /// How many bytes a session has, by what it answers.
    pub(crate) async fn received(&self, location: &str) -> String {
        let status = self.get(location).await.expect(204);
        status.named("range").expect("a Range").to_owned()
    }

    /// The file that the content of a digest lies in: the one that is called by
    /// its hash, however deep it lies.
    pub(crate) fn file_of(&self, digest: &Digest) -> PathBuf {
        let root = self.directory.as_ref().expect("a store of files").path();
        let mut directories = vec![root.join("blobs").join(digest.algorithm().as_str())];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.ends_with(digest.to_hex()) {
                    return path;
                }
            }
        }
        panic!("no file holds {digest}");
    }

    /// Makes so many calls at one moment, each on a thread of its own.
    pub(crate) fn race<T: Send>(
        &self,
        count: usize,
        call: impl AsyncFn(&Self, usize) -> T + Sync,
    ) -> Vec<T> {
        let barrier = Barrier::new(count);
        let (barrier, call) = (&barrier, &call);
        std::thread::scope(|scope| {
            let racers: Vec<_> = (0..count)
                .map(|number| {
                    scope.spawn(move || {
                        let runtime = runtime();
                        barrier.wait();
                        runtime.block_on(call(self, number))
                    })
                })
                .collect();
            let finished = racers.into_iter().map(|racer| racer.join());
            finished.map(|racer| racer.expect("a racer")).collect()
        })
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<SystemTime>);

impl Default for ManualClock {
    /// Files are dated by the machine's clock, so this one starts with it.
    fn default() -> Self {
        Self(Mutex::new(SystemTime::now()))
    }
}

impl ManualClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers, in the form of UUIDs: the same ones in every run.
#[derive(Debug, Default)]
struct NumberedIdentifiers(AtomicU64);

impl Identifiers for NumberedIdentifiers {
    fn fresh(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Uuid::from_u128(0x4000_8000_0000_0000_0000 | u128::from(number))
    }
}
