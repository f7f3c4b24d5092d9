//! The side-by-side benchmark: Octoserve, its peers and the machine's floor, in one run.
//!
//! `cargo bench --bench side_by_side -- [--quick|--full] [--only NAME] [--peer NAME] [--markdown]`
//!
//! Every workload starts one server per contestant on a free loopback port with a fresh
//! data directory, then measures them in turn, round after round, each round in another
//! order. What the machine does beside the benchmark therefore falls on all of them alike,
//! and a comparison is made within a round. The main figures are the server's own CPU time,
//! from the kernel's accounting, because wall time depends on who else wants the cores.
//!
//! The floor is a contestant like the others: this same binary, started again in a mode
//! that does only what no server can avoid (see [`floor`]).
//!
//! Every answer is checked while the load runs (status, length) and its content at least
//! once in a run (digest), so a server cannot win by being wrong.
#![expect(
    clippy::indexing_slicing,
    reason = "a benchmark that mistakes its own sizes should stop, loudly"
)]

mod arguments;
mod client;
mod content;
mod cpu;
mod floor;
mod machine;
mod measure;
mod memory;
mod peers;
mod report;
mod rounds;
mod server;
mod workloads;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use arguments::{Arguments, Invocation};

/// An error with its context in the message; the benchmark never decides by kind of error.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// The result of anything that may fail here.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let outcome = match arguments::parse(std::env::args().skip(1)) {
        Ok(Invocation::Help(text)) => std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(Into::into)
            .map(|()| true),
        Ok(Invocation::Floor(mode)) => floor::serve(&mode).map(|()| true),
        Ok(Invocation::Measure(arguments)) => measure_everything(&arguments),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("side_by_side: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for and prints the report; false when a contestant failed a workload.
fn measure_everything(arguments: &Arguments) -> Result<bool> {
    let started = std::time::Instant::now();
    let directory = tempfile::Builder::new()
        .prefix("side-by-side-")
        .tempdir_in(&arguments.directory)
        .map_err(|error| format!("no directory in {}: {error}", arguments.directory.display()))?;
    let setup = peers::Setup::new(arguments, directory.path())?;
    let results = rounds::run(arguments, &setup)?;
    let machine = machine::describe(&setup);
    let text = report::render(arguments, &machine, &results, started.elapsed());
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(results.iter().all(|result| result.failures.is_empty()))
}
