//! How much CPU time a server used, its children and its finished threads included.
//!
//! A control group of its own counts exactly that: in nanoseconds (version 1, `cpuacct`)
//! or microseconds (version 2). Where no group can be made, `/proc/PID/stat` of each
//! process is summed instead: clock ticks, 10 ms each. The report says which was used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Result;
use crate::memory::processes_under;

/// Where CPU time is read from.
#[derive(Clone, Debug)]
pub(crate) enum Accounting {
    /// `cpuacct.usage` of a group below this one.
    Version1(PathBuf),
    /// `cpu.stat` of a group below this one.
    Version2(PathBuf),
    /// `/proc/PID/stat`.
    ProcessTicks,
}

impl Accounting {
    /// The finest that this machine lets us use.
    pub(crate) fn best() -> Self {
        let version1 = ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"];
        let version2 = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let candidates = (version1.iter().map(|path| Self::Version1(path.into())))
            .chain(version2.iter().map(|path| Self::Version2(path.into())));
        for candidate in candidates {
            // Reading once proves that the group is of the right kind.
            if CpuMeter::new(&candidate)
                .and_then(|meter| meter.used(0))
                .is_ok()
            {
                return candidate;
            }
        }
        Self::ProcessTicks
    }

    /// For the report.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Version1(_) => "control group, cpuacct.usage (nanoseconds)",
            Self::Version2(_) => "control group, cpu.stat (microseconds)",
            Self::ProcessTicks => "/proc/PID/stat (10 ms ticks: short cases are coarse)",
        }
    }
}

/// The CPU time of one server.
pub(crate) struct CpuMeter {
    accounting: Accounting,
    group: Option<PathBuf>,
}

impl CpuMeter {
    /// A meter that nothing is counted on yet.
    pub(crate) fn new(accounting: &Accounting) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let group = match accounting {
            Accounting::Version1(parent) | Accounting::Version2(parent) => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                let group = parent.join(format!("side-by-side-{}-{count}", std::process::id()));
                fs::create_dir(&group)
                    .map_err(|error| format!("control group {}: {error}", group.display()))?;
                Some(group)
            }
            Accounting::ProcessTicks => None,
        };
        Ok(Self {
            accounting: accounting.clone(),
            group,
        })
    }

    /// Counts this process, and the children that it starts from now on.
    pub(crate) fn adopt(&self, process: u32) -> Result<()> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        match fs::write(group.join("cgroup.procs"), process.to_string()) {
            // It has ended between being listed and being adopted.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Ok(())
            }
            other => other.map_err(|error| {
                format!("process {process} into {}: {error}", group.display()).into()
            }),
        }
    }

    /// CPU time so far, user and system; `root` is the server's first process.
    pub(crate) fn used(&self, root: u32) -> Result<Duration> {
        match (&self.accounting, &self.group) {
            (Accounting::Version1(_), Some(group)) => {
                let nanoseconds: u64 = fs::read_to_string(group.join("cpuacct.usage"))?
                    .trim()
                    .parse()?;
                Ok(Duration::from_nanos(nanoseconds))
            }
            (Accounting::Version2(_), Some(group)) => {
                let statistics = fs::read_to_string(group.join("cpu.stat"))?;
                let microseconds = statistics
                    .lines()
                    .find_map(|line| line.strip_prefix("usage_usec "))
                    .ok_or("cpu.stat has no usage_usec")?;
                Ok(Duration::from_micros(microseconds.trim().parse()?))
            }
            _ => {
                let ticks: u64 = processes_under(root)?
                    .into_iter()
                    .map(ticks_of)
                    .sum::<Result<u64>>()?;
                Ok(Duration::from_millis(ticks * 10))
            }
        }
    }
}

impl Drop for CpuMeter {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            remove_group(group);
        }
    }
}

/// A group can be removed once its last process is gone, which may be a moment after its exit.
fn remove_group(group: &Path) {
    for _ in 0..50 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(10))
            }
            _ => return,
        }
    }
}

/// User and system ticks of a process, and of its children that it has waited for.
fn ticks_of(process: u32) -> Result<u64> {
    let statistics = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command may hold spaces and parentheses; the numbers start after the last one.
    let numbers = statistics.rsplit(')').next().unwrap_or_default();
    numbers
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|ticks| ticks.parse::<u64>().map_err(Into::into))
        .sum()
}
