//! How many small files the disk makes durable in a second, one after another: the floor
//! under every small push. A server beats it only by syncing what is concurrent together.

use super::{Case, Workload};
use crate::Result;
use crate::arguments::Scale;
use crate::floor::{FloorMode, durable_files};
use crate::measure::{Headline, Measure, Sample};
use crate::server::Server;

pub(super) const NAME: &str = "durable-files";

pub(super) struct DurableFiles {
    files: usize,
}

impl DurableFiles {
    pub(super) fn new(scale: &Scale) -> Self {
        Self { files: scale.files }
    }
}

impl Workload for DurableFiles {
    fn name(&self) -> &'static str {
        NAME
    }

    fn floor(&self) -> Option<FloorMode> {
        Some(FloorMode::Files)
    }

    fn is_for_registries(&self) -> bool {
        false
    }

    fn cases(&self) -> Vec<Case> {
        vec![Case {
            title: "1 KiB files made durable one by one".to_owned(),
            headlines: vec![Headline::plain(Measure::FilesPerSecond)],
        }]
    }

    fn prepare(&mut self, _server: &mut Server<'_>) -> Result<()> {
        Ok(())
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        let elapsed = durable_files(server.directory(), self.files)?;
        Ok(vec![(
            Measure::FilesPerSecond,
            self.files as f64 / elapsed.as_secs_f64(),
        )])
    }
}
