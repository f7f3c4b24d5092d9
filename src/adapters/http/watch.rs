//! What an observer is told of one request: its span, and its counts.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use pin_project_lite::pin_project;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::refusal::{Refusal, Refused};
use super::request_id::RequestId;
use super::request_log::Outcome;
use super::response::Response;
use super::route::{Route, RouteError};
use super::server::{ConnectionInfo, Malformed};
use crate::adapters::telemetry::{Metrics, Observer, RequestLabels, SPANS, Tally};
use crate::domain::name::RepositoryName;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A request that somebody wants to know of.
pub(super) struct Watch {
    started: Instant,
    metrics: Option<Arc<Metrics>>,
    labels: RequestLabels,
    repository: Option<RepositoryName>,
    tally: Arc<Tally>,
    /// Of the whole request; none if it is not traced.
    span: Span,
    /// Of the use case that answers it, until it is done.
    use_case: Span,
    server_timing: bool,
}

impl Watch {
    /// Begins to watch a request, if anybody wants to know of it.
    pub(super) fn start(
        observer: &Observer,
        request: &Request<Body>,
        route: &Result<Route, RouteError>,
        request_id: &RequestId,
    ) -> Option<Box<Self>> {
        if observer.is_idle() {
            return None;
        }
        let malformed = request.extensions().get::<Malformed>().copied();
        let route = route.as_ref().ok().filter(|_| malformed.is_none());
        let method = (malformed != Some(Malformed::Syntax)).then(|| request.method());
        let labels = RequestLabels::new(method, route.map_or("unknown", Route::template));
        let parent = observer
            .traces
            .as_ref()
            .and_then(|traces| traces.sample(request.headers()));
        // Without metrics, only what is traced is worth the effort.
        if parent.is_none() && observer.metrics.is_none() && !observer.server_timing {
            return None;
        }
        let is_traced = parent.is_some();
        let (span, use_case) = match parent {
            Some(parent) => {
                let span = server_span(request, route, &labels, request_id);
                // Nobody has entered it, so it can still get a parent.
                let _ = span.set_parent(parent);
                let use_case = route.map_or_else(Span::none, |route| use_case_span(&span, route));
                (span, use_case)
            }
            None => (Span::none(), Span::none()),
        };
        let metrics = observer.metrics.clone();
        if let Some(metrics) = &metrics {
            metrics.request_begins();
        }
        Some(Box::new(Self {
            started: Instant::now(),
            tally: Arc::new(Tally::new(is_traced, metrics.clone())),
            metrics,
            labels,
            repository: route.and_then(Route::repository).cloned(),
            span,
            use_case,
            server_timing: observer.server_timing,
        }))
    }

    /// What the request takes.
    pub(super) const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Bytes of the response's body went.
    pub(super) fn send(&self, bytes: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.sent(bytes);
        }
    }

    /// Does something that belongs to the whole request.
    pub(super) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.span.in_scope(work)
    }

    /// The use case has its answer.
    pub(super) fn answered(&mut self, response: &mut Response) {
        self.labels.set_status(response.status().as_u16());
        let use_case = std::mem::replace(&mut self.use_case, Span::none());
        if let Some(Refused(refusal)) = response.extensions().get::<Refused>() {
            let (status, code) = refusal.status_and_code();
            use_case.record("octoserve.error.code", code.as_str());
            if status.is_server_error() {
                use_case.record("error.type", code.as_str());
                use_case.record("otel.status_description", cause(refusal));
            }
        }
        if self.server_timing
            && let Some(value) = self.timing()
        {
            response.headers_mut().insert(SERVER_TIMING, value);
        }
    }

    /// The response has been sent, as far as it ever will be.
    pub(super) fn ended(&self, sent: u64, outcome: &Outcome<'_>) {
        let status = self.labels.status();
        if !self.span.is_none() {
            if status > 0 {
                self.span
                    .record("http.response.status_code", i64::from(status));
            }
            self.span.record("http.response.body.size", number(sent));
            match outcome {
                Outcome::Answered => {}
                Outcome::GivenUp => {
                    self.span.record("error.type", "client_gone");
                }
                Outcome::Panicked => {
                    self.span.record("error.type", "panic");
                    self.span.record("otel.status_code", "error");
                }
                Outcome::Failed(failure) => {
                    self.span.record("error.type", "response_broken");
                    self.span.record("otel.status_description", failure);
                }
                Outcome::Refused(refusal) => {
                    let (_, code) = refusal.status_and_code();
                    self.span.record("octoserve.error.code", code.as_str());
                    if status >= 500 {
                        self.span.record("error.type", status.to_string());
                        self.span.record("otel.status_description", cause(refusal));
                    }
                }
            }
        }
        self.report(sent);
    }

    fn report(&self, sent: u64) {
        let received = self.tally.received();
        if !self.span.is_none() {
            self.span.record("http.request.body.size", number(received));
            let operations = self.tally.operations();
            self.span
                .record("octoserve.storage.operations", number(operations));
            let milliseconds = self.tally.duration().as_secs_f64() * 1000.0;
            self.span
                .record("octoserve.storage.duration_ms", milliseconds);
        }
        if let Some(metrics) = &self.metrics {
            let repository = self.repository.as_ref().map(RepositoryName::as_str);
            let duration = self.started.elapsed();
            metrics.request_ends(&self.labels, repository, duration, received, sent);
        }
    }

    fn timing(&self) -> Option<HeaderValue> {
        let milliseconds = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
        let text = format!(
            "total;dur={:.3}, storage;dur={:.3};desc=\"{} operations\"",
            milliseconds(self.started.elapsed()),
            milliseconds(self.tally.duration()),
            self.tally.operations(),
        );
        HeaderValue::try_from(text).ok()
    }
}

fn server_span(
    request: &Request<Body>,
    route: Option<&Route>,
    labels: &RequestLabels,
    request_id: &RequestId,
) -> Span {
    let method = labels.method();
    let template = route.map(Route::template);
    let connection = request.extensions().get::<ConnectionInfo>();
    let (address, port) =
        server(request).map_or((None, None), |(address, port)| (Some(address), port));
    let name = match (method, template) {
        ("_OTHER", Some(template)) => format!("HTTP {template}"),
        ("_OTHER", None) => "HTTP".to_owned(),
        (method, Some(template)) => format!("{method} {template}"),
        (method, None) => method.to_owned(),
    };
    let peer: Option<SocketAddr> = connection.map(|connection| connection.peer);
    let original = (method == "_OTHER").then(|| request.method().as_str());
    tracing::info_span!(
        target: SPANS,
        "request",
        otel.name = name,
        otel.kind = "server",
        http.request.method = method,
        http.request.method_original = original,
        http.route = template,
        http.request.body.size = Empty,
        http.response.status_code = Empty,
        http.response.body.size = Empty,
        url.scheme = match connection {
            Some(connection) if connection.tls => "https",
            _ => "http",
        },
        url.path = request.uri().path(),
        url.query = request.uri().query(),
        server.address = address,
        server.port = port.map(i64::from),
        network.peer.address = peer.map(|peer| display(peer.ip())),
        network.peer.port = peer.map(|peer| i64::from(peer.port())),
        network.protocol.version = match request.version() {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        user_agent.original = text(request.headers(), &USER_AGENT),
        octoserve.request.id = request_id.as_str(),
        octoserve.repository = route.and_then(Route::repository).map(RepositoryName::as_str),
        octoserve.error.code = Empty,
        octoserve.storage.operations = Empty,
        octoserve.storage.duration_ms = Empty,
        error.type = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

fn use_case_span(request: &Span, route: &Route) -> Span {
    tracing::info_span!(
        target: SPANS,
        parent: request,
        "use case",
        otel.name = route.use_case(),
        octoserve.repository = route.repository().map(RepositoryName::as_str),
        octoserve.tag = route.tag().map(crate::domain::name::Tag::as_str),
        octoserve.digest = route.digest().map(display),
        octoserve.upload.id = route.upload().map(display),
        octoserve.error.code = Empty,
        error.type = Empty,
        otel.status_description = Empty,
    )
}

/// The host and the port that the client has asked for.
fn server(request: &Request<Body>) -> Option<(&str, Option<u16>)> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => text(request.headers(), &HOST)?,
    };
    match authority.rsplit_once(':') {
        // The colons of a bare IPv6 address are not followed by a port.
        Some((host, port)) if !port.ends_with(']') => Some((host, port.parse().ok())),
        _ => Some((authority, None)),
    }
}

/// What a refusal comes from: to the client it may say less.
fn cause(refusal: &Refusal) -> String {
    match std::error::Error::source(refusal) {
        Some(source) => source.to_string(),
        None => refusal.to_string(),
    }
}

/// A number as traces have it.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pin_project! {
    /// The answer to a request, in whose making every step is watched.
    pub(super) struct Watched<'a, F> {
        #[pin]
        answer: F,
        watch: Option<&'a Watch>,
    }
}

impl<'a, F> Watched<'a, F> {
    pub(super) const fn new(answer: F, watch: Option<&'a Watch>) -> Self {
        Self { answer, watch }
    }
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.watch {
            None => this.answer.poll(context),
            Some(watch) => {
                let _entered = watch.use_case.enter();
                watch.tally.in_scope(|| this.answer.poll(context))
            }
        }
    }
}
