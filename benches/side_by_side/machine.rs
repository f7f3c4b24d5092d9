//! What the figures were measured on, as far as a reader must know it to compare them.

use std::fs;
use std::process::Command;

use crate::peers::{Contestant, Setup};

/// Lines of `name: value`.
pub(crate) fn describe(setup: &Setup) -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut lines = vec![
        ("cores".to_owned(), format!("{cores}, {}", processor())),
        (
            "kernel".to_owned(),
            first_line("/proc/sys/kernel/osrelease"),
        ),
        ("data on".to_owned(), file_system(setup)),
        (
            "CPU time from".to_owned(),
            setup.accounting.describe().to_owned(),
        ),
        (
            "request logs".to_owned(),
            if setup.request_logs {
                "on, to a file each"
            } else {
                "off everywhere"
            }
            .to_owned(),
        ),
    ];
    for (contestant, program) in &setup.programs {
        let flag = match contestant {
            Contestant::Nginx => "-v",
            Contestant::Floor => continue,
            _ => "--version",
        };
        let said = Command::new(program)
            .arg(flag)
            .output()
            .map(|output| [output.stdout, output.stderr].concat());
        let version = said
            .ok()
            .and_then(|said| String::from_utf8(said).ok())
            .unwrap_or_default();
        lines.push((
            contestant.name().to_owned(),
            version
                .lines()
                .next()
                .unwrap_or("unknown version")
                .to_owned(),
        ));
    }
    lines
}

fn processor() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |model| model.trim_start_matches([' ', '\t', ':']).to_owned(),
    )
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}

/// The type of the file system that holds the run's directory: on tmpfs an fsync is free.
fn file_system(setup: &Setup) -> String {
    let directory = fs::canonicalize(&setup.directory).unwrap_or_else(|_| setup.directory.clone());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let holding = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(mount, _)| directory.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len());
    holding.map_or_else(
        || "an unknown file system".to_owned(),
        |(_, kind)| kind.to_owned(),
    )
}
