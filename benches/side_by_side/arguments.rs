//! The command line: what to measure, on whom, and how long.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::floor::FloorProcess;
use crate::peers::Contestant;
use crate::workloads;

/// What this process was started to do.
pub(crate) enum Invocation {
    /// Print this text.
    Help(String),
    /// Be the floor of a workload; only the benchmark itself starts this.
    Floor(FloorProcess),
    /// Measure.
    Measure(Arguments),
}

/// What to measure.
pub(crate) struct Arguments {
    /// Sizes and durations.
    pub(crate) scale: Scale,
    /// Names of workloads; all when empty.
    pub(crate) only: Vec<String>,
    /// Who takes part.
    pub(crate) contestants: Vec<Contestant>,
    /// Print Markdown instead of text.
    pub(crate) markdown: bool,
    /// Let every server write one line per request to a file.
    pub(crate) request_logs: bool,
    /// Tell every single measurement as it is made.
    pub(crate) samples: bool,
    /// Where the data directories are made; the disk under it is part of what is measured.
    pub(crate) directory: PathBuf,
}

/// Sizes and durations of the workloads.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// `quick` or `full`.
    pub(crate) name: &'static str,
    /// How often each contestant is measured on each case.
    pub(crate) rounds: usize,
    /// Bytes of the large blob, a multiple of 1 MiB.
    pub(crate) large_blob: u64,
    /// Bytes of a large blob that is pushed, a multiple of 1 MiB.
    pub(crate) large_push: u64,
    /// How often the one connection gets the large blob in a round.
    pub(crate) large_gets: u64,
    /// How long small requests are made in a round.
    pub(crate) request_time: Duration,
    /// How long images are pushed in a round.
    pub(crate) image_time: Duration,
    /// How long uploads trickle in a round.
    pub(crate) trickle_time: Duration,
    /// Tags in the listed repository.
    pub(crate) tags: usize,
    /// Repositories in the listed catalog.
    pub(crate) repositories: usize,
    /// Files made durable in a round.
    pub(crate) files: usize,
}

const MIB: u64 = 1024 * 1024;

impl Scale {
    fn quick() -> Self {
        Self {
            name: "quick",
            rounds: 3,
            large_blob: 128 * MIB,
            large_push: 32 * MIB,
            large_gets: 2,
            request_time: Duration::from_millis(120),
            image_time: Duration::from_millis(400),
            trickle_time: Duration::from_millis(400),
            tags: 300,
            repositories: 150,
            files: 50,
        }
    }

    fn full() -> Self {
        Self {
            name: "full",
            rounds: 5,
            large_blob: 512 * MIB,
            large_push: 512 * MIB,
            large_gets: 2,
            request_time: Duration::from_secs(1),
            image_time: Duration::from_secs(4),
            trickle_time: Duration::from_secs(3),
            tags: 10_000,
            repositories: 2_000,
            files: 300,
        }
    }
}

/// Reads the command line.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Invocation> {
    let mut words = words.peekable();
    if words.peek().is_some_and(|word| word == "floor") {
        return crate::floor::parse(words.skip(1)).map(Invocation::Floor);
    }
    // `cargo test --all-targets` starts benchmarks too, without a word; `cargo bench` says one.
    if words.peek().is_none() {
        return Ok(Invocation::Help(help()));
    }
    let mut arguments = Arguments {
        scale: Scale::quick(),
        only: Vec::new(),
        contestants: Vec::new(),
        markdown: false,
        request_logs: false,
        samples: false,
        directory: std::env::temp_dir(),
    };
    let mut rounds = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            // Cargo adds this one to every benchmark it runs.
            "--bench" => {}
            "--quick" => arguments.scale = Scale::quick(),
            "--full" => arguments.scale = Scale::full(),
            "--markdown" => arguments.markdown = true,
            "--request-logs" => arguments.request_logs = true,
            "--samples" => arguments.samples = true,
            "--only" => arguments
                .only
                .extend(value()?.split(',').map(str::to_owned)),
            "--peer" => {
                for name in value()?.split(',') {
                    arguments.contestants.push(Contestant::named(name)?);
                }
            }
            "--rounds" => {
                rounds = Some(
                    value()?
                        .parse()
                        .map_err(|error| format!("--rounds: {error}"))?,
                )
            }
            "--directory" => arguments.directory = PathBuf::from(value()?),
            "--help" | "-h" => return Ok(Invocation::Help(help())),
            other => return Err(format!("unknown argument {other:?}; --help lists them").into()),
        }
    }
    if let Some(rounds) = rounds {
        arguments.scale.rounds = std::cmp::max(1, rounds);
    }
    if arguments.contestants.is_empty() {
        arguments.contestants = Contestant::USUAL.to_vec();
    }
    arguments.contestants.sort_unstable();
    arguments.contestants.dedup();
    for name in &arguments.only {
        if !workloads::NAMES.contains(&name.as_str()) {
            return Err(format!(
                "no workload is called {name:?}; there are {}",
                workloads::NAMES.join(", ")
            )
            .into());
        }
    }
    Ok(Invocation::Measure(arguments))
}

fn help() -> String {
    let contestants: Vec<&str> = Contestant::ALL
        .iter()
        .map(|contestant| contestant.name())
        .collect();
    format!(
        "Measures Octoserve beside its peers.

  cargo bench --bench side_by_side -- [OPTIONS]

  --quick           small sizes, under a minute (the default)
  --full            the sizes of docs/benchmarks.md, under fifteen minutes
  --only NAME,…     only these workloads: {}
  --peer NAME,…     only these contestants: {}
                    (usually all but distribution-3 and octoserve-observed)
  --rounds N        how often each contestant is measured
  --request-logs    every server writes a line per request
  --samples         also tell every single measurement, on standard error
  --directory PATH  where the data directories are made (usually the system's temporary one)
  --markdown        print the tables as Markdown

  OCTOSERVE_BINARY, DOCKER_REGISTRY_BINARY, DISTRIBUTION_3_BINARY and NGINX_BINARY name
  other binaries than the usual ones.
",
        workloads::NAMES.join(", "),
        contestants.join(", "),
    )
}
