//! List requests: tags, referrers, repositories.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::conditional::list_response;
use super::refusal::Refusal;
use super::response::{Response, set_next_page};
use crate::app::Registry;
use crate::domain::digest::Digest;
use crate::domain::media_type::OCI_INDEX;
use crate::domain::name::{RepositoryName, Tag};
use crate::domain::page::PageRequest;
use crate::domain::referrers::{ReferrersIndex, ReferrersRequest};

/// Says that a filter was applied.
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a RepositoryName,
    tags: &'a [Tag],
}

#[derive(Serialize)]
struct Catalog<'a> {
    repositories: &'a [RepositoryName],
}

/// spec: end-8
pub(super) async fn tags(
    registry: &Registry,
    repository: &RepositoryName,
    request: &PageRequest,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let page = registry.tags(repository, request).await?;
    let list = TagList {
        name: repository,
        tags: &page.entries,
    };
    let mut response = list_response(headers, "application/json", &list);
    if let (true, Some(last)) = (page.more, page.entries.last()) {
        let path = format!("/v2/{repository}/tags/list");
        let n = request.size().to_string();
        let parameters = [("n", &*n), ("last", last.as_str())];
        set_next_page(response.headers_mut(), &path, &parameters);
    }
    Ok(response)
}

/// The catalog, as the reference implementation has it.
pub(super) async fn repositories(
    registry: &Registry,
    request: &PageRequest,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let page = registry.repositories(request).await?;
    let catalog = Catalog {
        repositories: &page.entries,
    };
    let mut response = list_response(headers, "application/json", &catalog);
    if let (true, Some(last)) = (page.more, page.entries.last()) {
        let n = request.size().to_string();
        let parameters = [("n", &*n), ("last", last.as_str())];
        set_next_page(response.headers_mut(), "/v2/_catalog", &parameters);
    }
    Ok(response)
}

/// spec: end-12
pub(super) async fn referrers(
    registry: &Registry,
    repository: &RepositoryName,
    subject: &Digest,
    request: &ReferrersRequest,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let page = registry.referrers(repository, subject, request).await?;
    let index = ReferrersIndex::new(&page.descriptors);
    let mut response = list_response(headers, OCI_INDEX, &index);
    if request.artifact_type.is_some() {
        response.headers_mut().insert(
            OCI_FILTERS_APPLIED,
            HeaderValue::from_static("artifactType"),
        );
    }
    if let Some(after) = page.next_after {
        let after = after.to_string();
        let limit = request.limit.map(|limit| limit.to_string());
        let mut parameters = vec![("last", &*after)];
        parameters.extend(limit.as_deref().map(|limit| ("n", limit)));
        let artifact_type = request.artifact_type.as_deref();
        parameters.extend(artifact_type.map(|artifact_type| ("artifactType", artifact_type)));
        let path = format!("/v2/{repository}/referrers/{subject}");
        set_next_page(response.headers_mut(), &path, &parameters);
    }
    Ok(response)
}
