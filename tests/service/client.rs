//! A client that sends what it is told, byte by byte, and reads what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::process::PATIENCE;

/// The bytes of a connection, in the clear or not.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    received: Vec<u8>,
}

/// One answer over HTTP/1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        let stream = Box::new(socket.try_clone().unwrap());
        Self::over(stream, socket)
    }

    /// Speaks through a stream that ends in this socket.
    pub(crate) fn over(stream: Box<dyn Stream>, socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            stream,
            socket,
            received: Vec::new(),
        }
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends to a server that may have closed the connection already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends no more, and still reads.
    pub(crate) fn close_sending_side(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether more came.
    fn receive(&mut self) -> Result<bool, End> {
        let mut piece = [0; 64 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(read) => {
                self.received.extend_from_slice(&piece[..read]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => panic!("nothing comes: {error}"),
        }
    }

    fn receive_until(&mut self, mut is_enough: impl FnMut(&[u8]) -> Option<usize>) -> Vec<u8> {
        loop {
            if let Some(end) = is_enough(&self.received) {
                let rest = self.received.split_off(end);
                return std::mem::replace(&mut self.received, rest);
            }
            match self.receive() {
                Ok(true) => {}
                other => {
                    let count = self.received.len();
                    let start = &self.received[..count.min(1000)];
                    let start = String::from_utf8_lossy(start);
                    panic!("the connection ended ({other:?}) after {count} bytes: {start:?}");
                }
            }
        }
    }

    /// Reads so many bytes, unless the connection ends before.
    pub(crate) fn try_bytes(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.received.len() < count {
            if !self.receive()? {
                return Err(End::Closed);
            }
        }
        let rest = self.received.split_off(count);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    /// Reads so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.receive_until(|received| (received.len() >= count).then_some(count))
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self) -> Answer {
        let head = self.receive_until(|received| {
            let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
            Some(end + 4)
        });
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status_line = lines.next().unwrap();
        let (version, rest) = status_line.split_once(' ').unwrap();
        Answer {
            version: version.to_owned(),
            status: rest[..3].parse().unwrap(),
            headers: lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        }
    }

    /// An answer and its body.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer
            .header("content-length")
            .map(|length| length.parse().unwrap());
        answer.body = match length {
            _ if answer.status < 200 || matches!(answer.status, 204 | 304) => Vec::new(),
            Some(length) => self.bytes(length),
            None => panic!("an answer without a length: {answer:?}"),
        };
        answer
    }

    /// Asks for something and reads the answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Waits until the server closes, with nothing more to read.
    pub(crate) fn end(&mut self) -> End {
        let (rest, end) = self.rest();
        assert_eq!(String::from_utf8_lossy(&rest), "");
        end
    }

    /// Everything up to the end, and how it ended.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            match self.receive() {
                Ok(true) => {}
                Ok(false) => break End::Closed,
                Err(end) => break end,
            }
        };
        (std::mem::take(&mut self.received), end)
    }
}

impl Answer {
    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice: {self:?}");
        value
    }

    /// The request's identifier, which every answer has.
    pub(crate) fn id(&self) -> &str {
        match self.header("x-request-id") {
            Some(id) => id,
            None => panic!("an answer without a request id: {self:?}"),
        }
    }

    /// The code and the message of an answer that is a refusal.
    pub(crate) fn refusal(&self) -> (String, String) {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        let document: Value = serde_json::from_slice(&self.body).unwrap();
        let error = &document["errors"][0];
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }
}
