//! Upload requests: begin, mount, push, append, finish, status, cancel.

use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::refusal::Refusal;
use super::request_body::RequestBody;
use super::response::{Response, empty_response, set_digest, set_location};
use crate::app::{Chunk, ClaimedBlob, Registry, RegistryError};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::domain::upload::{UploadId, received_range};

/// What an upload session is called, for clients that do not read it from the
/// location.
const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// spec: end-4a, end-4c
pub(super) async fn begin(
    registry: &Registry,
    repository: &RepositoryName,
    algorithm: Algorithm,
) -> Result<Response, Refusal> {
    let id = registry.begin_upload(repository, algorithm).await?;
    let mut response = empty_response(StatusCode::ACCEPTED);
    set_session(response.headers_mut(), repository, id, 0);
    Ok(response)
}

/// spec: end-11. A blob that is not there is to be pushed: the answer is then
/// that of [`begin`].
pub(super) async fn mount(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    from: Option<&RepositoryName>,
) -> Result<Response, Refusal> {
    match registry.mount_blob(repository, digest, from).await? {
        Some(blob) => Ok(created(repository, &blob)),
        None => begin(registry, repository, digest.algorithm()).await,
    }
}

/// spec: end-4b
pub(super) async fn push(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Response, Refusal> {
    let chunk = chunk(headers, body)?;
    let blob = registry.push_blob(repository, digest, chunk).await?;
    Ok(created(repository, &blob))
}

/// spec: end-5
pub(super) async fn append(
    registry: &Registry,
    repository: &RepositoryName,
    id: UploadId,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Response, Refusal> {
    let chunk = chunk(headers, body)?;
    match registry.append_chunk(repository, id, chunk).await {
        Ok(received) => {
            let mut response = empty_response(StatusCode::ACCEPTED);
            set_session(response.headers_mut(), repository, id, received);
            Ok(response)
        }
        Err(error) => refused(repository, id, error),
    }
}

/// spec: end-6
pub(super) async fn finish(
    registry: &Registry,
    repository: &RepositoryName,
    id: UploadId,
    digest: &Digest,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Response, Refusal> {
    let chunk = chunk(headers, body)?;
    match registry.finish_upload(repository, id, chunk, digest).await {
        Ok(blob) => Ok(created(repository, &blob)),
        Err(error) => refused(repository, id, error),
    }
}

/// spec: end-13
pub(super) async fn status(
    registry: &Registry,
    repository: &RepositoryName,
    id: UploadId,
) -> Result<Response, Refusal> {
    let received = registry.upload_received(repository, id).await?;
    // 204 has no body, so no length either.
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_session(response.headers_mut(), repository, id, received);
    Ok(response)
}

/// spec: end-14
pub(super) async fn cancel(
    registry: &Registry,
    repository: &RepositoryName,
    id: UploadId,
) -> Result<Response, Refusal> {
    registry.cancel_upload(repository, id).await?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn chunk(headers: &HeaderMap, body: RequestBody) -> Result<Chunk, Refusal> {
    let range = match headers.get(CONTENT_RANGE) {
        None => None,
        Some(value) => {
            let invalid = Refusal::HeaderInvalid(
                "the Content-Range of a chunk reads <first byte>-<last byte>",
            );
            let Some(range) = value.to_str().ok().and_then(|value| value.parse().ok()) else {
                return Err(invalid);
            };
            Some(range)
        }
    };
    Ok(Chunk {
        range,
        length: body.length(),
        body: body.stream(),
    })
}

/// A refusal; to a chunk at the wrong place it adds where the right one is.
fn refused(
    repository: &RepositoryName,
    id: UploadId,
    error: RegistryError,
) -> Result<Response, Refusal> {
    let RegistryError::ChunkOutOfOrder { received } = error else {
        return Err(error.into());
    };
    let mut response = Refusal::from(error).into_response();
    set_session(response.headers_mut(), repository, id, received);
    Ok(response)
}

/// Says where a session goes on, and how far it has come. All that a session
/// is lies in the path: some clients drop a query.
fn set_session(headers: &mut HeaderMap, repository: &RepositoryName, id: UploadId, received: u64) {
    set_location(headers, &format!("/v2/{repository}/blobs/uploads/{id}"));
    if let Ok(range) = HeaderValue::from_str(&received_range(received)) {
        headers.insert(RANGE, range);
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(DOCKER_UPLOAD_UUID, id);
    }
}

fn created(repository: &RepositoryName, blob: &ClaimedBlob) -> Response {
    let mut response = empty_response(StatusCode::CREATED);
    let headers = response.headers_mut();
    set_digest(headers, blob.digest());
    set_location(
        headers,
        &format!("/v2/{repository}/blobs/{}", blob.digest()),
    );
    response
}
