//! Takes connections from the kernel and gives them to the workers.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

use super::worker::{Accepted, Worker};

/// How long to leave the kernel alone when it has no descriptor or memory for a
/// connection. The connection waits meanwhile.
const SCARCITY: Duration = Duration::from_millis(50);

/// How often to say so.
const REMINDER: Duration = Duration::from_secs(10);

/// A socket that is listened on.
pub(super) struct Acceptor {
    listener: AsyncFd<TcpListener>,
    places: Arc<Semaphore>,
    reminded: Option<Instant>,
}

impl Acceptor {
    /// Accepts no more connections than there are places.
    pub(super) fn new(listener: TcpListener, places: Arc<Semaphore>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for the sake of types that may change their descriptor"
        )]
        let listener = AsyncFd::new(listener)?;
        Ok(Self {
            listener,
            places,
            reminded: None,
        })
    }

    /// Accepts until told to stop, and then those that had connected already.
    pub(super) async fn run(mut self, workers: &[Worker], stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        while let Either::Right((accepted, _)) = select(&mut stop, pin!(self.accept())).await {
            give(workers, accepted);
        }
        while let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            && let Ok((stream, peer)) = accept_from(self.listener.get_ref())
        {
            give(
                workers,
                Accepted {
                    stream,
                    peer,
                    place,
                },
            );
        }
    }

    async fn accept(&mut self) -> Accepted {
        loop {
            let error = match self.try_accept().await {
                Ok(Some(accepted)) => return accepted,
                Ok(None) => continue,
                Err(error) => error,
            };
            // These concern one connection, which is gone.
            if matches!(
                error.kind(),
                ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
            ) {
                continue;
            }
            if self
                .reminded
                .is_none_or(|reminded| reminded.elapsed() > REMINDER)
            {
                warn!(%error, "cannot accept connections for now");
                self.reminded = Some(Instant::now());
            }
            sleep(SCARCITY).await;
        }
    }

    /// Accepts one; none if there was none after all.
    async fn try_accept(&self) -> io::Result<Option<Accepted>> {
        let mut ready = self.listener.readable().await?;
        // Taken only now, so that a listener that nobody calls takes none.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        match ready.try_io(|listener| accept_from(listener.get_ref())) {
            Ok(accepted) => accepted.map(|(stream, peer)| {
                Some(Accepted {
                    stream,
                    peer,
                    place,
                })
            }),
            Err(_would_block) => Ok(None),
        }
    }
}

fn accept_from(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

fn give(workers: &[Worker], accepted: Accepted) {
    if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
        worker.give(accepted);
    }
}
