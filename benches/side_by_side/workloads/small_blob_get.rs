//! GET of a 1 KiB blob.

use std::time::Duration;

use super::{Case, Workload, requests, seed};
use crate::Result;
use crate::arguments::Scale;
use crate::client;
use crate::content;
use crate::floor::FloorMode;
use crate::measure::Sample;
use crate::server::Server;

pub(super) const NAME: &str = "get-small";
const REPOSITORY: &str = "bench/small";
const SIZE: usize = 1024;

pub(super) struct SmallBlobGet {
    blob: Vec<u8>,
    path: String,
    time: Duration,
}

impl SmallBlobGet {
    pub(super) fn new(scale: &Scale) -> Self {
        let blob = content::bytes(2, SIZE);
        let path = client::blob_path(REPOSITORY, &content::digest_of(&blob));
        Self {
            blob,
            path,
            time: scale.request_time,
        }
    }
}

impl Workload for SmallBlobGet {
    fn name(&self) -> &'static str {
        NAME
    }

    fn floor(&self) -> Option<FloorMode> {
        Some(FloorMode::Echo(SIZE))
    }

    fn is_for_static_files(&self) -> bool {
        true
    }

    fn cases(&self) -> Vec<Case> {
        vec![Case {
            title: format!("GET 1 KiB blob, {} connections", requests::CONNECTIONS),
            headlines: requests::headlines(),
        }]
    }

    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()> {
        seed::blob(server, REPOSITORY, &self.blob)
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        requests::measure(server, "GET", &self.path, SIZE as u64, self.time)
    }
}
