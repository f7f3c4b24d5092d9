//! A closed loop: some connections, each sending the same request again as soon as it has
//! been answered, all driven by one thread.
//!
//! Bodies that do not come with the head are discarded inside the kernel (`MSG_TRUNC`):
//! they are counted but never copied, so that the client leaves the cores to the servers.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::net::RecvFlags;

use super::connection::SILENCE;
use super::head::{self, Framing};
use crate::Result;

/// When a loop ends. Requests that have been sent are always awaited.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After that many requests on each connection.
    RequestsEach(u64),
}

/// What to do.
pub(crate) struct Load<'a> {
    /// The server.
    pub(crate) address: SocketAddr,
    /// The whole request.
    pub(crate) request: &'a [u8],
    /// How many connections.
    pub(crate) connections: usize,
    /// When to end.
    pub(crate) until: Until,
    /// What `Content-Length` must say; a response to GET must bring that many bytes.
    pub(crate) length: u64,
}

/// What was done.
pub(crate) struct Outcome {
    /// Answered requests.
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Of each request, in no order.
    pub(crate) latencies: Vec<Duration>,
}

/// Bytes that one call may discard.
const DISCARD: usize = 1024 * 1024;

/// Runs the loop; any status but 200 and any other length is an error.
pub(crate) fn run(load: &Load<'_>) -> Result<Outcome> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::with_capacity(load.connections);
    for index in 0..load.connections {
        let client = Client::connect(load)?;
        epoll::add(
            &poll,
            &client.stream,
            epoll::EventData::new_u64(index as u64),
            epoll::EventFlags::IN,
        )?;
        clients.push(client);
    }
    let mut scratch = vec![0; DISCARD];
    let mut outcome = Outcome {
        requests: 0,
        elapsed: Duration::ZERO,
        latencies: Vec::with_capacity(1 << 16),
    };
    let started = Instant::now();
    for client in &mut clients {
        client.send(load.request)?;
    }
    let mut busy = clients.len();
    let mut events = Vec::with_capacity(load.connections);
    let silence = SILENCE.try_into()?;
    while busy > 0 {
        events.clear();
        epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&silence),
        )?;
        if events.is_empty() {
            return Err(format!("no answer within {SILENCE:?}").into());
        }
        for event in &events {
            let client = &mut clients[usize::try_from(event.data.u64())?];
            if !client.advance(load, &mut scratch)? {
                continue;
            }
            let now = Instant::now();
            outcome.latencies.push(now - client.sent);
            outcome.requests += 1;
            client.answered += 1;
            let done = match load.until {
                Until::Elapsed(time) => now - started >= time,
                Until::RequestsEach(requests) => client.answered >= requests,
            };
            if done {
                busy -= 1;
                outcome.elapsed = now - started;
            } else {
                client.send(load.request)?;
            }
        }
    }
    Ok(outcome)
}

/// One connection and where it is in its response.
struct Client {
    stream: TcpStream,
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head is read.
    remaining: Option<u64>,
    sent: Instant,
    answered: u64,
    body_follows: bool,
}

impl Client {
    fn connect(load: &Load<'_>) -> Result<Self> {
        let stream = TcpStream::connect(load.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            head: Vec::with_capacity(16 * 1024),
            remaining: None,
            sent: Instant::now(),
            answered: 0,
            body_follows: !load.request.starts_with(b"HEAD "),
        })
    }

    /// A request is far smaller than an empty socket's buffer, so it is sent in one piece.
    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        match rustix::net::send(&self.stream, request, rustix::net::SendFlags::NOSIGNAL)? {
            sent if sent == request.len() => Ok(()),
            sent => Err(format!("{sent} of {} bytes of a request were sent", request.len()).into()),
        }
    }

    /// Reads what has come, in one call; true once the response is whole.
    fn advance(&mut self, load: &Load<'_>, scratch: &mut [u8]) -> Result<bool> {
        let remaining = match self.remaining {
            Some(remaining) => {
                let most = scratch.len().min(usize::try_from(remaining)?);
                let Some(discarded) = self.receive(&mut scratch[..most], RecvFlags::TRUNC)? else {
                    return Ok(false);
                };
                remaining - discarded as u64
            }
            None => {
                let most = scratch.len().min(16 * 1024);
                let Some(received) = self.receive(&mut scratch[..most], RecvFlags::empty())? else {
                    return Ok(false);
                };
                self.head.extend_from_slice(&scratch[..received]);
                let Some(head) = head::parse(&self.head)? else {
                    return Ok(false);
                };
                if head.status != 200 || head.framing != Framing::Length(load.length) || head.closes
                {
                    return Err(format!(
                        "unexpected response: {}",
                        String::from_utf8_lossy(&self.head[..head.bytes])
                    )
                    .into());
                }
                let body = if self.body_follows { load.length } else { 0 };
                let excess = (self.head.len() - head.bytes) as u64;
                body.checked_sub(excess)
                    .ok_or("a body longer than was announced")?
            }
        };
        let whole = remaining == 0;
        if whole {
            self.head.clear();
        }
        self.remaining = (!whole).then_some(remaining);
        Ok(whole)
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<Option<usize>> {
        match rustix::net::recv(self.stream.as_fd(), buffer, flags) {
            Ok((_, 0)) => Err("the server closed a connection in the middle of a response".into()),
            Ok((_, received)) => Ok(Some(received)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
