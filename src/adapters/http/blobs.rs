//! Blob requests: pull, check, delete.

use axum::body::Body;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, LOCATION,
    RANGE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::conditional::is_unchanged;
use super::file_body::{FileBody, Transfer};
use super::multipart::{self, MultipartBody};
use super::refusal::Refusal;
use super::remote_body::RemoteBody;
use super::response::{Response, empty_response, set_digest};
use crate::app::{ClaimedBlob, Registry};
use crate::domain::digest::Digest;
use crate::domain::media_type::OCTET_STREAM;
use crate::domain::name::RepositoryName;
use crate::domain::range::{ByteRange, Selection, select};
use crate::ports::blob_store::BlobSource;

/// spec: end-2
pub(super) async fn pull(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    headers: &HeaderMap,
    transfer: Transfer,
) -> Result<Response, Refusal> {
    let blob = registry.find_blob(repository, digest).await?;
    if is_unchanged(headers, &digest.to_string()) {
        return Ok(described(StatusCode::NOT_MODIFIED, &blob));
    }
    let (range, status) = match selection(headers, &blob) {
        Selection::Whole => (None, StatusCode::OK),
        Selection::Single(range) => (Some(range), StatusCode::PARTIAL_CONTENT),
        Selection::Several(ranges) => return several(registry, &blob, &ranges, transfer).await,
        Selection::Unsatisfiable => {
            return Err(Refusal::RangeNotSatisfiable { size: blob.size() });
        }
    };
    let source = registry.open_blob(&blob, range).await?;
    let body = match source {
        BlobSource::Memory(bytes) => Body::from(bytes),
        BlobSource::File(file, part) => Body::new(FileBody::new(file, part, transfer)),
        BlobSource::Remote(content, part) => {
            let body = RemoteBody::new(content, part).begun().await;
            Body::new(body.map_err(|error| blob.unreadable(error))?)
        }
        BlobSource::Redirect(url) => return Ok(elsewhere(&blob, &url)),
    };
    let mut response = described(status, &blob);
    let length = range.map_or(blob.size(), |range| range.length());
    set_body(&mut response, body, length);
    if let Some(range) = range {
        let value = range.content_range(blob.size());
        set_header(&mut response, CONTENT_RANGE, &value);
    }
    Ok(response)
}

/// spec: end-2
pub(super) async fn check(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let blob = registry.check_blob(repository, digest).await?;
    if is_unchanged(headers, &digest.to_string()) {
        return Ok(described(StatusCode::NOT_MODIFIED, &blob));
    }
    let mut response = described(StatusCode::OK, &blob);
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, blob.size().into());
    Ok(response)
}

/// spec: end-10
pub(super) async fn delete(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Response, Refusal> {
    registry.delete_blob(repository, digest).await?;
    Ok(empty_response(StatusCode::ACCEPTED))
}

async fn several(
    registry: &Registry,
    blob: &ClaimedBlob,
    ranges: &[ByteRange],
    transfer: Transfer,
) -> Result<Response, Refusal> {
    // Opened once: the ranges of one request may be a thousand.
    let whole = registry.open_blob(blob, None).await?;
    if let BlobSource::Redirect(url) = whole {
        return Ok(elsewhere(blob, &url));
    }
    let mut parts = MultipartBody::default();
    for range in ranges {
        parts.push(*range, blob.size(), whole.part(*range), transfer);
    }
    let (parts, length) = parts.end();
    let mut response = described(StatusCode::PARTIAL_CONTENT, blob);
    set_body(&mut response, Body::new(parts), length);
    set_header(&mut response, CONTENT_TYPE, &multipart::content_type());
    Ok(response)
}

/// What part of the blob is asked for. An `If-Range` of other content, or of a
/// date, which content without a date cannot match, asks for all of it.
fn selection(headers: &HeaderMap, blob: &ClaimedBlob) -> Selection {
    let Some(range) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Selection::Whole;
    };
    // It compares strongly: a weak entity tag, with its W/, never matches.
    let applies = headers.get(IF_RANGE).is_none_or(|value| {
        let quoted = format!("\"{}\"", blob.digest());
        value.as_bytes().trim_ascii() == quoted.as_bytes()
    });
    match applies {
        true => select(range, blob.size()),
        false => Selection::Whole,
    }
}

/// A response about a blob, without its body.
fn described(status: StatusCode, blob: &ClaimedBlob) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set_digest(headers, blob.digest());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTET_STREAM));
    // Content never changes under its digest. Who may see it may change, so
    // only the client itself is to keep it.
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=31536000, immutable"),
    );
    response
}

/// Sends the client to where the bytes are. It asks there for the same range.
fn elsewhere(blob: &ClaimedBlob, url: &str) -> Response {
    let mut response = described(StatusCode::TEMPORARY_REDIRECT, blob);
    set_header(&mut response, LOCATION, url);
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONTENT_LENGTH, 0.into());
    // The link expires, the content does not.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn set_body(response: &mut Response, body: Body, length: u64) {
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
}

fn set_header(response: &mut Response, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
