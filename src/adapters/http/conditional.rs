//! Conditional reads: whether the client has already what it asks for.

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::response::{Response, content_response};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::precondition::EntityTags;

/// Whether `If-None-Match` names the entity tag of what would be answered.
pub(super) fn is_unchanged(headers: &HeaderMap, entity_tag: &str) -> bool {
    entity_tags(headers, IF_NONE_MATCH).is_some_and(|tags| tags.includes(entity_tag))
}

/// The entity tags of a header; several lines of it are one list. What does not
/// read is a condition that cannot be met, not one that is not there.
pub(super) fn entity_tags(headers: &HeaderMap, name: HeaderName) -> Option<EntityTags> {
    let mut lines = headers
        .get_all(name)
        .iter()
        .map(|line| line.to_str().unwrap_or_default());
    let first = lines.next()?;
    Some(match lines.next() {
        None => EntityTags::parse(first),
        Some(second) => {
            let all: Vec<&str> = [first, second].into_iter().chain(lines).collect();
            EntityTags::parse(&all.join(","))
        }
    })
}

/// Answers with a list, or with 304 if the client has just this one. A list has
/// no digest of its own, so its entity tag is made from its bytes.
pub(super) fn list_response(
    headers: &HeaderMap,
    content_type: &'static str,
    list: &impl serde::Serialize,
) -> Response {
    let content = serde_json::to_vec(list).unwrap_or_default();
    let entity_tag = Digest::of(Algorithm::Sha256, &content).to_hex();
    let mut response = if is_unchanged(headers, &entity_tag) {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        content_response(
            StatusCode::OK,
            HeaderValue::from_static(content_type),
            content.into(),
        )
    };
    if let Ok(entity_tag) = HeaderValue::from_str(&format!("\"{entity_tag}\"")) {
        response.headers_mut().insert(ETAG, entity_tag);
    }
    response
}
