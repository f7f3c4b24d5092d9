//! Responses and the headers that several of them share.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::domain::digest::Digest;

/// A response of the registry.
pub(super) type Response = axum::response::Response;

/// The digest of what a response is about.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");

/// What a value in a query keeps as it is: RFC 3986's unreserved characters,
/// and those that digests and media types are made of.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/');

/// A response without a body.
pub(super) fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// A response whose body is `content`.
pub(super) fn content_response(
    status: StatusCode,
    content_type: HeaderValue,
    content: Bytes,
) -> Response {
    let length = HeaderValue::from(content.len());
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// A response whose body is a JSON document of ours.
pub(super) fn json_response(status: StatusCode, document: &impl Serialize) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    // Our documents are made of texts, numbers and lists, which always encode.
    let content = serde_json::to_vec(document).unwrap_or_default();
    content_response(status, content_type, content.into())
}

/// Says which content a response is about: its digest, which is its entity tag
/// too.
pub(super) fn set_digest(headers: &mut HeaderMap, digest: &Digest) {
    let quoted = format!("\"{digest}\"");
    let unquoted = quoted.trim_matches('"');
    if let (Ok(digest), Ok(entity_tag)) = (
        HeaderValue::from_str(unquoted),
        HeaderValue::from_str(&quoted),
    ) {
        headers.insert(DOCKER_CONTENT_DIGEST, digest);
        headers.insert(ETAG, entity_tag);
    }
}

/// Says where something is: a path, so that it holds behind every proxy.
pub(super) fn set_location(headers: &mut HeaderMap, path: &str) {
    if let Ok(path) = HeaderValue::from_str(path) {
        headers.insert(LOCATION, path);
    }
}

/// Says where the next page is.
pub(super) fn set_next_page(headers: &mut HeaderMap, path: &str, parameters: &[(&str, &str)]) {
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY_VALUE)))
        .collect();
    let link = format!("<{path}?{}>; rel=\"next\"", parameters.join("&"));
    if let Ok(link) = HeaderValue::from_str(&link) {
        headers.insert(LINK, link);
    }
}
