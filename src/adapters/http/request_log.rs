//! One log line for each request, when its response has been sent or given up.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::refusal::{Refusal, Refused};
use super::request_id::RequestId;
use super::response::Response;
use super::route::{Route, RouteError};
use super::server::{ConnectionInfo, Malformed};
use super::watch::Watch;
use crate::domain::name::RepositoryName;

/// What the line says of a request before it is answered.
pub(super) struct RequestLog {
    started: Instant,
    /// None if it is not known.
    method: Option<Method>,
    template: &'static str,
    repository: Option<RepositoryName>,
    request_id: RequestId,
    peer: Option<SocketAddr>,
    user_agent: Option<HeaderValue>,
    is_written: bool,
    /// Who else wants to know of the request, if anybody does.
    watch: Option<Box<Watch>>,
}

impl RequestLog {
    pub(super) fn start(
        request: &Request<Body>,
        route: &Result<Route, RouteError>,
        request_id: RequestId,
        watch: Option<Box<Watch>>,
    ) -> Self {
        let extensions = request.extensions();
        let malformed = extensions.get::<Malformed>().copied();
        let route = route.as_ref().ok().filter(|_| malformed.is_none());
        Self {
            started: Instant::now(),
            method: (malformed != Some(Malformed::Syntax)).then(|| request.method().clone()),
            template: route.map_or("unknown", Route::template),
            repository: route.and_then(Route::repository).cloned(),
            request_id,
            peer: extensions
                .get::<ConnectionInfo>()
                .map(|connection| connection.peer),
            user_agent: request.headers().get(http::header::USER_AGENT).cloned(),
            is_written: false,
            watch,
        }
    }

    /// Who else wants to know of the request.
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_deref()
    }

    /// The request has an answer, which is to be sent.
    pub(super) fn answered(&mut self, response: &mut Response) {
        if let Some(watch) = &mut self.watch {
            watch.answered(response);
        }
    }

    /// Has the line written when the response's body has been sent.
    pub(super) fn finish_with(self, response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        let logged = LoggedBody {
            body,
            sent: 0,
            failure: None,
            status: parts.status,
            refused: parts.extensions.remove::<Refused>(),
            log: self,
        };
        Response::from_parts(parts, Body::new(logged))
    }

    /// The request has ended; the status is none if there was no answer.
    fn end(&mut self, status: Option<StatusCode>, sent: u64, outcome: &Outcome<'_>) {
        self.is_written = true;
        match &self.watch {
            None => self.write(status, sent, outcome),
            Some(watch) => {
                watch.in_scope(|| self.write(status, sent, outcome));
                watch.ended(sent, outcome);
            }
        }
    }

    fn write(&self, status: Option<StatusCode>, sent: u64, outcome: &Outcome<'_>) {
        // To the microsecond: more digits than that tell nothing.
        let duration_ms = self.started.elapsed().as_micros() as f64 / 1000.0;
        let user_agent = self
            .user_agent
            .as_ref()
            .and_then(|value| value.to_str().ok());
        // A level is part of a line's place in the code, so there is one for each.
        macro_rules! line {
            ($level:ident, $($extra:tt)*) => {
                tracing::$level!(
                    target: "octoserve::request",
                    method = self.method.as_ref().map(Method::as_str),
                    route = self.template,
                    repository = self.repository.as_ref().map(RepositoryName::as_str),
                    status = status.as_ref().map(StatusCode::as_u16),
                    bytes = sent,
                    duration_ms,
                    request_id = self.request_id.as_str(),
                    peer = self.peer.as_ref().map(tracing::field::display),
                    user_agent,
                    $($extra)*
                )
            };
        }
        match outcome {
            Outcome::Answered => line!(info, "request answered"),
            Outcome::GivenUp => line!(info, "client went away"),
            Outcome::Panicked => line!(error, "request failed: its thread panicked"),
            Outcome::Failed(failure) => {
                line!(error, error = failure, "response broke off");
            }
            Outcome::Refused(refusal) => {
                let (_, code) = refusal.status_and_code();
                let source = std::error::Error::source(refusal).map(ToString::to_string);
                if status.is_some_and(|status| status.is_server_error()) || is_damage(refusal) {
                    line!(error, code = code.as_str(), error = %refusal, cause = source, "request failed");
                } else {
                    line!(info, code = code.as_str(), error = %refusal, cause = source, "request refused");
                }
            }
        }
    }
}

/// A request whose answer is given up before there is one, because its connection
/// ended, has a line as well.
impl Drop for RequestLog {
    fn drop(&mut self) {
        if !self.is_written {
            let outcome = match std::thread::panicking() {
                true => Outcome::Panicked,
                false => Outcome::GivenUp,
            };
            self.end(None, 0, &outcome);
        }
    }
}

/// How a request ended.
pub(super) enum Outcome<'a> {
    Answered,
    GivenUp,
    Panicked,
    Failed(&'a str),
    Refused(&'a Refusal),
}

/// Whether the store has lost something, which an operator wants to know
/// whatever the client is told.
const fn is_damage(refusal: &Refusal) -> bool {
    use crate::app::RegistryError::{BlobDamaged, ManifestDamaged};
    matches!(
        refusal,
        Refusal::Registry(BlobDamaged(_) | ManifestDamaged(_))
    )
}

/// Counts what is sent, and writes the line when it is dropped: then the
/// response is complete, or never will be.
struct LoggedBody {
    body: Body,
    sent: u64,
    failure: Option<String>,
    status: StatusCode,
    refused: Option<Refused>,
    log: RequestLog,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.sent += sent;
                if let Some(watch) = self.log.watch() {
                    watch.send(sent);
                }
            }
            Some(Err(error)) => self.failure = Some(error.to_string()),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.status {
            // Of what has no body the framework would tell that its length is 0.
            // A 204 has none, and that of a 304 is the length of what was not
            // sent (RFC 9110, 8.6).
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => SizeHint::default(),
            _ => self.body.size_hint(),
        }
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let is_head = self.log.method == Some(Method::HEAD);
        let outcome = match (&self.failure, &self.refused) {
            (Some(failure), _) => Outcome::Failed(failure),
            (None, Some(Refused(refusal))) => Outcome::Refused(refusal),
            (None, None) if is_head || self.body.is_end_stream() => Outcome::Answered,
            (None, None) => Outcome::GivenUp,
        };
        self.log.end(Some(self.status), self.sent, &outcome);
    }
}
