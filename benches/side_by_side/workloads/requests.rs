//! One small request, made again and again on 16 kept-alive connections.

use std::time::Duration;

use crate::Result;
use crate::client::{self, Load, Until};
use crate::measure::{Bound, Headline, Measure, Sample, add_latencies};
use crate::peers::Contestant;
use crate::server::Server;

/// Connections that each have one request on the way.
pub(super) const CONNECTIONS: usize = 16;
/// An uncounted run before each counted one, so that connections and caches are warm.
const WARMING: Duration = Duration::from_millis(20);

/// The targets of every small request.
pub(super) fn headlines() -> Vec<Headline> {
    vec![Headline::target(
        Measure::CpuPerRequest,
        Bound::TimesAtMost(Contestant::Nginx, 1.2),
        Bound::TimesAtMost(Contestant::Nginx, 0.8),
    )]
}

/// Makes the request for this long; each answer must announce and bring this length.
pub(super) fn measure(
    server: &Server<'_>,
    method: &str,
    path: &str,
    length: u64,
    time: Duration,
) -> Result<Sample> {
    let address = server.address()?;
    let accept = crate::content::MANIFEST_TYPE;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}, */*\r\n\r\n");
    let mut load = Load {
        address,
        request: request.as_bytes(),
        connections: CONNECTIONS,
        until: Until::Elapsed(WARMING),
        length,
    };
    client::run_closed_loop(&load)?;
    load.until = Until::Elapsed(time);
    let mark = server.mark()?;
    let mut outcome = client::run_closed_loop(&load)?;
    let usage = server.since(&mark)?;
    let requests = outcome.requests as f64;
    let mut sample = vec![
        (
            Measure::CpuPerRequest,
            usage.cpu.as_secs_f64() * 1e6 / requests,
        ),
        (
            Measure::RequestsPerSecond,
            requests / outcome.elapsed.as_secs_f64(),
        ),
        (Measure::PeakMemory, usage.peak_memory),
    ];
    add_latencies(&mut sample, &mut outcome.latencies);
    Ok(sample)
}
