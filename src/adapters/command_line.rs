//! The command line, and what each command answers.

mod healthcheck;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use self::healthcheck::{Probe, probe};

const EXAMPLES: &str = "\
Examples:
  octoserve                             serve localhost:5000 out of ./data
  octoserve --config /etc/octoserve/config.json
  OCTOSERVE_STORAGE_PATH=/var/lib/octoserve octoserve serve
  octoserve check-config > config.json  write down the configuration, defaults included

Every setting can be given in a file and in the environment, as
OCTOSERVE_<SECTION>_<KEY>, such as OCTOSERVE_SERVER_PORT; the environment wins.

Exit codes: 0 it went well, 1 it failed, 2 the command line or the
configuration is wrong.";

/// An OCI container registry: one small binary, nothing to run beside it.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub struct CommandLine {
    /// A JSON file with settings; without one, defaults and environment count.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "OCTOSERVE_CONFIG",
        hide_env_values = true,
        global = true
    )]
    pub config: Option<PathBuf>,

    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the registry until SIGTERM or SIGINT (the default).
    Serve,
    /// Print the configuration that `serve` would run with, as JSON.
    ///
    /// What is wrong with it is said line by line. The output is a complete
    /// configuration file.
    CheckConfig,
    /// Ask a running server whether it is ready, for container probes.
    ///
    /// Exits with 0 if it is and 1 if it is not. Over HTTPS the certificate is
    /// not verified: only the answer counts.
    Healthcheck {
        /// Where to ask, instead of /readyz on the configured address.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}

impl CommandLine {
    /// The file that was named. An empty name, as an unset variable of a
    /// template leaves it, names none.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        let named = self.config.as_deref();
        named.filter(|path| !path.as_os_str().is_empty())
    }
}
