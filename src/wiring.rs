//! Puts the parts together: the one place that knows all of them.

mod collect;
mod stores;
mod telemetry;

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use octoserve::adapters::http::server::{Certificate, Drain, Limits, Server, listen};
use octoserve::adapters::http::{Health, observed_router};
use octoserve::adapters::identifiers::RandomIdentifiers;
use octoserve::adapters::settings::{
    ServerSettings, Settings, StoreSettings, TlsFiles, UploadSettings,
};
use octoserve::adapters::telemetry::Log;
use octoserve::app::{Registry, RegistryRules};
use octoserve::ports::Clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error, info, warn};

pub(crate) use self::collect::collect;
pub(crate) use self::stores::examine;

/// File descriptors that are neither a connection nor a file that it is served.
const OTHER_DESCRIPTORS: u64 = 64;

/// Serves a registry until it is told to stop.
///
/// # Errors
/// When it cannot start. What goes wrong later is logged.
pub(crate) fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let observer = telemetry::observer(&settings.telemetry)?;
    let log = Log::start(
        settings.logging.filter.clone(),
        settings.logging.format,
        observer.traces.as_deref(),
    )?;
    let server = &settings.server;
    let listeners = listen(&server.address, server.port)?;
    let certificate = match &server.tls {
        Some(TlsFiles { certificate, key }) => Some(Certificate::load(certificate, key)?),
        None => None,
    };
    let opened = stores::open(&settings.storage)?;
    let clock = opened.clock;
    collect::start(
        &settings,
        &opened.stores,
        Arc::clone(&clock),
        observer.metrics.clone(),
    )?;
    let (blobs, records) = telemetry::observe(opened.stores, &settings.storage.store, &observer);
    let rules = RegistryRules {
        allow_missing: settings.allow_missing,
        largest_manifest: settings.largest_manifest,
        largest_blob: settings.largest_blob.unwrap_or(u64::MAX),
        grace: settings.collect.grace,
        cache_size: settings.storage.cache_size,
        cache_max_age: settings.storage.cache_max_age,
    };
    let registry = Arc::new(Registry::new(
        blobs,
        records,
        Arc::clone(&clock),
        Arc::new(RandomIdentifiers),
        rules,
    ));
    let health = Health::default();
    let metrics = telemetry::metrics_server(&settings.telemetry, &observer, &registry)?;
    let routes = observed_router(
        Arc::clone(&registry),
        health.clone(),
        server.read_timeout,
        observer.clone(),
    );
    let limits = limits(server);

    // Accepts, and runs the jobs; connections are served by threads of their own.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("jobs")
        .build()?;
    runtime.block_on(async {
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>()?;
        let signals = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ];
        let drain = Drain::default();
        // Going through all of a bucket is for the one replica that collects.
        let is_swept = opened.bucket.is_some() && settings.collect.interval.is_some();
        if let Some(bucket) = opened.bucket {
            tokio::spawn(stores::watch(bucket, health.clone()));
        }
        tokio::spawn(stop_on_signal(signals, health, drain.clone(), log.clone()));
        if !is_swept {
            tokio::spawn(expire_uploads(registry, clock, settings.uploads.clone()));
        }
        info!(
            version = env!("CARGO_PKG_VERSION"),
            addresses = join(&addresses),
            tls = certificate.is_some(),
            storage = %describe(&settings.storage.store),
            workers = limits.workers,
            max_connections = limits.connections,
            "serving",
        );
        if let Some(metrics) = metrics {
            info!(addresses = join(&metrics.addresses()?), "serving metrics");
            metrics.start()?;
        }
        if let Some(traces) = &settings.telemetry.traces {
            info!(endpoint = traces.endpoint, "sending traces");
        }
        let stopping = telemetry::stopping(drain.clone());
        let server = Server::new(listeners, certificate, limits);
        server.run(routes, &drain).await?;
        telemetry::flush(&observer, stopping, settings.server.drain_timeout).await;
        Ok::<(), Box<dyn Error>>(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    log.flush();
    Ok(())
}

fn join(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(" ")
}

fn describe(store: &StoreSettings) -> String {
    match store {
        StoreSettings::Filesystem { path, fsync: true } => format!("filesystem {}", path.display()),
        StoreSettings::Filesystem { path, fsync: false } => {
            format!("filesystem {} without fsync", path.display())
        }
        StoreSettings::S3(bucket) => format!(
            "s3 {}/{}",
            bucket.endpoint.as_deref().unwrap_or("aws"),
            bucket.bucket
        ),
        StoreSettings::Memory => "memory".to_owned(),
    }
}

fn limits(settings: &ServerSettings) -> Limits {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let possible_connections = connections_by_descriptors();
    Limits {
        workers: settings.workers.unwrap_or_else(cores),
        connections: settings.connections.unwrap_or(possible_connections),
        largest_head: settings.largest_head,
        header_timeout: settings.header_timeout,
        idle_timeout: settings.idle_timeout,
        write_timeout: settings.write_timeout,
        drain_timeout: settings.drain_timeout,
    }
}

/// Takes all the file descriptors that the process is allowed to take, and
/// returns how many connections there can be if each needs a file as well.
fn connections_by_descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let most = descriptors
        .unwrap_or(u64::MAX)
        .saturating_sub(OTHER_DESCRIPTORS)
        / 2;
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The first signal lets requests end; the second does not.
async fn stop_on_signal(mut signals: [Signal; 2], health: Health, drain: Drain, log: Log) {
    let name = next_of(&mut signals).await;
    info!(signal = name, "asked to stop");
    health.drain();
    drain.start();
    let name = next_of(&mut signals).await;
    warn!(signal = name, "asked to stop at once");
    log.flush();
    process::exit(1);
}

async fn next_of([terminate, interrupt]: &mut [Signal; 2]) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Abandons, again and again, the uploads that nobody goes on with.
async fn expire_uploads(registry: Arc<Registry>, clock: Arc<dyn Clock>, settings: UploadSettings) {
    let mut ticks = interval(settings.sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(before) = clock.now().checked_sub(settings.expire_after) else {
            continue;
        };
        match registry.expire_uploads(before).await {
            Ok(0) => debug!("no upload has expired"),
            Ok(expired) => info!(expired, "abandoned uploads that had expired"),
            Err(error) => error!(
                error = &error as &dyn Error,
                "cannot look for uploads that have expired"
            ),
        }
    }
}
