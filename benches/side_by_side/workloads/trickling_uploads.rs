//! 200 clients on slow links: uploads that are all open at once, each bringing a few hundred
//! bytes now and then. What counts is the memory that the server needs to keep them.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::{Case, Workload, seed};
use crate::Result;
use crate::arguments::Scale;
use crate::client::{self, Begin, Connection};
use crate::content;
use crate::measure::{Bound, Headline, Measure, Sample, milliseconds};
use crate::server::Server;

pub(super) const NAME: &str = "trickle";
const REPOSITORY: &str = "bench/trickle";
const UPLOADS: usize = 200;
const PIECE: usize = 300;
const PAUSE: Duration = Duration::from_millis(50);
/// Every so many uploads one is ended and checked; the others break off.
const CHECKED: usize = 20;

pub(super) struct TricklingUploads {
    time: Duration,
}

/// One client.
struct Trickle {
    connection: Connection,
    number: u64,
    pieces: u64,
    hasher: Sha256,
}

impl TricklingUploads {
    pub(super) fn new(scale: &Scale) -> Self {
        Self {
            time: scale.trickle_time,
        }
    }
}

impl Workload for TricklingUploads {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Memory hardly differs between rounds, and these are slow.
    fn rounds(&self, usual: usize) -> usize {
        usual.div_ceil(3)
    }

    fn cases(&self) -> Vec<Case> {
        vec![Case {
            title: format!("{UPLOADS} trickling uploads"),
            headlines: vec![Headline::target(
                Measure::PeakMemory,
                Bound::AtMost(40.0),
                Bound::AtMost(25.0),
            )],
        }]
    }

    fn prepare(&mut self, _server: &mut Server<'_>) -> Result<()> {
        Ok(())
    }

    fn run(&mut self, _case: usize, server: &mut Server<'_>) -> Result<Sample> {
        // A new process: memory of an earlier round would count again.
        server.renew()?;
        let mark = server.mark()?;
        let started = Instant::now();
        let mut trickles = (0..UPLOADS)
            .map(|number| Trickle::begin(server, number as u64))
            .collect::<Result<Vec<_>>>()?;
        while started.elapsed() < self.time {
            trickles.iter_mut().try_for_each(Trickle::send)?;
            std::thread::sleep(PAUSE);
        }
        let usage = server.since(&mark)?;
        for trickle in trickles.into_iter().step_by(CHECKED) {
            let digest = trickle.finish()?;
            seed::check(server, &client::blob_path(REPOSITORY, &digest), &digest)?;
        }
        Ok(vec![
            (Measure::PeakMemory, usage.peak_memory),
            (Measure::CpuTotal, milliseconds(usage.cpu)),
        ])
    }
}

impl Trickle {
    fn begin(server: &Server<'_>, number: u64) -> Result<Self> {
        let mut connection = server.connect()?;
        let upload = Begin::upload(&mut connection, REPOSITORY)?;
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            upload.location,
            connection.authority()
        );
        connection.send(head.as_bytes())?;
        Ok(Self {
            connection,
            number,
            pieces: 0,
            hasher: Sha256::new(),
        })
    }

    fn send(&mut self) -> Result<()> {
        let piece = content::bytes((self.number << 32) | self.pieces, PIECE);
        self.pieces += 1;
        self.hasher.update(&piece);
        let mut chunk = format!("{PIECE:x}\r\n").into_bytes();
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        self.connection.send(&chunk)
    }

    /// Ends the upload and returns its digest.
    fn finish(mut self) -> Result<String> {
        self.connection.send(b"0\r\n\r\n")?;
        let patched = self
            .connection
            .receive(false)?
            .expect(202, "PATCH of a trickling upload")?;
        let digest = content::named(self.hasher);
        let path = client::finish_path(&Begin::from(&patched)?.location, &digest);
        self.connection
            .request("PUT", &path, "", &[])?
            .expect(201, "PUT of a trickling upload")?;
        Ok(digest)
    }
}
