//! Push of a large blob that the server has never seen, as Docker and as containerd do it.

use std::time::Instant;

use super::{Case, Workload, mebibytes, seed};
use crate::Result;
use crate::arguments::Scale;
use crate::client::{self, Begin};
use crate::content::LargePayload;
use crate::floor::FloorMode;
use crate::measure::{Bound, GIB, Headline, MIB, Measure, Sample};
use crate::peers::Contestant;
use crate::server::Server;

pub(super) const NAME: &str = "push-large";
const REPOSITORY: &str = "bench/push";
const CHUNKED: usize = 0;
const SINGLE: usize = 1;

pub(super) struct LargeBlobPush {
    size: u64,
    pushed: u64,
}

impl LargeBlobPush {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            size: scale.large_push,
            pushed: 0,
        }
    }
}

impl Workload for LargeBlobPush {
    fn name(&self) -> &'static str {
        NAME
    }

    fn floor(&self) -> Option<FloorMode> {
        Some(FloorMode::Sink)
    }

    fn cases(&self) -> Vec<Case> {
        let size = mebibytes(self.size);
        [
            format!("push {size}, PATCH chunked then PUT"),
            format!("push {size}, one PUT"),
        ]
        .into_iter()
        .map(|title| Case {
            title,
            headlines: vec![Headline::target(
                Measure::CpuPerGib,
                Bound::TimesAtMost(Contestant::Floor, 1.25),
                Bound::TimesAtMost(Contestant::Floor, 1.05),
            )],
        })
        .collect()
    }

    /// Pushes once in each way, and pulls to check. A machine that has not used all of its
    /// memory yet is slow to give the page cache more; the counted pushes find it there.
    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()> {
        for case in [CHUNKED, SINGLE] {
            let (payload, _) = self.push(case, server)?;
            let path = client::blob_path(REPOSITORY, &payload.digest);
            seed::check(server, &path, &payload.digest)?;
        }
        Ok(())
    }

    fn run(&mut self, case: usize, server: &mut Server<'_>) -> Result<Sample> {
        self.push(case, server).map(|(_, sample)| sample)
    }
}

impl LargeBlobPush {
    fn push(&mut self, case: usize, server: &mut Server<'_>) -> Result<(LargePayload, Sample)> {
        // Without its earlier pushes, so that the disk does not fill up.
        server.renew()?;
        self.pushed += 1;
        let payload = LargePayload::new(1_000_000 + self.pushed, self.size);
        let mut connection = server.connect()?;
        let mark = server.mark()?;
        let started = Instant::now();
        if server.contestant == Contestant::Floor {
            client::push_large_single(&mut connection, "/push", &payload)?;
        } else if case == CHUNKED {
            client::push_large_chunked(&mut connection, REPOSITORY, &payload)?;
        } else {
            let upload = Begin::upload(&mut connection, REPOSITORY)?;
            client::push_large_single(&mut connection, &upload.location, &payload)?;
        }
        let elapsed = started.elapsed();
        let usage = server.since(&mark)?;
        let (size, seconds) = (self.size as f64, elapsed.as_secs_f64());
        let sample = vec![
            (Measure::CpuPerGib, usage.cpu.as_secs_f64() / (size / GIB)),
            (Measure::MibPerSecond, size / MIB / seconds),
            (Measure::PeakMemory, usage.peak_memory),
        ];
        Ok((payload, sample))
    }
}
