//! One process of the real binary: started, watched and stopped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;

/// How long anything may take that is to happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The binary, with nothing of this process's environment.
pub(crate) fn octoserve<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octoserve"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// What the binary says and how it ends, with these variables.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    octoserve(arguments.iter().copied())
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// A running server. When it goes out of scope it is killed, and has not panicked.
pub(crate) struct Octoserve {
    child: Child,
    directory: TempDir,
    addresses: Vec<SocketAddr>,
    log: Log,
}

/// What becomes of a server's standard output.
enum Log {
    /// It is read as it comes.
    Read(Arc<Lines>),
    /// Nobody reads it after the line that says that it serves.
    Stalled(BufReader<ChildStdout>),
}

#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Octoserve {
    /// Serves 127.0.0.1 out of a directory of its own, with these variables.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[], variables, false)
    }

    /// The same, and its log is not read.
    pub(crate) fn start_with_stalled_log(variables: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[], variables, true)
    }

    /// Serves in a directory, which is where it is started, with these arguments.
    pub(crate) fn start_in(
        directory: TempDir,
        arguments: &[&str],
        variables: &[(&str, &str)],
        stall: bool,
    ) -> Self {
        let errors = File::create(directory.path().join("stderr")).unwrap();
        let mut child = octoserve(arguments.iter().copied())
            .env("OCTOSERVE_SERVER_ADDRESS", "127.0.0.1")
            .env("OCTOSERVE_SERVER_PORT", "0")
            .envs(variables.iter().copied())
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = Vec::new();
        let addresses = loop {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                let errors = fs::read_to_string(directory.path().join("stderr")).unwrap();
                panic!("it does not serve: {first:?} {errors}");
            }
            let line = line.trim_end().to_owned();
            let addresses = addresses(&line);
            first.push(line);
            if let Some(addresses) = addresses {
                break addresses;
            }
        };
        let log = if stall {
            Log::Stalled(output)
        } else {
            let lines = Arc::new(Lines::default());
            lines.lines.lock().unwrap().extend(first);
            let reader = Arc::clone(&lines);
            thread::spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    reader.lines.lock().unwrap().push(line);
                    reader.grown.notify_all();
                }
            });
            Log::Read(lines)
        };
        Self {
            child,
            directory,
            addresses,
            log,
        }
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens first.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// The directory that it was started in.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory that it keeps its content in.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// The number of bytes that `/proc` has for a field such as `VmRSS`.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes << 10
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has logged, line by line.
    pub(crate) fn log(&self) -> Vec<String> {
        match &self.log {
            Log::Read(lines) => lines.lines.lock().unwrap().clone(),
            Log::Stalled(_) => Vec::new(),
        }
    }

    /// Waits for a line that is like this.
    pub(crate) fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        self.lines(1, is_it).remove(0)
    }

    /// Waits for so many lines that are like this.
    pub(crate) fn lines(&self, count: usize, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let Log::Read(lines) = &self.log else {
            panic!("nobody reads this log");
        };
        let deadline = Instant::now() + PATIENCE;
        let mut guard = lines.lines.lock().unwrap();
        loop {
            let found: Vec<String> = guard.iter().filter(|line| is_it(line)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "found {found:#?} in {:#?}", *guard);
            guard = lines.grown.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// Waits for the line of the request with this identifier.
    pub(crate) fn request(&self, id: &str) -> Value {
        let field = format!("\"request_id\":\"{id}\"");
        let line = self.line(|line| line.contains(&field));
        serde_json::from_str(&line).unwrap()
    }

    /// How many lines there are of the request with this identifier, once what
    /// was asked after it is in the log as well.
    pub(crate) fn count_requests(&self, id: &str) -> usize {
        let mut last = self.connect();
        last.send("GET /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: the-last\r\n\r\n");
        last.answer();
        self.request("the-last");
        let field = format!("\"request_id\":\"{id}\"");
        self.log()
            .iter()
            .filter(|line| line.contains(&field))
            .count()
    }

    /// Whoever would read the log is gone.
    pub(crate) fn close_log(&mut self) {
        self.log = Log::Read(Arc::default());
    }

    /// Reads what a stalled log was not read of until it ends.
    pub(crate) fn read_stalled_log(&mut self) -> Vec<String> {
        match &mut self.log {
            Log::Read(_) => panic!("this log is read as it comes"),
            Log::Stalled(output) => output.lines().map_while(Result::ok).collect(),
        }
    }
}

/// The addresses that a line says it serves, if it says that.
fn addresses(line: &str) -> Option<Vec<SocketAddr>> {
    let text = match serde_json::from_str::<Value>(line) {
        Ok(line) if line["message"] == "serving" => line["addresses"].as_str()?.to_owned(),
        Ok(_) => return None,
        Err(_) => {
            let rest = line.split_once(" serving ")?.1.split_once("addresses=")?.1;
            let quoted = rest
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            let word = || rest.split(' ').next();
            quoted.or_else(word)?.to_owned()
        }
    };
    Some(text.split(' ').map(|one| one.parse().unwrap()).collect())
}

impl Drop for Octoserve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            let errors = fs::read_to_string(self.directory.path().join("stderr")).unwrap();
            assert_eq!(errors, "");
            let log = self.log();
            let panics: Vec<_> = log
                .iter()
                .filter(|line| line.contains("panicked"))
                .collect();
            assert!(panics.is_empty(), "{panics:#?}");
        }
    }
}

/// A directory that is gone with the test, and a file in it.
pub(crate) fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    let path = path.as_os_str().to_str().map(ToOwned::to_owned).unwrap();
    (directory, path)
}

/// The names in a directory, if it is there.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let name = |name: &OsStr| name.to_string_lossy().into_owned();
    let mut names: Vec<_> = entries
        .map(|entry| name(&entry.unwrap().file_name()))
        .collect();
    names.sort();
    names
}
