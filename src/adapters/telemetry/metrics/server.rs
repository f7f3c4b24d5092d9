//! Tells the metrics to who asks, at an address of their own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::{Metrics, Sources};

/// So many may ask at once.
const CONNECTIONS: usize = 16;

/// How long one connection may take in all: a scrape is over in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How old the count of open uploads may be.
const UPLOADS_AGE: Duration = Duration::from_secs(30);

/// So many open uploads are counted; looking them up is not free.
const MOST_UPLOADS: usize = 10_000;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Serves `/metrics`.
pub struct MetricsServer {
    listeners: Vec<std::net::TcpListener>,
    answering: Arc<Answering>,
}

struct Answering {
    metrics: Arc<Metrics>,
    sources: Arc<Sources>,
    uploads_counted: Mutex<Option<Instant>>,
}

impl MetricsServer {
    /// A server of what is counted and of what can be looked up.
    #[must_use]
    pub fn new(
        listeners: Vec<std::net::TcpListener>,
        metrics: Arc<Metrics>,
        sources: Sources,
    ) -> Self {
        let sources = Arc::new(sources);
        metrics.set_sources(Arc::clone(&sources));
        let answering = Answering {
            metrics,
            sources,
            uploads_counted: Mutex::default(),
        };
        Self {
            listeners,
            answering: Arc::new(answering),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let listeners = self.listeners.iter();
        listeners.map(std::net::TcpListener::local_addr).collect()
    }

    /// Serves for as long as the runtime lives that this is called on.
    ///
    /// # Errors
    /// When a listener cannot be used.
    pub fn start(self) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        for listener in self.listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let (answering, places) = (Arc::clone(&self.answering), Arc::clone(&places));
            tokio::spawn(accept(listener, answering, places));
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, answering: Arc<Answering>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let answering = Arc::clone(&answering);
                tokio::spawn(async move {
                    match timeout(PATIENCE, serve(stream, answering)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => debug!(%peer, %error, "a scrape broke off"),
                        Err(_) => debug!(%peer, "a scrape took too long"),
                    }
                    drop(place);
                });
            }
            // Perhaps there are no descriptors; do not turn at full speed.
            Err(error) => {
                debug!(%error, "cannot accept a scrape");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, answering: Arc<Answering>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let answering = Arc::clone(&answering);
        async move { Ok::<_, Infallible>(answering.answer(&request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

impl Answering {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if request.uri().path() != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        self.count_uploads().await;
        response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
        *response.body_mut() = Full::from(self.metrics.to_text());
        response
    }

    /// Counts the open uploads, if it was not done a moment ago. A store that
    /// fails says so in its own metrics.
    async fn count_uploads(&self) {
        let mut counted = self.uploads_counted.lock().await;
        if counted.is_some_and(|counted| counted.elapsed() < UPLOADS_AGE) {
            return;
        }
        if let Ok(sessions) = self.sources.registry.open_uploads(MOST_UPLOADS).await {
            self.metrics.set_uploads_open(sessions);
            *counted = Some(Instant::now());
        }
    }
}
