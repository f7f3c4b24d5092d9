//! The command line, and what each command answers.

mod collect;
mod healthcheck;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::collect::{CollectProgress, collected};
pub use self::healthcheck::{Probe, probe};

const EXAMPLES: &str = "\
Examples:
  octoserve                             serve localhost:5000 out of ./data
  octoserve --config /etc/octoserve/config.json
  OCTOSERVE_STORAGE_PATH=/var/lib/octoserve octoserve serve
  octoserve collect --dry-run           what could be removed to make room
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
    /// Try out the configured storage, and say of each point how it is.
    ///
    /// Exits with 0 if the server would start with it, and with 1 if not.
    Doctor,
    /// Ask a running server whether it is ready, for container probes.
    ///
    /// Exits with 0 if it is and 1 if it is not. Over HTTPS the certificate is
    /// not verified: only the answer counts.
    Healthcheck {
        /// Where to ask, instead of /readyz on the configured address.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Remove what nothing refers to, now. The server does it by itself, too.
    ///
    /// It runs beside servers on the same store, which go on serving and taking
    /// pushes. Removed are blobs to which no manifest refers and that nobody has
    /// pushed or asked for within the grace period, uploads that nobody goes on
    /// with, and, with --untagged-after, manifests that no tag and no other
    /// manifest needs. To make room, delete tags or manifests first.
    Collect(CollectArguments),
}

/// How to collect.
#[derive(Clone, Debug, Args)]
pub struct CollectArguments {
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,

    /// How long content is kept that nothing refers to, instead of
    /// collect.grace. A shorter one needs --force.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub grace: Option<Duration>,

    /// Take a shorter grace period: a push that is under way may fail then, and
    /// has to be repeated. And remove blobs even if no repository has a record,
    /// as after everything was deleted, or when the records are not mounted.
    #[arg(long)]
    pub force: bool,

    /// Remove manifests that nothing has needed for so long, instead of
    /// collect.untagged_after. They are marked by one run, and removed by a
    /// later one.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub untagged_after: Option<Duration>,

    /// How to say what was done.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub output: OutputFormat,
}

/// How a command says what it has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
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
