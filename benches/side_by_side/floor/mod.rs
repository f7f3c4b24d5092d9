//! The floor: what no server on this machine can do without, as small HTTP servers that do
//! nothing else. Each runs as a process of its own and is measured like any contestant.

mod echo;
mod files;
mod memory;
mod sink;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

pub(crate) use files::durable_files;

/// Which floor a workload stands on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FloorMode {
    /// An epoll loop that answers everything with the same bytes, the body this long.
    Echo(usize),
    /// Writes a body of this length to the socket, from memory that stays in the cache.
    Memory(u64),
    /// Reads a body from the socket, hashes it, writes it to a file and syncs the file.
    Sink,
    /// Only makes files durable; it serves nothing but its readiness.
    Files,
}

/// A floor as a process.
pub(crate) struct FloorProcess {
    mode: FloorMode,
    address: SocketAddr,
    directory: PathBuf,
}

impl FloorMode {
    /// How to start it: this same program, with arguments that [`parse`] reads.
    pub(crate) fn command(self, address: &SocketAddr, directory: &Path) -> Result<Command> {
        let (name, size) = match self {
            Self::Echo(size) => ("echo", size as u64),
            Self::Memory(size) => ("memory", size),
            Self::Sink => ("sink", 0),
            Self::Files => ("files", 0),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["floor", name, &size.to_string(), &address.to_string()])
            .arg(directory);
        Ok(command)
    }
}

/// Reads what [`FloorMode::command`] wrote.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<FloorProcess> {
    let words: Vec<String> = words.collect();
    let [name, size, address, directory] = words.as_slice() else {
        return Err("floor: the benchmark starts this itself".into());
    };
    let mode = match name.as_str() {
        "echo" => FloorMode::Echo(size.parse()?),
        "memory" => FloorMode::Memory(size.parse()?),
        "sink" => FloorMode::Sink,
        "files" => FloorMode::Files,
        other => return Err(format!("no floor is called {other:?}").into()),
    };
    Ok(FloorProcess {
        mode,
        address: address.parse()?,
        directory: directory.into(),
    })
}

/// Serves until the process is ended.
pub(crate) fn serve(process: &FloorProcess) -> Result<()> {
    match process.mode {
        FloorMode::Echo(size) => echo::serve(process.address, size),
        FloorMode::Memory(size) => memory::serve(process.address, size),
        FloorMode::Sink => sink::serve(process.address, &process.directory),
        FloorMode::Files => echo::serve(process.address, 0),
    }
}

/// The head of every floor's response.
fn head(status: &str, length: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
}
