//! The process that is traced: this program once more, with one test to run.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use octoserve::adapters::filesystem::FilesystemStore;

use crate::registry::{Ports, run};
use crate::use_cases::{UseCase, was_done_before};

const USE_CASE: &str = "OCTOSERVE_TEST_USE_CASE";
const ROOT: &str = "OCTOSERVE_TEST_ROOT";
const READY: &str = "<ready>";
const ACKNOWLEDGED: &str = "<acknowledged>";
const REFUSED: &str = "<refused>";

/// How a use case has ended in a process of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Acknowledged,
    /// With what was said.
    Refused(String),
    /// The process did not live to say anything.
    Died,
}

/// Does what the environment says. Without it there is nothing to do.
#[test]
#[ignore = "is run by the tests that trace it"]
fn performs_a_use_case() {
    let (Some(name), Some(root)) = (env::var_os(USE_CASE), env::var_os(ROOT)) else {
        return;
    };
    let is_named = |use_case: &&UseCase| OsString::from(format!("{use_case:?}")) == name;
    let use_case = UseCase::ALL.iter().find(is_named).expect("a use case");
    say(READY);
    let mut go = [0];
    io::stdin().read_exact(&mut go).expect("the tracer lets go");
    let store = match FilesystemStore::open(Path::new(&root), true) {
        Ok(store) => Ports::of(store),
        Err(error) => return say(&format!("{REFUSED} {error}")),
    };
    let ended = run(use_case.perform(&store.registry(1000)));
    match ended {
        Ok(()) => say(ACKNOWLEDGED),
        Err(error) if was_done_before(&error) => say(ACKNOWLEDGED),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            say(&format!(
                "{REFUSED} {error} ({})",
                source.unwrap_or_default()
            ));
        }
    }
}

fn say(what: &str) {
    // Past the test runner, which may have begun a line.
    let line = format!("\n{what}\n");
    io::stdout().write_all(line.as_bytes()).expect("a pipe");
    io::stdout().flush().expect("a pipe");
}

/// A child that is ready to perform a use case, and does when it is let go.
pub(crate) struct Ready {
    pub(crate) process: Child,
    output: BufReader<ChildStdout>,
}

impl Ready {
    pub(crate) fn start(use_case: UseCase, root: &Path) -> Self {
        // This very program, even if another one has been built in its place.
        let mut process = Command::new("/proc/self/exe")
            .args(["--exact", "child::performs_a_use_case"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(USE_CASE, format!("{use_case:?}"))
            .env(ROOT, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program starts");
        let output = process.stdout.take().expect("a pipe");
        let mut ready = Self {
            process,
            output: BufReader::new(output),
        };
        while ready.line().expect("the child gets ready") != READY {}
        ready
    }

    /// Lets the child go on.
    pub(crate) fn go(&mut self) {
        let input = self.process.stdin.as_mut().expect("a pipe");
        input.write_all(b"!").expect("a pipe");
    }

    /// What a child that has ended has said.
    pub(crate) fn ending(mut self) -> Ending {
        while let Some(line) = self.line() {
            if line == ACKNOWLEDGED {
                return Ending::Acknowledged;
            }
            if let Some(why) = line.strip_prefix(REFUSED) {
                return Ending::Refused(why.trim().to_owned());
            }
        }
        Ending::Died
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}
