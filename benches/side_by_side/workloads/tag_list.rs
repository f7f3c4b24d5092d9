//! A repository of many tags, listed whole in pages.

use super::{Case, Workload, seed, walk};
use crate::Result;
use crate::arguments::Scale;
use crate::client;
use crate::content::Image;
use crate::measure::{Bound, Headline, Measure, Sample};
use crate::server::Server;

pub(super) const NAME: &str = "tags";
const REPOSITORY: &str = "bench/tags";
/// Connections that push the tags.
const PUSHERS: usize = 32;
/// Of the targets' listing.
const FULL: f64 = 10_000.0;

pub(super) struct TagList {
    tags: Vec<String>,
}

impl TagList {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            tags: (0..scale.tags)
                .map(|number| format!("tag-{number:06}"))
                .collect(),
        }
    }
}

impl Workload for TagList {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cases(&self) -> Vec<Case> {
        let share = self.tags.len() as f64 / FULL;
        vec![Case {
            title: format!("{} tags in pages of {}", self.tags.len(), walk::PAGE),
            headlines: vec![Headline::target(
                Measure::TotalTime,
                Bound::AtMost(60.0 * share),
                Bound::AtMost(20.0 * share),
            )],
        }]
    }

    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()> {
        let image = Image::new(7);
        let Some((first, rest)) = self.tags.split_first() else {
            return Ok(());
        };
        seed::image(server, REPOSITORY, first, &image)?;
        client::in_parallel(
            server.address()?,
            PUSHERS,
            rest.len(),
            |connection, index| {
                client::put_manifest(connection, REPOSITORY, &rest[index], &image.manifest)
            },
        )
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        walk::measure(
            server,
            &format!("/v2/{REPOSITORY}/tags/list"),
            "tags",
            &self.tags,
        )
    }
}
