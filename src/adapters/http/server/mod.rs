//! The connection server: from a socket to requests, and back.
//!
//! It knows HTTP and no registry. What it is given is a service; what it gives
//! the service is one request after another, each with a [`ConnectionInfo`].
//!
//! - **Threads.** [`Server::run`] accepts, and gives each connection to the
//!   worker thread with the fewest. A connection lives and dies on one thread.
//! - **Protocols.** HTTP/1.1, or HTTP/2 if its preface comes first, in the clear
//!   or over TLS.
//! - **Patience.** Everything is bounded by progress, not by length: the head of
//!   a request, the pause between requests, a peer that does not read. The body
//!   of a request is bounded by the routes, because only they know whether they
//!   wait for it.
//! - **Trust.** A request whose end could be seen elsewhere by somebody between
//!   us and the client is refused, and its connection closed. The application
//!   answers it like any other, so that there is one table of refusals: the
//!   request has a [`Malformed`] as an extension.
//! - **Stopping.** When [`Drain`] starts, nothing more is accepted, idle
//!   connections are closed, and others end with the answer that they are at.
//!
//! No timer is armed for a request that comes and is answered in time.

mod acceptor;
mod connection;
mod content;
mod deadline;
mod drain;
mod framing;
mod listen;
mod malformed;
mod progress;
mod refusing;
mod service;
mod stream;
mod streams;
mod tls;
mod worker;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use tracing::{info, warn};

use self::acceptor::Acceptor;
pub use self::content::RequestContent;
pub use self::drain::Drain;
pub use self::listen::{ListenError, listen};
pub use self::malformed::Malformed;
pub use self::tls::{Certificate, CertificateError};
use self::worker::Worker;

/// What a request's connection is. Every request has it as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: SocketAddr,
    /// Whether nobody can listen in.
    pub tls: bool,
}

/// What connections may take, and how long they may wait.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many threads serve them; at least one does.
    pub workers: usize,
    /// How many may be open. Further ones wait to be accepted.
    pub connections: usize,
    /// The largest head of a request, in bytes.
    pub largest_head: usize,
    /// How long a TLS handshake, or the head of a request, may take.
    pub header_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// How long a peer may read nothing of what is there for it.
    pub write_timeout: Duration,
    /// How long requests may take after the server began to stop.
    pub drain_timeout: Duration,
}

/// A server that is ready to run.
pub struct Server {
    listeners: Vec<TcpListener>,
    certificate: Option<Certificate>,
    limits: Limits,
}

impl Server {
    /// A server on these listeners; over TLS if there is a certificate.
    #[must_use]
    pub const fn new(
        listeners: Vec<TcpListener>,
        certificate: Option<Certificate>,
        limits: Limits,
    ) -> Self {
        Self {
            listeners,
            certificate,
            limits,
        }
    }

    /// Serves until `drain` starts and what was under way then has ended, or has
    /// been cut off. Accepts on the runtime that it is called on; it must be
    /// polled for as long as the server is to stop in order.
    ///
    /// # Errors
    /// When a thread cannot be started, or TLS cannot be set up.
    pub async fn run<S, B>(self, application: S, drain: &Drain) -> io::Result<()>
    where
        S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let tls = match &self.certificate {
            Some(certificate) => {
                let config = certificate.server_config().map_err(io::Error::other)?;
                Some(TlsAcceptor::from(config))
            }
            None => None,
        };
        let workers = (0..self.limits.workers.max(1))
            .map(|number| Worker::start(number, &self.limits, tls.clone(), application.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        let following = self
            .certificate
            .map(|certificate| tokio::spawn(certificate.follow_files()));

        let connections = self.limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(connections));
        let acceptors = self
            .listeners
            .into_iter()
            .map(|listener| Acceptor::new(listener, Arc::clone(&places)))
            .collect::<io::Result<Vec<_>>>()?;
        let accepting = acceptors
            .into_iter()
            .map(|acceptor| acceptor.run(&workers, drain.started()));
        join_all(accepting).await;

        info!("stopping: no more connections, and waiting for the requests in flight");
        if let Some(following) = following {
            following.abort();
        }
        let cut_off = join_all(workers.into_iter().map(Worker::finish)).await;
        let connections: usize = cut_off.iter().map(|cut_off| cut_off.connections).sum();
        let requests: usize = cut_off.iter().map(|cut_off| cut_off.requests).sum();
        if connections > 0 {
            warn!(
                connections,
                requests, "stopped, and cut off what did not end within the drain timeout"
            );
        } else {
            info!("stopped");
        }
        Ok(())
    }
}
