//! Collecting: on a schedule beside the server, and by hand.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use octoserve::adapters::command_line::{CollectArguments, CollectProgress, collected};
use octoserve::adapters::identifiers::RandomIdentifiers;
use octoserve::adapters::pace::Pace;
use octoserve::adapters::settings::{Settings, StoreSettings};
use octoserve::adapters::telemetry::{CollectorRun, Metrics};
use octoserve::app::{CollectObserver, CollectRules, CollectStep, Registry, RegistryRules};
use octoserve::ports::{Clock, Identifiers};
use tokio::runtime::{self, Runtime};
use tracing::{debug, error, info};

use super::stores::{self, Stores};

/// A thread of its own: what it reads it reads where it is, and nobody who is
/// served waits for that.
pub(super) fn start(
    settings: &Settings,
    served: &Stores,
    clock: Arc<dyn Clock>,
    metrics: Option<Arc<Metrics>>,
) -> Result<(), Box<dyn Error>> {
    let Some(interval) = settings.collect.interval else {
        return Ok(());
    };
    // What a collector reads once is not to push out of the caches what clients
    // ask for. Memory there is only one of.
    let (stores, clock) = match settings.storage.store {
        StoreSettings::Memory => (served.clone(), clock),
        _ => {
            let opened = stores::open_again(&settings.storage)?;
            (opened.stores, opened.clock)
        }
    };
    let registry = registry(stores, clock, settings);
    let rules = rules(settings);
    let pace = Paced(settings.collect.operations_per_second.map(Pace::new));
    let runtime = runtime()?;
    thread::Builder::new()
        .name("collect".to_owned())
        .spawn(move || {
            runtime.block_on(collect_again_and_again(
                registry, rules, pace, interval, metrics,
            ))
        })?;
    Ok(())
}

/// Collects once, and says so.
///
/// # Errors
/// When there is nothing to collect in, another process is at it, or the store
/// fails.
pub(crate) fn collect(
    settings: &Settings,
    arguments: &CollectArguments,
) -> Result<(), Box<dyn Error>> {
    if settings.storage.store == StoreSettings::Memory {
        return Err("a store in memory is that of one server, which collects by itself".into());
    }
    let mut rules = rules(settings);
    rules.dry_run = arguments.dry_run;
    rules.even_without_records = arguments.force;
    rules.untagged_after = arguments.untagged_after.or(rules.untagged_after);
    if let Some(grace) = arguments.grace {
        if grace < rules.grace && !arguments.force && !arguments.dry_run {
            return Err(format!(
                "a grace period of {} is shorter than collect.grace, which is {}: pushes that are \
                 under way may fail and have to be repeated; say --force if that is all right",
                humantime::format_duration(grace),
                humantime::format_duration(rules.grace),
            )
            .into());
        }
        rules.grace = grace;
    }
    let opened = stores::open_again(&settings.storage)?;
    let registry = registry(opened.stores, opened.clock, settings);
    let progress = CollectProgress::default();
    let ended = runtime()?.block_on(registry.collect(&rules, &progress));
    progress.clear();
    let told = match ended {
        Ok(Some(done)) => collected(&done, rules.dry_run, arguments.output),
        Ok(None) => {
            return Err("another process is collecting in this store; try again in a while".into());
        }
        Err(error) => return Err(in_full(&error).into()),
    };
    writeln!(io::stdout(), "{told}")?;
    Ok(())
}

/// An error with what caused it: who collects by hand may see what a client may
/// not.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

fn registry((blobs, records): Stores, clock: Arc<dyn Clock>, settings: &Settings) -> Registry {
    let rules = RegistryRules {
        grace: settings.collect.grace,
        cache_size: 0,
        ..RegistryRules::default()
    };
    let identifiers: Arc<dyn Identifiers> = Arc::new(RandomIdentifiers);
    Registry::new(blobs, records, clock, identifiers, rules)
}

fn rules(settings: &Settings) -> CollectRules {
    CollectRules {
        grace: settings.collect.grace,
        untagged_after: settings.collect.untagged_after,
        uploads_after: settings.uploads.expire_after,
        // Memory loses its records and its blobs together, and nobody can force
        // a server to collect.
        even_without_records: settings.storage.store == StoreSettings::Memory,
        ..CollectRules::default()
    }
}

/// Says nothing, and leaves room for others.
struct Paced(Option<Pace>);

#[async_trait]
impl CollectObserver for Paced {
    fn progress(&self, _: CollectStep, _: u64, _: Option<u64>) {}

    async fn pace(&self, operations: u32) {
        if let Some(pace) = &self.0 {
            pace.wait(operations).await;
        }
    }
}

async fn collect_again_and_again(
    registry: Registry,
    rules: CollectRules,
    pace: Paced,
    interval: Duration,
    metrics: Option<Arc<Metrics>>,
) {
    loop {
        tokio::time::sleep(jittered(interval)).await;
        let result = registry.collect(&rules, &pace).await;
        if let Some(metrics) = &metrics {
            metrics.collector_ran(match &result {
                Ok(Some(done)) => CollectorRun::Done {
                    blobs: done.removed_blobs,
                    bytes: done.removed_bytes,
                },
                Ok(None) => CollectorRun::Busy,
                Err(_) => CollectorRun::Failed,
            });
        }
        match result {
            Ok(None) => debug!("another process is collecting"),
            Ok(Some(done)) => info!(
                blobs = done.blobs,
                manifests = done.manifests,
                removed_blobs = done.removed_blobs,
                removed_bytes = done.removed_bytes,
                removed_manifests = done.removed_manifests,
                removed_claims = done.removed_claims,
                removed_uploads = done.removed_uploads,
                removed_leftovers = done.removed_leftovers,
                "collected what nothing refers to",
            ),
            Err(error) => error!(
                error = &error as &dyn Error,
                "cannot collect: nothing is removed that may be needed"
            ),
        }
    }
}

/// Up to a tenth more or less, so that replicas that started together do not
/// all come at the same moment.
fn jittered(interval: Duration) -> Duration {
    let [random, ..] = *RandomIdentifiers.fresh().as_bytes();
    interval.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}
