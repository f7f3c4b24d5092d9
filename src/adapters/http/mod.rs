//! The HTTP adapter: from a request to a use case, and back.
//!
//! A request line becomes a [`Route`] in one place (`route`), a route is
//! answered in one function each (`blobs`, `uploads`, `manifests`, `listing`),
//! and an error becomes a response in one table (`refusal`). `server` is below
//! all that: connections, TLS, timeouts and shutdown.

mod blobs;
mod conditional;
mod file_body;
mod health;
mod listing;
mod manifests;
mod mapping;
mod multipart;
mod query;
mod refusal;
mod remote_body;
mod request_body;
mod request_id;
mod request_log;
mod response;
mod route;
pub mod server;
mod uploads;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::any;
use http::{HeaderName, HeaderValue, StatusCode, Version};

pub use self::health::Health;
pub use self::refusal::{Code, Refusal};
pub use self::route::{Route, RouteError};

use self::file_body::Transfer;
use self::request_body::{RequestBody, Room};
use self::request_id::RequestIds;
use self::request_log::RequestLog;
use self::response::{Response, json_response};
use self::server::{ConnectionInfo, Malformed};
use self::watch::{Watch, Watched};
use super::telemetry::{Observer, Tally};
use crate::app::Registry;

/// What old clients recognise a registry by.
const DOCKER_DISTRIBUTION_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// What answering requests takes.
struct Api {
    registry: Arc<Registry>,
    health: Health,
    request_ids: RequestIds,
    manifest_room: Room,
    read_timeout: Duration,
    observer: Observer,
}

/// The registry's API and its health checks.
///
/// The body of a request must make progress within `read_timeout`.
pub fn router(registry: Arc<Registry>, health: Health, read_timeout: Duration) -> Router {
    observed_router(registry, health, read_timeout, Observer::default())
}

/// As [`router`], with every request reported to an observer.
pub fn observed_router(
    registry: Arc<Registry>,
    health: Health,
    read_timeout: Duration,
    observer: Observer,
) -> Router {
    let manifest_room = Room::for_bodies_of(registry.largest_manifest());
    let api = Arc::new(Api {
        manifest_room,
        registry,
        health,
        request_ids: RequestIds::new(),
        read_timeout,
        observer,
    });
    Router::new()
        .route("/livez", any(health::live))
        .route("/readyz", any(health::ready))
        .route("/v2/{*rest}", any(answer))
        .fallback(answer)
        .with_state(api)
}

/// Answers a request, whatever it is, and logs it.
async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let request_id = api.request_ids.identify(request.headers());
    let uri = request.uri();
    let route = Route::parse(request.method(), uri.path(), uri.query());
    let watch = Watch::start(&api.observer, &request, &route, &request_id);
    let mut log = RequestLog::start(&request, &route, request_id.clone(), watch);
    let malformed = request.extensions().get::<Malformed>().copied();
    let answered = match (malformed, route) {
        (Some(malformed), _) => Err(malformed.into()),
        (None, Ok(route)) => {
            let watch = log.watch();
            let tally = watch.map(|watch| Arc::clone(watch.tally()));
            Watched::new(dispatch(&api, route, request, tally), watch).await
        }
        (None, Err(error)) => Err(error.into()),
    };
    let mut response = answered.unwrap_or_else(Refusal::into_response);
    let headers = response.headers_mut();
    request_id.set(headers);
    headers.insert(
        DOCKER_DISTRIBUTION_API_VERSION,
        HeaderValue::from_static("registry/2.0"),
    );
    log.answered(&mut response);
    log.finish_with(response)
}

/// Has a route answered.
async fn dispatch(
    api: &Api,
    route: Route,
    request: Request,
    tally: Option<Arc<Tally>>,
) -> Result<Response, Refusal> {
    let transfer = transfer_of(&request);
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let registry = &*api.registry;
    let body = RequestBody::new(body, headers, api.read_timeout, tally);
    match route {
        Route::Ping => Ok(json_response(StatusCode::OK, &serde_json::json!({}))),
        Route::PullBlob(name, digest) => {
            blobs::pull(registry, &name, &digest, headers, transfer).await
        }
        Route::CheckBlob(name, digest) => blobs::check(registry, &name, &digest, headers).await,
        Route::DeleteBlob(name, digest) => blobs::delete(registry, &name, &digest).await,
        Route::PullManifest(name, reference) => {
            manifests::pull(registry, &name, &reference, headers).await
        }
        Route::CheckManifest(name, reference) => {
            manifests::check(registry, &name, &reference, headers).await
        }
        Route::PushManifest(name, reference, tags) => {
            let room = &api.manifest_room;
            manifests::push(registry, &name, reference, tags, headers, body, room).await
        }
        Route::DeleteManifest(name, reference) => {
            manifests::delete(registry, &name, &reference).await
        }
        Route::BeginUpload(name, algorithm) => uploads::begin(registry, &name, algorithm).await,
        Route::PushBlob(name, digest) => {
            uploads::push(registry, &name, &digest, headers, body).await
        }
        Route::MountBlob(name, digest, from) => {
            uploads::mount(registry, &name, &digest, from.as_ref()).await
        }
        Route::AppendChunk(name, id) => uploads::append(registry, &name, id, headers, body).await,
        Route::FinishUpload(name, id, digest) => {
            uploads::finish(registry, &name, id, &digest, headers, body).await
        }
        Route::UploadStatus(name, id) => uploads::status(registry, &name, id).await,
        Route::CancelUpload(name, id) => uploads::cancel(registry, &name, id).await,
        Route::ListTags(name, page) => listing::tags(registry, &name, &page, headers).await,
        Route::ListReferrers(name, subject, request) => {
            listing::referrers(registry, &name, &subject, &request, headers).await
        }
        Route::ListRepositories(page) => listing::repositories(registry, &page, headers).await,
    }
}

/// How file content may travel on the connection that a request came by.
fn transfer_of(request: &Request) -> Transfer {
    let connection = request.extensions().get::<ConnectionInfo>();
    let is_plain = connection.is_some_and(|connection| !connection.tls);
    match request.version() {
        Version::HTTP_11 | Version::HTTP_10 if is_plain => Transfer::Mapped,
        _ => Transfer::Read,
    }
}
