//! What a server costs before anyone uses it: time until it serves, memory, size on disk.

use std::fs;
use std::time::Duration;

use super::{Case, Workload};
use crate::Result;
use crate::measure::{Bound, Headline, MIB, Measure, Sample, milliseconds};
use crate::server::Server;

pub(super) const NAME: &str = "start";
/// A server may still be initialising something when it first says that it is ready.
const CALM: Duration = Duration::from_millis(300);

pub(super) struct Start;

impl Workload for Start {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_for_static_files(&self) -> bool {
        true
    }

    fn cases(&self) -> Vec<Case> {
        let target =
            |measure, must, aim| Headline::target(measure, Bound::AtMost(must), Bound::AtMost(aim));
        vec![Case {
            title: "start with no data".to_owned(),
            headlines: vec![
                target(Measure::ReadyTime, 10.0, 5.0),
                target(Measure::IdleMemory, 10.0, 8.0),
                target(Measure::BinarySize, 20.0, 12.0),
            ],
        }]
    }

    fn prepare(&mut self, _server: &mut Server<'_>) -> Result<()> {
        Ok(())
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        server.renew()?;
        std::thread::sleep(CALM);
        Ok(vec![
            (Measure::ReadyTime, milliseconds(server.ready_after()?)),
            (Measure::IdleMemory, server.resident_memory()?),
            (
                Measure::BinarySize,
                fs::metadata(server.program()?)?.len() as f64 / MIB,
            ),
        ])
    }
}
