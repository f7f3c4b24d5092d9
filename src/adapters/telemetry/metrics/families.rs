//! What is counted as it happens, by which labels.

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Count, Level};

/// What a request is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) status: u16,
}

impl RequestLabels {
    /// A request that has this method, if it is known, and is for this kind of
    /// resource. Its status, while it has none, is 0; it stays so if it is never
    /// answered.
    #[must_use]
    pub fn new(method: Option<&Method>, route: &'static str) -> Self {
        Self {
            method: method.map_or("_OTHER", known_method),
            route,
            status: 0,
        }
    }

    /// Says what the request is answered with.
    pub const fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// The name of the method; "_OTHER" if there is none.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// The status that it is answered with; 0 if with none.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn succeeded(&self) -> bool {
        matches!(self.status, 200..400)
    }

    pub(super) const fn route(&self) -> RouteLabels {
        RouteLabels {
            method: self.method,
            route: self.route,
        }
    }
}

/// Methods are what clients say, so only those that mean something are told
/// apart.
const fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RepositoryLabels {
    pub(super) repository: String,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StorageLabels {
    pub(super) adapter: &'static str,
    pub(super) operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StorageOperationLabels {
    pub(super) adapter: &'static str,
    pub(super) operation: &'static str,
    pub(super) outcome: &'static str,
}

/// Bounds of a histogram.
#[derive(Clone, Copy)]
pub(super) enum Buckets {
    Seconds,
    StorageSeconds,
    Bytes,
}

/// A small answer takes less than the first, a large layer minutes.
const SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

const STORAGE_SECONDS: [f64; 12] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0,
];

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        match self {
            Self::Seconds => Histogram::new(SECONDS),
            Self::StorageSeconds => Histogram::new(STORAGE_SECONDS),
            // From 1 KiB to 16 GiB.
            Self::Bytes => Histogram::new(exponential_buckets(1024.0, 16.0, 7)),
        }
    }
}

type Histograms<L> = Family<L, Histogram, Buckets>;

/// Requests.
pub(super) struct Requests {
    pub(super) total: Family<RequestLabels, Count>,
    pub(super) duration: Histograms<RouteLabels>,
    pub(super) request_size: Histograms<RouteLabels>,
    pub(super) response_size: Histograms<RouteLabels>,
    pub(super) in_flight: Level,
    pub(super) received: Count,
    pub(super) sent: Count,
    pub(super) repositories: Repositories,
}

/// Requests that succeeded, by repository.
#[derive(Default)]
pub(super) struct Repositories {
    pub(super) requests: Family<RepositoryLabels, Count>,
    pub(super) received: Family<RepositoryLabels, Count>,
    pub(super) sent: Family<RepositoryLabels, Count>,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry, with_repositories: bool) -> Self {
        let requests = Self {
            total: Family::default(),
            duration: Family::new_with_constructor(Buckets::Seconds),
            request_size: Family::new_with_constructor(Buckets::Bytes),
            response_size: Family::new_with_constructor(Buckets::Bytes),
            in_flight: Level::default(),
            received: Count::default(),
            sent: Count::default(),
            repositories: Repositories::default(),
        };
        registry.register(
            "http_requests",
            "Requests that have ended, health checks apart; status 0: the client went away before there was an answer",
            requests.total.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the end of its response",
            Unit::Seconds,
            requests.duration.clone(),
        );
        registry.register_with_unit(
            "http_request_size",
            "Bodies of requests that have one",
            Unit::Bytes,
            requests.request_size.clone(),
        );
        registry.register_with_unit(
            "http_response_size",
            "Bodies of responses",
            Unit::Bytes,
            requests.response_size.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that have begun and not ended",
            requests.in_flight.clone(),
        );
        registry.register_with_unit(
            "http_received",
            "Bytes of bodies of requests, as they come",
            Unit::Bytes,
            requests.received.clone(),
        );
        registry.register_with_unit(
            "http_sent",
            "Bytes of bodies of responses, as they go",
            Unit::Bytes,
            requests.sent.clone(),
        );
        if with_repositories {
            requests.repositories.register(registry);
        }
        requests
    }
}

impl Repositories {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "repository_requests",
            "Requests that succeeded, by repository",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "repository_received",
            "Bytes of bodies of requests that succeeded",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit(
            "repository_sent",
            "Bytes of bodies of responses to requests that succeeded",
            Unit::Bytes,
            self.sent.clone(),
        );
    }
}

/// What is asked of the stores.
pub(super) struct Storage {
    pub(super) total: Family<StorageOperationLabels, Count>,
    pub(super) duration: Histograms<StorageLabels>,
}

impl Storage {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let storage = Self {
            total: Family::default(),
            duration: Family::new_with_constructor(Buckets::StorageSeconds),
        };
        registry.register(
            "storage_operations",
            "Operations of the store, by how they ended",
            storage.total.clone(),
        );
        registry.register_with_unit(
            "storage_operation_duration",
            "How long operations of the store took, with the body of an upload as it came",
            Unit::Seconds,
            storage.duration.clone(),
        );
        storage
    }
}

/// How a run of the collector ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorRun {
    /// It went through, and removed so much.
    Done {
        /// Blobs.
        blobs: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Another process was at it.
    Busy,
    /// It was stopped by an error.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    outcome: &'static str,
}

/// What the collector does.
pub(super) struct Collector {
    runs: Family<RunLabels, Count>,
    blobs: Count,
    bytes: Count,
}

impl Collector {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let collector = Self {
            runs: Family::default(),
            blobs: Count::default(),
            bytes: Count::default(),
        };
        // There from the begin, so that the first failure is an increase.
        for outcome in ["done", "busy", "failed"] {
            drop(collector.runs.get_or_create(&RunLabels { outcome }));
        }
        registry.register(
            "collector_runs",
            "Runs of the collector, by how they ended",
            collector.runs.clone(),
        );
        registry.register(
            "collector_removed_blobs",
            "Blobs that the collector has removed",
            collector.blobs.clone(),
        );
        registry.register_with_unit(
            "collector_removed",
            "Bytes of the blobs that the collector has removed",
            Unit::Bytes,
            collector.bytes.clone(),
        );
        collector
    }

    pub(super) fn ran(&self, run: CollectorRun) {
        let outcome = match run {
            CollectorRun::Done { blobs, bytes } => {
                self.blobs.inc_by(blobs);
                self.bytes.inc_by(bytes);
                "done"
            }
            CollectorRun::Busy => "busy",
            CollectorRun::Failed => "failed",
        };
        self.runs.get_or_create(&RunLabels { outcome }).inc();
    }
}
