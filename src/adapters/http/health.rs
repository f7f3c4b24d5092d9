//! Whether the process lives, and whether it is to be sent requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use super::Api;
use super::refusal::Refusal;
use super::response::{Response, content_response};
use super::route::RouteError;
use super::server::Malformed;

/// Whether the server is ready; clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Health {
    draining: Arc<AtomicBool>,
    storage_is_gone: Arc<AtomicBool>,
}

impl Health {
    /// From now on the server is not ready any more: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// From now on the server is ready only if the storage answers.
    pub fn storage_answers(&self, answers: bool) {
        self.storage_is_gone.store(!answers, Ordering::Relaxed);
    }
}

/// `/livez`: the process answers.
pub(super) async fn live(State(api): State<Arc<Api>>, request: Request) -> Response {
    if is_malformed(&request) {
        return super::answer(State(api), request).await;
    }
    answer(&api, &request, StatusCode::OK, "ok\n")
}

/// `/readyz`: the process takes requests.
pub(super) async fn ready(State(api): State<Arc<Api>>, request: Request) -> Response {
    if is_malformed(&request) {
        return super::answer(State(api), request).await;
    }
    let health = &api.health;
    let (status, word) = if health.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if health.storage_is_gone.load(Ordering::Relaxed) {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the storage does not answer\n",
        )
    } else {
        (StatusCode::OK, "ok\n")
    };
    answer(&api, &request, status, word)
}

/// Whether it is to be refused, whatever it asks.
fn is_malformed(request: &Request) -> bool {
    request.extensions().get::<Malformed>().is_some()
}

/// A probe wants a status and perhaps a word, and comes every few seconds: it is
/// not logged.
fn answer(api: &Api, request: &Request, status: StatusCode, word: &'static str) -> Response {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => {
            let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
            content_response(status, content_type, Bytes::from_static(word.as_bytes()))
        }
        _ => Refusal::from(RouteError::MethodNotAllowed { allow: "GET, HEAD" }).into_response(),
    };
    let request_id = api.request_ids.identify(request.headers());
    request_id.set(response.headers_mut());
    response
}
