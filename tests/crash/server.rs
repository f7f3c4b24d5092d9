//! The real binary, or the one that `OCTOSERVE_BINARY` names, over a data
//! directory that outlives it, and a client that can tell a refusal from a
//! server that is gone.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server. When it goes out of scope it is killed.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Serves a data directory, with these variables.
    pub(crate) fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        let built = || env!("CARGO_BIN_EXE_octoserve").into();
        let program = env::var_os("OCTOSERVE_BINARY").unwrap_or_else(built);
        let mut process = Command::new(program)
            .env_clear()
            .env("OCTOSERVE_SERVER_ADDRESS", "127.0.0.1")
            .env("OCTOSERVE_SERVER_PORT", "0")
            .env("OCTOSERVE_STORAGE_PATH", data)
            .envs(variables.iter().copied())
            .current_dir(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut log = BufReader::new(process.stdout.take().expect("a pipe"));
        let address = loop {
            let mut line = String::new();
            let read = log.read_line(&mut line).expect("a log");
            assert_ne!(read, 0, "the server ends before it serves");
            let line: Value = serde_json::from_str(&line).expect("a line of JSON");
            if line["message"] == "serving" {
                let address = line["addresses"].as_str().expect("addresses");
                break address.parse().expect("one address");
            }
        };
        // A log that nobody reads fills its pipe.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Self { process, address }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed());
        kill(pid, signal).expect("it is there");
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.process.wait().expect("it ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection that is kept for the next request.
pub(crate) struct Connection(BufReader<TcpStream>);

/// What a server says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks for something. An error of the kind `ConnectionAborted` says that
    /// the server has closed the connection instead of answering.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.0.get_mut().write_all(&request).map_err(closed)?;
        let status = self.line().map_err(closed)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or(io::ErrorKind::ConnectionAborted)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if method != "HEAD"
            && let Some(length) = answer.header("content-length")
        {
            answer.body = vec![0; length.parse().map_err(|_| io::ErrorKind::InvalidData)?];
            self.0.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            io::ErrorKind::ConnectionAborted.into()
        }
        _ => error,
    }
}
