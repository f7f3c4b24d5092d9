//! A registry of many repositories, its catalog read whole in pages.

use super::{Case, Workload, walk};
use crate::Result;
use crate::arguments::Scale;
use crate::client;
use crate::content::Image;
use crate::measure::{Bound, Headline, Measure, Sample};
use crate::server::Server;

pub(super) const NAME: &str = "catalog";
/// Connections that push the images.
const PUSHERS: usize = 32;
/// Of the targets' listing.
const FULL: f64 = 2_000.0;

pub(super) struct Catalog {
    repositories: Vec<String>,
}

impl Catalog {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            repositories: (0..scale.repositories)
                .map(|number| format!("bench/repository-{number:05}"))
                .collect(),
        }
    }
}

impl Workload for Catalog {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cases(&self) -> Vec<Case> {
        let share = self.repositories.len() as f64 / FULL;
        vec![Case {
            title: format!(
                "{} repositories in pages of {}",
                self.repositories.len(),
                walk::PAGE
            ),
            headlines: vec![Headline::target(
                Measure::TotalTime,
                Bound::AtMost(20.0 * share),
                Bound::AtMost(10.0 * share),
            )],
        }]
    }

    /// The same image in each repository: the first pushes it, the others mount its blobs.
    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()> {
        let image = Image::new(8);
        let Some((first, rest)) = self.repositories.split_first() else {
            return Ok(());
        };
        client::push_image(&mut server.connect()?, first, "latest", &image)?;
        client::in_parallel(
            server.address()?,
            PUSHERS,
            rest.len(),
            |connection, index| {
                for (digest, _) in &image.blobs {
                    let path = format!(
                        "/v2/{}/blobs/uploads/?mount={digest}&from={first}",
                        rest[index]
                    );
                    connection
                        .request("POST", &path, "", &[])?
                        .expect(201, "mount of a blob")?;
                }
                client::put_manifest(connection, &rest[index], "latest", &image.manifest)
            },
        )
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        walk::measure(server, "/v2/_catalog", "repositories", &self.repositories)
    }
}
