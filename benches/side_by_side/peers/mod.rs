//! Who is measured, and how each is started: one file for each, all with equal settings.

mod collector;
mod distribution;
mod nginx;
mod octoserve;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::arguments::Arguments;
use crate::cpu::Accounting;
use crate::floor::FloorMode;

/// Someone who is measured; the order is that of the report's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// This project's server.
    Octoserve,
    /// The same with metrics, and with one request in a hundred traced.
    OctoserveObserved,
    /// Distribution 2.8 as Debian packages it.
    DockerRegistry,
    /// Distribution 3; not packaged, so only measured when asked for.
    Distribution3,
    /// nginx with the same content as static files.
    Nginx,
    /// The least that the machine can be asked to do.
    Floor,
}

impl Contestant {
    /// Everyone.
    pub(crate) const ALL: [Self; 6] = [
        Self::Octoserve,
        Self::OctoserveObserved,
        Self::DockerRegistry,
        Self::Distribution3,
        Self::Nginx,
        Self::Floor,
    ];
    /// Those who are measured unless others are named.
    pub(crate) const USUAL: [Self; 4] = [
        Self::Octoserve,
        Self::DockerRegistry,
        Self::Nginx,
        Self::Floor,
    ];

    /// The name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Octoserve => "octoserve",
            Self::OctoserveObserved => "octoserve-observed",
            Self::DockerRegistry => "docker-registry",
            Self::Distribution3 => "distribution-3",
            Self::Nginx => "nginx",
            Self::Floor => "floor",
        }
    }

    /// The contestant of this name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL
            .into_iter()
            .find(|contestant| contestant.name() == name);
        found.ok_or_else(|| format!("no peer is called {name:?}").into())
    }

    /// Whether it can be pushed to.
    pub(crate) fn is_registry(self) -> bool {
        matches!(
            self,
            Self::Octoserve | Self::OctoserveObserved | Self::DockerRegistry | Self::Distribution3
        )
    }
}

/// What all contestants of a run share.
pub(crate) struct Setup {
    /// The run's own directory.
    pub(crate) directory: PathBuf,
    /// How CPU time is read.
    pub(crate) accounting: Accounting,
    /// Whether a line is written for each request.
    pub(crate) request_logs: bool,
    /// The contestants with their programs.
    pub(crate) programs: Vec<(Contestant, PathBuf)>,
}

impl Setup {
    /// Finds every contestant's program; one that is missing is an error, not a blank column.
    pub(crate) fn new(arguments: &Arguments, directory: &Path) -> Result<Self> {
        let programs = arguments
            .contestants
            .iter()
            .map(|contestant| program(*contestant).map(|program| (*contestant, program)))
            .collect::<Result<_>>()?;
        Ok(Self {
            directory: directory.to_owned(),
            accounting: Accounting::best(),
            request_logs: arguments.request_logs,
            programs,
        })
    }

    /// The program of a contestant that takes part.
    pub(crate) fn program(&self, contestant: Contestant) -> Result<&Path> {
        let found = self
            .programs
            .iter()
            .find(|(candidate, _)| *candidate == contestant);
        found
            .map(|(_, program)| program.as_path())
            .ok_or_else(|| format!("{} takes no part", contestant.name()).into())
    }

    /// How to start a contestant on a free port. `directory` holds its data and configuration.
    pub(crate) fn launch(
        &self,
        contestant: Contestant,
        floor: Option<FloorMode>,
        directory: &Path,
    ) -> Result<Launch> {
        let place = Place {
            program: self.program(contestant)?,
            directory,
            address: free_address()?,
            request_logs: self.request_logs,
        };
        match contestant {
            Contestant::Octoserve => octoserve::launch(&place),
            Contestant::OctoserveObserved => octoserve::launch_observed(&place),
            Contestant::DockerRegistry => distribution::launch(&place, distribution::Version::Two),
            Contestant::Distribution3 => distribution::launch(&place, distribution::Version::Three),
            Contestant::Nginx => nginx::launch(&place),
            Contestant::Floor => {
                let mode = floor.ok_or("this workload has no floor")?;
                Ok(Launch {
                    command: mode.command(&place.address, directory)?,
                    address: place.address,
                    ready_path: "/",
                    static_root: None,
                })
            }
        }
    }
}

/// Where one server is to run.
struct Place<'a> {
    program: &'a Path,
    directory: &'a Path,
    address: SocketAddr,
    request_logs: bool,
}

/// A server that is ready to be started.
pub(crate) struct Launch {
    /// What to execute; its output goes where the caller says.
    pub(crate) command: Command,
    /// Where it will listen.
    pub(crate) address: SocketAddr,
    /// Answers 200 once it serves.
    pub(crate) ready_path: &'static str,
    /// Where its files lie, if it only serves files.
    pub(crate) static_root: Option<PathBuf>,
}

fn program(contestant: Contestant) -> Result<PathBuf> {
    let (variable, usual) = match contestant {
        Contestant::Octoserve | Contestant::OctoserveObserved => {
            // Cargo builds the binary before it runs the benchmark, and says where it is.
            let built =
                option_env!("CARGO_BIN_EXE_octoserve").unwrap_or("target/release/octoserve");
            ("OCTOSERVE_BINARY", Some(built))
        }
        Contestant::DockerRegistry => ("DOCKER_REGISTRY_BINARY", Some("/usr/bin/docker-registry")),
        Contestant::Distribution3 => ("DISTRIBUTION_3_BINARY", None),
        Contestant::Nginx => ("NGINX_BINARY", Some("/usr/sbin/nginx")),
        Contestant::Floor => return Ok(std::env::current_exe()?),
    };
    let path = match (std::env::var_os(variable), usual) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(usual)) => PathBuf::from(usual),
        (None, None) => return Err(format!("{} needs {variable}", contestant.name()).into()),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "{} is not at {}: install it, or set {variable}, or leave it out with --peer",
        contestant.name(),
        path.display()
    )
    .into())
}

/// A port that was free a moment ago. Nothing else on a benchmark's machine races for it.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
