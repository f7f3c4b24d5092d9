//! What is looked up when somebody asks, because nobody reports it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Unit;

use super::process::Process;
use crate::adapters::telemetry::Traces;
use crate::app::{CacheCounts, Registry};

/// Where to look for what nobody reports.
pub struct Sources {
    /// Whose cache it is.
    pub registry: Arc<Registry>,
    /// Who knows what became of spans.
    pub traces: Option<Arc<Traces>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sources").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Pulled(Arc<OnceLock<Arc<Sources>>>);

impl Pulled {
    pub(super) const fn new(sources: Arc<OnceLock<Arc<Sources>>>) -> Self {
        Self(sources)
    }
}

impl Collector for Pulled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_build(&mut encoder)?;
        if let Some(sources) = self.0.get() {
            encode_cache(&mut encoder, &sources.registry.cache_counts())?;
            if let Some(traces) = &sources.traces {
                encode_spans(&mut encoder, traces)?;
            }
        }
        match Process::read() {
            Some(process) => encode_process(&mut encoder, &process),
            None => Ok(()),
        }
    }
}

fn encode_build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let build: Family<[(&str, &str); 1], Gauge> = Family::default();
    build
        .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
        .set(1);
    let help = "Always 1; its label tells which program this is";
    build.encode(encoder.encode_descriptor(
        "octoserve_build_info",
        help,
        None,
        MetricType::Gauge,
    )?)
}

fn encode_cache(encoder: &mut DescriptorEncoder<'_>, counts: &CacheCounts) -> fmt::Result {
    let help = "Look-ups in the cache of what does not change";
    let mut family =
        encoder.encode_descriptor("octoserve_cache_lookups", help, None, MetricType::Counter)?;
    for (fact, lookups) in [
        ("claim", counts.claims),
        ("revision", counts.revisions),
        ("content", counts.contents),
    ] {
        for (result, count) in [("hit", lookups.hits), ("miss", lookups.misses)] {
            let labels = [("fact", fact), ("result", result)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_spans(encoder: &mut DescriptorEncoder<'_>, traces: &Traces) -> fmt::Result {
    let counts = traces.counts();
    let help = "Spans that have ended: the collector has them, or the queue was full, or the collector failed";
    let mut family =
        encoder.encode_descriptor("octoserve_trace_spans", help, None, MetricType::Counter)?;
    for (outcome, count) in [
        ("exported", counts.exported),
        ("dropped", counts.dropped),
        ("failed", counts.failed),
    ] {
        ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
    }
    Ok(())
}

fn encode_process(encoder: &mut DescriptorEncoder<'_>, process: &Process) -> fmt::Result {
    let seconds = Some(&Unit::Seconds);
    let bytes = Some(&Unit::Bytes);
    let cpu = ConstCounter::new(process.cpu_seconds);
    let help = "Time on a processor, in the program and in the kernel for it";
    let kind = MetricType::Counter;
    cpu.encode(encoder.encode_descriptor("process_cpu", help, seconds, kind)?)?;
    let started = ConstGauge::new(process.started);
    let help = "When the process started, since 1970";
    let kind = MetricType::Gauge;
    started.encode(encoder.encode_descriptor("process_start_time", help, seconds, kind)?)?;
    for (name, help, unit, value) in [
        (
            "process_resident_memory",
            "Memory in use, with mapped files",
            bytes,
            process.resident_bytes,
        ),
        (
            "process_virtual_memory",
            "Address space",
            bytes,
            process.virtual_bytes,
        ),
        (
            "process_open_fds",
            "File descriptors that are open",
            None,
            process.open_descriptors,
        ),
        (
            "process_max_fds",
            "File descriptors that may be open",
            None,
            process.most_descriptors,
        ),
        ("process_threads", "Threads", None, process.threads),
    ] {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)?;
    }
    Ok(())
}
