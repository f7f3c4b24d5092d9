//! GET of a large blob from a warm page cache, on one connection and on eight at once.

use super::{Case, Workload, mebibytes, seed};
use crate::Result;
use crate::arguments::Scale;
use crate::client::{self, Load, Until};
use crate::content::LargePayload;
use crate::floor::FloorMode;
use crate::measure::{Bound, GIB, Headline, MIB, Measure, Sample};
use crate::peers::Contestant;
use crate::server::Server;

pub(super) const NAME: &str = "get-large";
const REPOSITORY: &str = "bench/large";
/// Connections of each case.
const CASES: [usize; 2] = [1, 8];

pub(super) struct LargeBlobGet {
    payload: LargePayload,
    gets: u64,
}

impl LargeBlobGet {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            payload: LargePayload::new(1, scale.large_blob),
            gets: scale.large_gets,
        }
    }
}

impl Workload for LargeBlobGet {
    fn name(&self) -> &'static str {
        NAME
    }

    fn floor(&self) -> Option<FloorMode> {
        Some(FloorMode::Memory(self.payload.size))
    }

    fn is_for_static_files(&self) -> bool {
        true
    }

    fn cases(&self) -> Vec<Case> {
        CASES
            .iter()
            .map(|connections| Case {
                title: format!(
                    "GET {} blob, {connections} connection{}",
                    mebibytes(self.payload.size),
                    if *connections == 1 { "" } else { "s" }
                ),
                headlines: vec![Headline::target(
                    Measure::CpuPerGib,
                    Bound::TimesAtMost(Contestant::Nginx, 1.0),
                    Bound::TimesAtMost(Contestant::Nginx, 0.6),
                )],
            })
            .collect()
    }

    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()> {
        seed::large_blob(server, REPOSITORY, &self.payload)
    }

    fn run(&mut self, case: usize, server: &mut Server<'_>) -> Result<Sample> {
        let address = server.address()?;
        let path = client::blob_path(REPOSITORY, &self.payload.digest);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let connections = CASES[case];
        // One connection repeats the GET, so that both cases move enough bytes to be timed.
        let each = if connections == 1 { self.gets } else { 1 };
        let load = Load {
            address,
            request: request.as_bytes(),
            connections,
            until: Until::RequestsEach(each),
            length: self.payload.size,
        };
        let mark = server.mark()?;
        let outcome = client::run_closed_loop(&load)?;
        let usage = server.since(&mark)?;
        let bytes = (outcome.requests * self.payload.size) as f64;
        Ok(vec![
            (Measure::CpuPerGib, usage.cpu.as_secs_f64() / (bytes / GIB)),
            (
                Measure::MibPerSecond,
                bytes / MIB / outcome.elapsed.as_secs_f64(),
            ),
            (Measure::PeakMemory, usage.peak_memory),
        ])
    }
}
