//! Puts together what is told of what happens.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use octoserve::adapters::http::server::{Drain, listen};
use octoserve::adapters::settings::{StoreSettings, TelemetrySettings};
use octoserve::adapters::telemetry::{
    Metrics, MetricsServer, ObservedBlobs, ObservedRecords, Observer, Sources, StoreObserver,
    Traces,
};
use octoserve::app::Registry;
use tokio::task::{JoinHandle, spawn_blocking};

use super::stores::Stores;

/// A collector that does not answer does not hold up the end for longer.
const LONGEST_FLUSH: Duration = Duration::from_secs(5);

/// Who wants to know of requests.
pub(super) fn observer(settings: &TelemetrySettings) -> io::Result<Observer> {
    let metrics = settings.metrics.as_ref();
    let traces = settings.traces.as_ref();
    Ok(Observer {
        metrics: metrics.map(|metrics| Arc::new(Metrics::new(metrics.repositories))),
        traces: traces.map(Traces::start).transpose()?,
        server_timing: settings.server_timing,
    })
}

/// Wraps the stores, if anybody wants to know what is asked of them.
pub(super) fn observe(stores: Stores, settings: &StoreSettings, observer: &Observer) -> Stores {
    if observer.is_idle() {
        return stores;
    }
    let (blobs, records) = stores;
    let observer = StoreObserver {
        adapter: match settings {
            StoreSettings::Filesystem { .. } => "filesystem",
            StoreSettings::S3(_) => "s3",
            StoreSettings::Memory => "memory",
        },
        metrics: observer.metrics.clone(),
    };
    (
        Arc::new(ObservedBlobs::new(blobs, observer.clone())),
        Arc::new(ObservedRecords::new(records, observer)),
    )
}

/// What serves the metrics, if anything does.
pub(super) fn metrics_server(
    settings: &TelemetrySettings,
    observer: &Observer,
    registry: &Arc<Registry>,
) -> Result<Option<MetricsServer>, Box<dyn Error>> {
    let (Some(settings), Some(metrics)) = (&settings.metrics, &observer.metrics) else {
        return Ok(None);
    };
    let sources = Sources {
        registry: Arc::clone(registry),
        traces: observer.traces.clone(),
    };
    let listeners = listen(&settings.address, settings.port)?;
    Ok(Some(MetricsServer::new(
        listeners,
        Arc::clone(metrics),
        sources,
    )))
}

/// When the server begins to stop.
pub(super) fn stopping(drain: Drain) -> JoinHandle<Instant> {
    tokio::spawn(async move {
        drain.started().await;
        Instant::now()
    })
}

/// Sends the spans that wait, in what is left of the time to stop.
pub(super) async fn flush(
    observer: &Observer,
    stopping: JoinHandle<Instant>,
    drain_timeout: Duration,
) {
    let Some(traces) = observer.traces.clone() else {
        return;
    };
    let stopping = stopping.await.unwrap_or_else(|_| Instant::now());
    let left = drain_timeout.saturating_sub(stopping.elapsed());
    let flushing = spawn_blocking(move || traces.flush(left.min(LONGEST_FLUSH)));
    // If it panicked, that is in the log.
    let _ = flushing.await;
}
