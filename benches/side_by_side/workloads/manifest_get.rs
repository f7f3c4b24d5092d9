//! GET and HEAD of an image's manifest, by tag and by digest.

use std::time::Duration;

use super::{Case, Workload, requests, seed};
use crate::Result;
use crate::arguments::Scale;
use crate::client;
use crate::content::Image;
use crate::floor::FloorMode;
use crate::measure::Sample;
use crate::server::Server;

pub(super) const NAME: &str = "get-manifest";
const REPOSITORY: &str = "bench/manifest";
const TAG: &str = "latest";
const CASES: [(&str, &str); 4] = [
    ("GET", "tag"),
    ("GET", "digest"),
    ("HEAD", "tag"),
    ("HEAD", "digest"),
];

pub(super) struct ManifestGet {
    image: Image,
    time: Duration,
}

impl ManifestGet {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            image: Image::new(3),
            time: scale.request_time,
        }
    }
}

impl Workload for ManifestGet {
    fn name(&self) -> &'static str {
        NAME
    }

    fn floor(&self) -> Option<FloorMode> {
        Some(FloorMode::Echo(self.image.manifest.len()))
    }

    fn is_for_static_files(&self) -> bool {
        true
    }

    fn cases(&self) -> Vec<Case> {
        CASES
            .iter()
            .map(|(method, kind)| Case {
                title: format!(
                    "{method} manifest by {kind}, {} connections",
                    requests::CONNECTIONS
                ),
                headlines: requests::headlines(),
            })
            .collect()
    }

    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()> {
        seed::image(server, REPOSITORY, TAG, &self.image)
    }

    fn run(&mut self, case: usize, server: &mut Server<'_>) -> Result<Sample> {
        let (method, kind) = CASES[case];
        let reference = if kind == "tag" {
            TAG
        } else {
            &self.image.digest
        };
        let path = client::manifest_path(REPOSITORY, reference);
        requests::measure(
            server,
            method,
            &path,
            self.image.manifest.len() as u64,
            self.time,
        )
    }
}
