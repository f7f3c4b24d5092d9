//! Push of small images, each of a configuration, two layers and a manifest that nobody has
//! seen before, by 32 clients that each push to their own repository as containerd does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Case, Workload, seed};
use crate::Result;
use crate::arguments::Scale;
use crate::client;
use crate::content::Image;
use crate::measure::{Bound, Headline, Measure, Sample, add_latencies};
use crate::peers::Contestant;
use crate::server::Server;

pub(super) const NAME: &str = "push-images";
const CLIENTS: usize = 32;

pub(super) struct ImagePush {
    time: Duration,
    images: AtomicU64,
}

/// What one client did.
struct Pushed {
    latencies: Vec<Duration>,
    repository: String,
    tag: String,
    last: Image,
}

impl ImagePush {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            time: scale.image_time,
            images: AtomicU64::new(1_000),
        }
    }

    fn client(&self, server: &Server<'_>, number: usize, started: Instant) -> Result<Pushed> {
        let repository = format!("bench/images-{number:02}");
        let mut connection = server.connect()?;
        let mut latencies = Vec::new();
        loop {
            let unique = self.images.fetch_add(1, Ordering::Relaxed);
            let image = Image::new(unique);
            let tag = format!("image-{unique}");
            let begun = Instant::now();
            client::push_image(&mut connection, &repository, &tag, &image)?;
            latencies.push(begun.elapsed());
            if started.elapsed() >= self.time {
                return Ok(Pushed {
                    latencies,
                    repository,
                    tag,
                    last: image,
                });
            }
        }
    }
}

impl Workload for ImagePush {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cases(&self) -> Vec<Case> {
        vec![Case {
            title: format!("push small images (4 objects), {CLIENTS} clients"),
            headlines: vec![
                Headline::target(
                    Measure::ImagesPerSecond,
                    Bound::TimesAtLeast(Contestant::Distribution3, 4.0),
                    Bound::TimesAtLeast(Contestant::Distribution3, 8.0),
                ),
                Headline::plain(Measure::CpuPerImage),
            ],
        }]
    }

    fn prepare(&mut self, _server: &mut Server<'_>) -> Result<()> {
        Ok(())
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        let mark = server.mark()?;
        let started = Instant::now();
        let pushed: Vec<Pushed> = std::thread::scope(|scope| {
            let (workload, server) = (&*self, &*server);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| scope.spawn(move || workload.client(server, number, started)))
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().map_err(|_| "a client thread panicked")?)
                .collect::<Result<_>>()
        })?;
        let elapsed = started.elapsed();
        let usage = server.since(&mark)?;
        if let Some(one) = pushed.first() {
            seed::check(
                server,
                &client::manifest_path(&one.repository, &one.tag),
                &one.last.digest,
            )?;
            for (digest, _) in &one.last.blobs {
                seed::check(server, &client::blob_path(&one.repository, digest), digest)?;
            }
        }
        let mut latencies: Vec<Duration> = pushed
            .into_iter()
            .flat_map(|client| client.latencies)
            .collect();
        let images = latencies.len() as f64;
        let mut sample = vec![
            (Measure::ImagesPerSecond, images / elapsed.as_secs_f64()),
            (Measure::CpuPerImage, usage.cpu.as_secs_f64() * 1e3 / images),
            (Measure::PeakMemory, usage.peak_memory),
        ];
        add_latencies(&mut sample, &mut latencies);
        Ok(sample)
    }
}
