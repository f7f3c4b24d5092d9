//! What the kernel knows of this process.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the process uses, as far as `/proc` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Time on a processor, its own and the kernel's, in seconds.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_descriptors: u64,
    pub(super) most_descriptors: u64,
    pub(super) threads: u64,
    /// When it started, in seconds since 1970.
    pub(super) started: f64,
}

impl Process {
    /// What it is now. `None` where there is no `/proc`.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let booted = now.as_secs_f64() - uptime.split(' ').next()?.parse::<f64>().ok()?;
        Some(Self {
            // The directory that is being read is open as well.
            open_descriptors: (fs::read_dir("/proc/self/fd").ok()?.count() as u64)
                .saturating_sub(1),
            most_descriptors: limits.current.unwrap_or(u64::MAX),
            ..Self::parse(&stat, booted)?
        })
    }

    fn parse(stat: &str, booted: f64) -> Option<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as u64;
        // The second field is the program's name in brackets, which may hold
        // anything; what is counted here begins with the third.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.trim().parse::<u64>().ok();
        Some(Self {
            cpu_seconds: (number(14)? + number(15)?) as f64 / ticks,
            threads: number(20)?,
            started: booted + number(22)? as f64 / ticks,
            virtual_bytes: number(23)?,
            resident_bytes: number(24)? * page,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_found_to_be_what_a_process_is() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.resident_bytes < process.virtual_bytes);
        assert!(process.threads >= 1);
        assert!((3..process.most_descriptors).contains(&process.open_descriptors));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - process.started;
        assert!((-1.0..3600.0).contains(&age), "{age}");
    }

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_field() {
        let stat = "7 (a) b 9) S 1 2 3 4 5 6 7 8 9 10 50 150 16 17 18 19 4 0 100 4096 2 x";
        let process = Process::parse(stat, 1_000.0).unwrap();
        assert_eq!(process.threads, 4);
        assert_eq!(process.virtual_bytes, 4096);
        assert_eq!(
            process.resident_bytes,
            2 * rustix::param::page_size() as u64
        );
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(process.cpu_seconds, 200.0 / ticks);
        assert_eq!(process.started, 1_000.0 + 100.0 / ticks);
    }
}
