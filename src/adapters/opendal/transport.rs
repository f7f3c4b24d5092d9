//! The HTTP client that OpenDAL sends its requests with.
//!
//! A client for each thread: its connections are driven by the runtime that
//! they were opened on, so a request never waits for another thread, which may
//! be busy or gone. What OpenDAL's own layers do not see is kept here: how many
//! requests were made, and what time it is in the bucket's house.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CONTENT_LENGTH, DATE, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::bucket_clock::BucketClock;

/// Redirects that are followed before it is taken for a loop.
const MOST_REDIRECTS: usize = 5;

/// The message of an error of a request that was certainly never received.
pub(super) const NOT_SENT: &str = "the bucket's endpoint cannot be connected to";

/// How long what may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until a response begins once a request is sent, and without progress in
    /// either body.
    pub request: Duration,
}

type Sender = Client<HttpsConnector<HttpConnector>, RequestBody>;

/// Sends requests; clones count together.
#[derive(Clone)]
pub(super) struct Transport(Arc<Shared>);

struct Shared {
    /// Tells the clients of this transport from others of the thread.
    number: u64,
    tls: ClientConfig,
    timeouts: Timeouts,
    clock: Arc<BucketClock>,
    requests: Arc<AtomicU64>,
}

thread_local! {
    static SENDERS: RefCell<HashMap<u64, Sender>> = RefCell::default();
}

impl Transport {
    /// A transport that counts its requests in `requests`, and tells `clock`
    /// what the bucket's clock shows.
    pub(super) fn new(
        timeouts: Timeouts,
        clock: Arc<BucketClock>,
        requests: Arc<AtomicU64>,
    ) -> Result<Self, io::Error> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Ok(Self(Arc::new(Shared {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            tls: tls_config()?,
            timeouts,
            clock,
            requests,
        })))
    }

    fn sender(&self) -> Sender {
        SENDERS.with_borrow_mut(|senders| {
            let sender = senders.entry(self.0.number);
            sender.or_insert_with(|| self.0.new_sender()).clone()
        })
    }

    async fn send(&self, request: Request<Buffer>) -> Result<Response<HttpBody>, Error> {
        let (mut parts, body) = request.into_parts();
        for _ in 0..MOST_REDIRECTS {
            let mut request = Request::new(RequestBody::new(body.clone()));
            *request.method_mut() = parts.method.clone();
            *request.uri_mut() = parts.uri.clone();
            *request.headers_mut() = parts.headers.clone();
            let response = self.send_once(request).await?;
            match redirected(&parts.uri, response.status(), response.headers()) {
                Some(uri) => parts.uri = uri,
                None => return Ok(self.receive(&parts.method, response)),
            }
        }
        Err(Error::new(
            ErrorKind::Unexpected,
            "the bucket's endpoint redirects in a circle",
        ))
    }

    async fn send_once(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<hyper::body::Incoming>, Error> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let limit = self.0.timeouts.request;
        let progress = request.body().progress.clone();
        let sending = self.sender().request(request);
        let mut sending = std::pin::pin!(sending);
        loop {
            let before = progress.load(Ordering::Relaxed);
            match timeout(limit, sending.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) if error.is_connect() => {
                    return Err(temporary(NOT_SENT).set_source(error));
                }
                Ok(Err(error)) => {
                    let message = "the request to the bucket broke off";
                    return Err(temporary(message).set_source(error));
                }
                // A large body takes as long as it takes, if it moves.
                Err(_) if progress.load(Ordering::Relaxed) > before => {}
                Err(_) => return Err(temporary("the bucket does not answer")),
            }
        }
    }

    fn receive(
        &self,
        method: &Method,
        response: Response<hyper::body::Incoming>,
    ) -> Response<HttpBody> {
        let (parts, body) = response.into_parts();
        if let Some(date) = parts.headers.get(DATE).and_then(|date| date.to_str().ok()) {
            self.0.clock.saw(date);
        }
        let length = parts.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.filter(|_| *method != Method::HEAD);
        let limit = self.0.timeouts.request;
        let body = ResponseBody {
            body,
            limit,
            stalled: Box::pin(sleep(limit)),
        };
        Response::from_parts(parts, HttpBody::new(body, length))
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>, Error> {
        self.send(request).await
    }
}

impl Shared {
    fn new_sender(&self) -> Sender {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.timeouts.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .http1_max_buf_size(READ_BUFFER)
            .build(connector)
    }
}

/// What is read from a socket at once, at most: what fills up faster costs
/// fewer calls, and more than this does not make a difference.
const READ_BUFFER: usize = 256 * 1024;

/// Trusts whom the system trusts; where it has no list, whom Mozilla trusts.
fn tls_config() -> Result<ClientConfig, io::Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn temporary(message: &str) -> Error {
    Error::new(ErrorKind::Unexpected, message).set_temporary()
}

/// Where a response sends the request, if it does. The method and the body stay
/// what they are.
fn redirected(from: &Uri, status: StatusCode, headers: &HeaderMap) -> Option<Uri> {
    if !matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    ) {
        return None;
    }
    let to: Uri = headers.get(LOCATION)?.to_str().ok()?.parse().ok()?;
    let mut parts = to.into_parts();
    parts.scheme = parts.scheme.or_else(|| from.scheme().cloned());
    parts.authority = parts.authority.or_else(|| from.authority().cloned());
    Uri::from_parts(parts).ok()
}

/// The body of a request: pieces that are in memory already.
struct RequestBody {
    rest: Buffer,
    /// How many bytes the connection has taken.
    progress: Arc<AtomicU64>,
}

impl RequestBody {
    fn new(content: Buffer) -> Self {
        Self {
            rest: content,
            progress: Arc::default(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.rest.next();
        if let Some(piece) = &piece {
            let length = piece.len() as u64;
            self.progress.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The body of a response, which fails if nothing of it comes for too long.
struct ResponseBody {
    body: hyper::body::Incoming,
    limit: Duration,
    stalled: Pin<Box<Sleep>>,
}

impl Stream for ResponseBody {
    type Item = Result<Buffer, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        let deadline = Instant::now() + this.limit;
                        this.stalled.as_mut().reset(deadline);
                        return Poll::Ready(Some(Ok(Buffer::from(data))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let message = "the bucket's response broke off";
                    return Poll::Ready(Some(Err(temporary(message).set_source(error))));
                }
                Poll::Pending => {
                    ready!(this.stalled.as_mut().poll(context));
                    let error = temporary("the bucket's response makes no progress");
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
