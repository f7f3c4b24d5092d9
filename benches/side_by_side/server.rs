//! One contestant's process: started, awaited, measured and stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::client::Connection;
use crate::cpu::CpuMeter;
use crate::floor::FloorMode;
use crate::memory;
use crate::peers::{Contestant, Launch, Setup};

/// How long a server may take to serve, or to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// A server's own work for a request (a log line, a freed buffer) may end after its answer.
const SETTLING: Duration = Duration::from_millis(5);

/// A running server.
pub(crate) struct Server<'a> {
    /// Who it is.
    pub(crate) contestant: Contestant,
    setup: &'a Setup,
    floor: Option<FloorMode>,
    directory: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    meter: CpuMeter,
    launch: Launch,
    ready_after: Duration,
}

/// What a server used between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Highest resident memory, in MiB.
    pub(crate) peak_memory: f64,
}

/// The moment at which a measurement began.
pub(crate) struct Mark(Duration);

impl<'a> Server<'a> {
    /// Starts a contestant with no data, in a directory of its own; the floor in this mode.
    pub(crate) fn start(
        setup: &'a Setup,
        contestant: Contestant,
        floor: Option<FloorMode>,
        directory: PathBuf,
    ) -> Result<Self> {
        let mut server = Self {
            contestant,
            setup,
            floor,
            directory,
            running: None,
        };
        server.renew()?;
        Ok(server)
    }

    /// Stops the server, removes its data and starts it again.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.stop();
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        fs::create_dir_all(&self.directory)?;
        self.begin()
            .map_err(|error| format!("{error}\n{}", self.last_words()).into())
    }

    fn begin(&mut self) -> Result<()> {
        let mut launch = self
            .setup
            .launch(self.contestant, self.floor, &self.directory)?;
        let meter = CpuMeter::new(&self.setup.accounting)?;
        let output = File::create(self.output())?;
        launch
            .command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let started = Instant::now();
        let child = launch
            .command
            .spawn()
            .map_err(|error| format!("{}: {error}", self.contestant.name()))?;
        let process = child.id();
        // From here on dropping `self` stops the process.
        let running = self.running.insert(Running {
            child,
            meter,
            launch,
            ready_after: Duration::ZERO,
        });
        running.meter.adopt(process)?;
        running.ready_after = await_ready(running, started)?;
        // Children that were started before their parent was adopted.
        for process in memory::processes_under(process)? {
            running.meter.adopt(process)?;
        }
        Ok(())
    }

    /// Ends the server: by SIGTERM, so that nginx takes its workers along, else by SIGKILL.
    pub(crate) fn stop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let process = running.child.id();
        let tree = memory::processes_under(process).unwrap_or_default();
        signal(process, Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(running.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for process in tree {
            signal(process, Signal::KILL);
        }
        if let Err(error) = running.child.wait() {
            eprintln!("{}: {error}", self.contestant.name());
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Result<std::net::SocketAddr> {
        Ok(self.running()?.launch.address)
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address()?)
    }

    /// Where its files lie, if it only serves files.
    pub(crate) fn static_root(&self) -> Result<Option<&Path>> {
        Ok(self.running()?.launch.static_root.as_deref())
    }

    /// Its program.
    pub(crate) fn program(&self) -> Result<&Path> {
        self.setup.program(self.contestant)
    }

    /// The directory that holds its data and configuration.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How long it took from just before exec to its first 200.
    pub(crate) fn ready_after(&self) -> Result<Duration> {
        Ok(self.running()?.ready_after)
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident_memory(&self) -> Result<f64> {
        memory::resident(self.running()?.child.id())
    }

    /// Begins a measurement.
    pub(crate) fn mark(&self) -> Result<Mark> {
        let running = self.running()?;
        memory::reset_peak(running.child.id())?;
        Ok(Mark(running.meter.used(running.child.id())?))
    }

    /// What it used since the mark.
    pub(crate) fn since(&self, mark: &Mark) -> Result<Usage> {
        std::thread::sleep(SETTLING);
        let running = self.running()?;
        let process = running.child.id();
        let cpu = running.meter.used(process)?.saturating_sub(mark.0);
        Ok(Usage {
            cpu,
            peak_memory: memory::peak(process)?,
        })
    }

    /// The end of what it printed, for the message about its failure.
    pub(crate) fn last_words(&self) -> String {
        let output = fs::read(self.output()).unwrap_or_default();
        let text =
            String::from_utf8_lossy(&output[output.len().saturating_sub(600)..]).into_owned();
        if text.is_empty() {
            "it printed nothing".to_owned()
        } else {
            format!("it printed: {text}")
        }
    }

    fn running(&self) -> Result<&Running> {
        self.running
            .as_ref()
            .ok_or_else(|| format!("{} is not running", self.contestant.name()).into())
    }

    fn output(&self) -> PathBuf {
        self.directory.join("output.log")
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.stop();
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}

fn await_ready(running: &mut Running, started: Instant) -> Result<Duration> {
    let address = running.launch.address;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n",
        running.launch.ready_path
    );
    loop {
        let ready = Connection::open(address)
            .and_then(|mut connection| connection.exchange(request.as_bytes(), &[]));
        let elapsed = started.elapsed();
        if ready.is_ok_and(|response| response.status == 200) {
            return Ok(elapsed);
        }
        if let Some(status) = running.child.try_wait()? {
            return Err(format!("it ended before it served: {status}").into());
        }
        if elapsed > PATIENCE {
            return Err(format!(
                "it did not serve {} within {PATIENCE:?}",
                running.launch.ready_path
            )
            .into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile, which is what the signal is for.
        let _ = kill_process(process, signal);
    }
}
