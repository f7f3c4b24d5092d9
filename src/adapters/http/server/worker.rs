//! The threads that serve connections.
//!
//! Each has a runtime of its own, and a connection stays on the thread it was
//! given to: what it shares with others it shares with the kernel, or through
//! the application.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use tracing::{debug, error};

use super::connection::Protocols;
use super::content::RequestContent;
use super::progress::Progress;
use super::{ConnectionInfo, Limits};

/// How long what still writes to the disk may take after all connections ended.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// Its place among the connections that may be open.
    pub(super) place: OwnedSemaphorePermit,
}

/// What was cut off because it did not end in time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CutOff {
    pub(super) connections: usize,
    pub(super) requests: usize,
}

/// A thread that serves connections.
pub(super) struct Worker {
    connections: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
    finished: oneshot::Receiver<CutOff>,
}

impl Worker {
    /// Starts a thread. It serves until it is told to finish.
    pub(super) fn start<S, B>(
        number: usize,
        limits: &Limits,
        tls: Option<TlsAcceptor>,
        application: S,
    ) -> io::Result<Self>
    where
        S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (connections, accepted) = mpsc::unbounded_channel();
        let (started, starts) = std::sync::mpsc::sync_channel(1);
        let (report, finished) = oneshot::channel();
        let open = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&open);
        let limits = limits.clone();
        thread::Builder::new()
            .name(format!("connections-{number}"))
            .spawn(move || {
                // A local runtime cannot move, so it is made where it stays.
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .thread_name(format!("blocking-{number}"))
                    .build_local(LocalOptions::default());
                let runtime = match runtime {
                    Ok(runtime) => {
                        let _ = started.send(Ok(()));
                        runtime
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                let serving = run(accepted, counter, &limits, tls, application);
                let cut_off = runtime.block_on(serving);
                runtime.shutdown_timeout(LAST_WRITES);
                let _ = report.send(cut_off);
            })?;
        starts.recv().map_err(io::Error::other)??;
        Ok(Self {
            connections,
            open,
            finished,
        })
    }

    /// How many connections it has.
    pub(super) fn load(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Gives it a connection.
    pub(super) fn give(&self, accepted: Accepted) {
        self.open.fetch_add(1, Ordering::Relaxed);
        if self.connections.send(accepted).is_err() {
            error!("a thread that serves connections is gone; refused a connection");
        }
    }

    /// Tells it to finish what it is at and take no more connections. Wait for
    /// what is returned: it says what was not finished in time.
    pub(super) fn finish(self) -> impl Future<Output = CutOff> {
        drop(self.connections);
        let finished = self.finished;
        async move { finished.await.unwrap_or_default() }
    }
}

/// The connections of one thread.
#[derive(Default)]
struct Connections {
    open: RefCell<BTreeMap<u64, Rc<Progress>>>,
    ended: Notify,
}

async fn run<S, B>(
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    counter: Arc<AtomicUsize>,
    limits: &Limits,
    tls: Option<TlsAcceptor>,
    application: S,
) -> CutOff
where
    S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>
        + Clone
        + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_tls = tls.is_some();
    let protocols = Rc::new(Protocols::new(limits, tls));
    let connections = Rc::new(Connections::default());
    let mut number = 0;
    while let Some(Accepted {
        stream,
        peer,
        place,
    }) = accepted.recv().await
    {
        number += 1;
        let open = Open::new(number, Rc::clone(&connections), Arc::clone(&counter), place);
        let stream = match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%peer, %error, "cannot serve a connection");
                continue;
            }
        };
        let connection = ConnectionInfo { peer, tls: is_tls };
        let (protocols, application) = (Rc::clone(&protocols), application.clone());
        spawn_local(async move {
            let progress = Rc::clone(&open.progress);
            protocols
                .serve(stream, connection, progress, application)
                .await;
            drop(open);
        });
    }
    connections.drain(limits.drain_timeout).await
}

impl Connections {
    /// Lets every connection end, and waits for that for as long as it may take.
    async fn drain(&self, patience: Duration) -> CutOff {
        for progress in self.open.borrow().values() {
            progress.drain();
        }
        let all_ended = async {
            while !self.open.borrow().is_empty() {
                self.ended.notified().await;
            }
        };
        if timeout(patience, all_ended).await.is_ok() {
            return CutOff::default();
        }
        let open = self.open.borrow();
        CutOff {
            connections: open.len(),
            requests: open
                .values()
                .map(|progress| progress.in_flight() as usize)
                .sum(),
        }
    }
}

/// A connection is open for as long as this lives.
struct Open {
    number: u64,
    progress: Rc<Progress>,
    connections: Rc<Connections>,
    counter: Arc<AtomicUsize>,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(
        number: u64,
        connections: Rc<Connections>,
        counter: Arc<AtomicUsize>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let progress = Rc::new(Progress::new());
        connections
            .open
            .borrow_mut()
            .insert(number, Rc::clone(&progress));
        Self {
            number,
            progress,
            connections,
            counter,
            _place: place,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.number);
        self.connections.ended.notify_one();
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}
