//! What can be measured, its unit, and what is to be reached.

use std::time::Duration;

use crate::peers::Contestant;

pub(crate) const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// One kind of figure, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Seconds of the server's CPU time for each GiB of content.
    CpuPerGib,
    /// Microseconds of the server's CPU time for each request.
    CpuPerRequest,
    /// Milliseconds of the server's CPU time for each image pushed.
    CpuPerImage,
    /// Milliseconds of the server's CPU time for the whole.
    CpuTotal,
    /// MiB of content in each second.
    MibPerSecond,
    /// Requests answered in each second.
    RequestsPerSecond,
    /// Images pushed in each second.
    ImagesPerSecond,
    /// Durable files in each second.
    FilesPerSecond,
    /// Milliseconds from the first request to the last answer.
    TotalTime,
    /// Milliseconds that half of the operations stay under.
    MedianLatency,
    /// Milliseconds that 99 % of the operations stay under.
    TailLatency,
    /// Pages that the listing took.
    Pages,
    /// MiB: the highest resident memory during the case, summed over the server's processes.
    PeakMemory,
    /// MiB: the resident memory of the idle server, summed over its processes.
    IdleMemory,
    /// Milliseconds from just before exec to the first 200.
    ReadyTime,
    /// MiB on disk.
    BinarySize,
}

impl Measure {
    /// The words in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::CpuPerGib => "CPU-s/GiB",
            Self::CpuPerRequest => "CPU µs/request",
            Self::CpuPerImage => "CPU ms/image",
            Self::CpuTotal => "CPU ms",
            Self::MibPerSecond => "MiB/s",
            Self::RequestsPerSecond => "requests/s",
            Self::ImagesPerSecond => "images/s",
            Self::FilesPerSecond => "files/s",
            Self::TotalTime => "total ms",
            Self::MedianLatency => "p50 ms",
            Self::TailLatency => "p99 ms",
            Self::Pages => "pages",
            Self::PeakMemory => "peak RSS MiB",
            Self::IdleMemory => "idle RSS MiB",
            Self::ReadyTime => "ready after exec, ms",
            Self::BinarySize => "binary MiB",
        }
    }
}

/// What one contestant did in one round of one case.
pub(crate) type Sample = Vec<(Measure, f64)>;

/// A figure of Octoserve's that has a target.
#[derive(Clone, Debug)]
pub(crate) struct Headline {
    /// Which figure.
    pub(crate) measure: Measure,
    /// What it must reach, if anything.
    pub(crate) must: Option<Bound>,
    /// What it aims at, if anything.
    pub(crate) aim: Option<Bound>,
}

impl Headline {
    /// A figure that is shown among the main ones but has no target.
    pub(crate) fn plain(measure: Measure) -> Self {
        Self {
            measure,
            must: None,
            aim: None,
        }
    }

    /// A figure with what it must reach and what it aims at.
    pub(crate) fn target(measure: Measure, must: Bound, aim: Bound) -> Self {
        Self {
            measure,
            must: Some(must),
            aim: Some(aim),
        }
    }
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at most this many times the other contestant's.
    TimesAtMost(Contestant, f64),
    /// The figure is at least this many times the other contestant's.
    TimesAtLeast(Contestant, f64),
}

impl Bound {
    /// Whom the figure is divided by, if it is.
    pub(crate) fn reference(self) -> Option<Contestant> {
        match self {
            Self::AtMost(_) => None,
            Self::TimesAtMost(contestant, _) | Self::TimesAtLeast(contestant, _) => {
                Some(contestant)
            }
        }
    }

    /// The bare number of the bound.
    pub(crate) fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit) | Self::TimesAtMost(_, limit) | Self::TimesAtLeast(_, limit) => {
                limit
            }
        }
    }

    /// Whether a value (a ratio where there is a reference) keeps the bound.
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) | Self::TimesAtMost(_, limit) => value <= limit,
            Self::TimesAtLeast(_, limit) => value >= limit,
        }
    }
}

/// The middle value; the mean of the two middle ones where there is an even number.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// Milliseconds, with their fraction.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Appends median and 99th percentile to a sample; none where nothing was timed.
pub(crate) fn add_latencies(sample: &mut Sample, latencies: &mut [Duration]) {
    latencies.sort_unstable();
    if let Some(last) = latencies.len().checked_sub(1) {
        sample.push((Measure::MedianLatency, milliseconds(latencies[last / 2])));
        sample.push((
            Measure::TailLatency,
            milliseconds(latencies[last * 99 / 100]),
        ));
    }
}
