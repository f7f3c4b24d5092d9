//! Metrics: counts of what happens, told to who asks.
//!
//! Every label has few values, all known to the program; the one exception, the
//! names of repositories, is there only when it is asked for, and bounded.

mod families;
mod process;
mod pulled;
mod server;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::families::{
    Collector, RepositoryLabels, Requests, Storage, StorageLabels, StorageOperationLabels,
};
pub use self::families::{CollectorRun, RequestLabels};
use self::pulled::Pulled;
pub use self::pulled::Sources;
pub use self::server::MetricsServer;

/// So many repositories are told apart; the others are one.
const MOST_REPOSITORIES: usize = 1_000;

/// All the counts of this process.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Requests,
    storage: Storage,
    collector: Collector,
    uploads_open: Level,
    sources: Arc<OnceLock<Arc<Sources>>>,
    repositories: bool,
    known_repositories: Mutex<HashSet<String>>,
}

impl Metrics {
    /// No counts yet. With `repositories` some of them will tell repositories
    /// apart.
    #[must_use]
    pub fn new(repositories: bool) -> Self {
        let mut registry = Registry::default();
        let sources = Arc::new(OnceLock::new());
        registry.register_collector(Box::new(Pulled::new(Arc::clone(&sources))));
        let ours = registry.sub_registry_with_prefix("octoserve");
        let uploads_open = Level::default();
        ours.register(
            "uploads_open",
            "Upload sessions that are neither finished nor cancelled, 10000 at most",
            uploads_open.clone(),
        );
        Self {
            requests: Requests::register(ours, repositories),
            storage: Storage::register(ours),
            collector: Collector::register(ours),
            uploads_open,
            sources,
            registry: Mutex::new(registry),
            repositories,
            known_repositories: Mutex::default(),
        }
    }

    /// Says where to look for what nobody reports. Once is enough.
    pub fn set_sources(&self, sources: Arc<Sources>) {
        let _ = self.sources.set(sources);
    }

    /// A request has begun.
    pub fn request_begins(&self) {
        self.requests.in_flight.inc();
    }

    /// A request has ended: it took so long, and had bodies of so many bytes.
    pub fn request_ends(
        &self,
        labels: &RequestLabels,
        repository: Option<&str>,
        duration: Duration,
        received: u64,
        sent: u64,
    ) {
        let requests = &self.requests;
        requests.in_flight.dec();
        requests.total.get_or_create(labels).inc();
        let route = labels.route();
        requests
            .duration
            .get_or_create(&route)
            .observe(duration.as_secs_f64());
        requests
            .response_size
            .get_or_create(&route)
            .observe(sent as f64);
        if received > 0 {
            requests
                .request_size
                .get_or_create(&route)
                .observe(received as f64);
        }
        if let Some(repository) = repository.filter(|_| self.repositories && labels.succeeded()) {
            self.count_in(repository, labels.method, received, sent);
        }
    }

    /// Bytes of a request's body came.
    pub fn received(&self, bytes: u64) {
        self.requests.received.inc_by(bytes);
    }

    /// Bytes of a response's body went.
    pub fn sent(&self, bytes: u64) {
        self.requests.sent.inc_by(bytes);
    }

    /// A store has done, or failed to do, what it was asked.
    pub(super) fn storage_operation(
        &self,
        adapter: &'static str,
        operation: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        let labels = StorageLabels { adapter, operation };
        self.storage
            .duration
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
        let labels = StorageOperationLabels {
            adapter,
            operation,
            outcome,
        };
        self.storage.total.get_or_create(&labels).inc();
    }

    /// The collector has run.
    pub fn collector_ran(&self, run: CollectorRun) {
        self.collector.ran(run);
    }

    /// So many upload sessions are open.
    pub fn set_uploads_open(&self, sessions: usize) {
        self.uploads_open
            .set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }

    /// All of it, in the text format of OpenMetrics.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Counts a request that succeeded, so that the repository exists.
    fn count_in(&self, repository: &str, method: &'static str, received: u64, sent: u64) {
        let labels = RepositoryLabels {
            repository: self.told_apart(repository).to_owned(),
            method,
        };
        let counts = &self.requests.repositories;
        counts.requests.get_or_create(&labels).inc();
        counts.received.get_or_create(&labels).inc_by(received);
        counts.sent.get_or_create(&labels).inc_by(sent);
    }

    /// What a repository is called here.
    fn told_apart<'a>(&self, repository: &'a str) -> &'a str {
        let known = self.known_repositories.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if known.contains(repository) {
            return repository;
        }
        if known.len() >= MOST_REPOSITORIES {
            return "other";
        }
        known.insert(repository.to_owned());
        repository
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

type Count = Counter<u64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;
