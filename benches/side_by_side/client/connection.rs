//! One kept-alive connection on which requests are made one after another.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::head::{self, Framing, Head};
use crate::Result;

/// A server that is silent for this long has failed.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);

/// A connection; made anew when the server closed it after a response.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    received: Vec<u8>,
    closed: bool,
}

/// A whole response.
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The head's bytes.
    pub(crate) head: Vec<u8>,
    /// The body, unframed.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        head::header(&self.head, name)
    }

    /// The response, if it has this status.
    pub(crate) fn expect(self, status: u16, operation: &str) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned();
        Err(format!(
            "{operation}: status {} where {status} was expected: {body}",
            self.status
        )
        .into())
    }
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = connect(address)?;
        Ok(Self {
            address,
            stream,
            received: Vec::with_capacity(16 * 1024),
            closed: false,
        })
    }

    /// `127.0.0.1:port`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if self.closed {
            self.stream = connect(self.address)?;
            self.received.clear();
            self.closed = false;
        }
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends a request, head and body, and reads the response.
    pub(crate) fn exchange(&mut self, head: &[u8], body: &[u8]) -> Result<Response> {
        self.send(head)?;
        if !body.is_empty() {
            self.send(body)?;
        }
        self.receive(head.starts_with(b"HEAD "))
    }

    /// A request whose body, if there is one, has a known length.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        extra: &str,
        body: &[u8],
    ) -> Result<Response> {
        let length = match method {
            "GET" | "HEAD" => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{extra}{length}\r\n",
            self.authority()
        );
        self.exchange(head.as_bytes(), body)
    }

    /// Reads a response; one to HEAD has no body whatever its head says.
    pub(crate) fn receive(&mut self, to_head: bool) -> Result<Response> {
        let mut body = Vec::new();
        let (head, bytes) = self.receive_into(to_head, |piece| body.extend_from_slice(piece))?;
        Ok(Response {
            status: head.status,
            head: bytes,
            body,
        })
    }

    /// Reads a response and hands its body over piece by piece.
    pub(crate) fn receive_into(
        &mut self,
        to_head: bool,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(Head, Vec<u8>)> {
        let head = loop {
            if let Some(head) = head::parse(&self.received)? {
                break head;
            }
            self.fill(16 * 1024)?;
        };
        let bytes: Vec<u8> = self.received.drain(..head.bytes).collect();
        self.closed = head.closes;
        match head.framing {
            _ if to_head || head.status == 204 || head.status == 304 => {}
            Framing::Length(length) => self.take(length, &mut sink)?,
            Framing::Chunked => loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default();
                let size = u64::from_str_radix(size, 16)
                    .map_err(|_| format!("not a chunk size: {line:?}"))?;
                self.take(size, &mut sink)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok((head, bytes))
    }

    fn take(&mut self, mut length: u64, sink: &mut impl FnMut(&[u8])) -> Result<()> {
        while length > 0 {
            if self.received.is_empty() {
                self.fill(256 * 1024)?;
            }
            let piece = self
                .received
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            sink(&self.received[..piece]);
            self.received.drain(..piece);
            length -= piece as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self
                .received
                .windows(2)
                .position(|window| window == b"\r\n")
            {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                return Ok(line);
            }
            self.fill(16 * 1024)?;
        }
    }

    fn fill(&mut self, most: usize) -> Result<()> {
        let before = self.received.len();
        self.received.resize(before + most, 0);
        let outcome = self.stream.read(&mut self.received[before..]);
        self.received
            .truncate(before + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => Err("the server closed the connection in the middle of a response".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("while waiting for a response: {error}").into()),
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}
