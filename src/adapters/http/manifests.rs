//! Manifest requests: pull, check, push, delete.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::conditional::{entity_tags, is_unchanged};
use super::refusal::Refusal;
use super::request_body::{CollectError, RequestBody, Room, RoomTaken};
use super::response::{Response, content_response, empty_response, set_digest, set_location};
use crate::app::{FoundManifest, ManifestPush, PushedTo, Registry, RegistryError};
use crate::domain::media_type::MediaType;
use crate::domain::name::{Reference, RepositoryName, Tag};
use crate::domain::precondition::Preconditions;
use crate::ports::body::BodyError;

/// Says that a manifest is listed under its subject.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Says which tags a push by digest has set.
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// spec: end-3. What is stored is answered whatever `Accept` says: clients
/// leave types out that they understand, and a manifest is never converted.
pub(super) async fn pull(
    registry: &Registry,
    repository: &RepositoryName,
    reference: &Reference,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let manifest = registry.find_manifest(repository, reference).await?;
    if is_unchanged(headers, &manifest.digest().to_string()) {
        return described(&manifest, StatusCode::NOT_MODIFIED);
    }
    let content = registry.manifest_content(&manifest).await?;
    let mut response = content_response(StatusCode::OK, content_type(&manifest)?, content);
    set_digest(response.headers_mut(), manifest.digest());
    Ok(response)
}

/// spec: end-3
pub(super) async fn check(
    registry: &Registry,
    repository: &RepositoryName,
    reference: &Reference,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let manifest = registry.find_manifest(repository, reference).await?;
    if is_unchanged(headers, &manifest.digest().to_string()) {
        return described(&manifest, StatusCode::NOT_MODIFIED);
    }
    // A damaged manifest is not there: whoever asks is about to pull it.
    let content = registry.manifest_content(&manifest).await?;
    let mut response = described(&manifest, StatusCode::OK)?;
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, content.len().into());
    Ok(response)
}

/// spec: end-7
pub(super) async fn push(
    registry: &Registry,
    repository: &RepositoryName,
    reference: Reference,
    tags: Vec<Tag>,
    headers: &HeaderMap,
    body: RequestBody,
    room: &Room,
) -> Result<Response, Refusal> {
    // The room is taken for as long as the content is here.
    let (content, _taken) = content(registry, body, room).await?;
    let target = match reference {
        Reference::Tag(tag) => PushedTo::Tag(tag, preconditions(headers)),
        Reference::Digest(digest) => PushedTo::Digest(digest, tags.clone()),
    };
    let push = ManifestPush {
        content,
        content_type: headers
            .get(CONTENT_TYPE)
            .and_then(|value| MediaType::from_header(value.to_str().ok()?)),
        target,
    };
    let accepted = registry.put_manifest(repository, &push).await?;
    let mut response = empty_response(StatusCode::CREATED);
    let response_headers = response.headers_mut();
    set_digest(response_headers, &accepted.digest);
    let location = format!("/v2/{repository}/manifests/{}", accepted.digest);
    set_location(response_headers, &location);
    if let Some(subject) = accepted.subject {
        append(response_headers, OCI_SUBJECT, &subject.to_string());
    }
    for tag in &tags {
        append(response_headers, OCI_TAG, tag.as_str());
    }
    Ok(response)
}

/// spec: end-9
pub(super) async fn delete(
    registry: &Registry,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Response, Refusal> {
    match reference {
        Reference::Tag(tag) => registry.delete_tag(repository, tag).await?,
        Reference::Digest(digest) => registry.delete_manifest(repository, digest).await?,
    }
    Ok(empty_response(StatusCode::ACCEPTED))
}

/// The body of a push, which is read no further than a manifest may be long.
async fn content<'a>(
    registry: &Registry,
    body: RequestBody,
    room: &'a Room,
) -> Result<(Bytes, RoomTaken<'a>), Refusal> {
    let limit = registry.largest_manifest();
    body.collect(limit, room)
        .await
        .map_err(|error| match error {
            CollectError::NoRoom => Refusal::Busy,
            CollectError::Body(BodyError::TooLarge) => {
                RegistryError::ManifestTooLarge { limit }.into()
            }
            CollectError::Body(error) => RegistryError::body(error, limit).into(),
        })
}

fn preconditions(headers: &HeaderMap) -> Preconditions {
    Preconditions {
        if_match: entity_tags(headers, IF_MATCH),
        if_none_match: entity_tags(headers, IF_NONE_MATCH),
    }
}

/// A response about a manifest, without its body.
fn described(manifest: &FoundManifest, status: StatusCode) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(manifest)?);
    set_digest(headers, manifest.digest());
    Ok(response)
}

fn content_type(manifest: &FoundManifest) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(manifest.media_type().as_str())
        .map_err(|_| RegistryError::ManifestDamaged(*manifest.digest()).into())
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}
