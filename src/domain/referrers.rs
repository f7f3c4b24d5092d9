//! The referrers list: an image index made on the spot.

use serde::Serialize;

use super::descriptor::Descriptor;
use super::media_type::OCI_INDEX;

/// The most bytes of descriptors one referrers page holds. Clients take at
/// least 4 MiB of a manifest, and most follow no `Link`, so a page is as large
/// as they can take and only what is beyond goes to a next one.
pub const LARGEST_REFERRERS_PAGE: usize = 4 * 1024 * 1024 - 4096;

/// Which referrers of a subject are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrersRequest {
    /// Only those of this artifact type.
    pub artifact_type: Option<String>,
    /// Only those after this digest, as text.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Gathers descriptors until the page is full.
#[derive(Debug)]
pub struct ReferrersPage<'a> {
    request: &'a ReferrersRequest,
    descriptors: Vec<Descriptor>,
    bytes: usize,
}

impl<'a> ReferrersPage<'a> {
    /// An empty page.
    #[must_use]
    pub const fn new(request: &'a ReferrersRequest) -> Self {
        Self {
            request,
            descriptors: Vec::new(),
            bytes: 0,
        }
    }

    /// Puts a descriptor on the page if it is asked for; `false` if it is but
    /// there is no more room. The first one always finds room.
    #[must_use]
    pub fn offer(&mut self, descriptor: Descriptor) -> bool {
        let wanted = &self.request.artifact_type;
        if wanted.is_some() && *wanted != descriptor.artifact_type {
            return true;
        }
        if self
            .request
            .limit
            .is_some_and(|limit| self.descriptors.len() >= limit.max(1))
        {
            return false;
        }
        let bytes = serde_json::to_vec(&descriptor).map_or(0, |json| json.len() + 1);
        if !self.descriptors.is_empty() && self.bytes + bytes > LARGEST_REFERRERS_PAGE {
            return false;
        }
        self.bytes += bytes;
        self.descriptors.push(descriptor);
        true
    }

    /// The descriptors on the page.
    #[must_use]
    pub fn into_descriptors(self) -> Vec<Descriptor> {
        self.descriptors
    }
}

/// The image index that a referrers request is answered with.
///
/// spec: end-12a
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrersIndex<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: &'a [Descriptor],
}

impl<'a> ReferrersIndex<'a> {
    /// The index of these descriptors.
    #[must_use]
    pub const fn new(manifests: &'a [Descriptor]) -> Self {
        Self {
            schema_version: 2,
            media_type: OCI_INDEX,
            manifests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::{Algorithm, Digest};

    fn descriptor(name: &str, artifact_type: &str, annotation: usize) -> Descriptor {
        Descriptor {
            media_type: OCI_INDEX.into(),
            digest: Digest::of(Algorithm::Sha256, name.as_bytes()),
            size: 1,
            artifact_type: Some(artifact_type.to_owned()),
            annotations: Some([("a".to_owned(), "x".repeat(annotation))].into()),
        }
    }

    #[test]
    fn a_filter_leaves_the_others_out() {
        let request = ReferrersRequest {
            artifact_type: Some("wanted".to_owned()),
            ..ReferrersRequest::default()
        };
        let mut page = ReferrersPage::new(&request);
        assert!(page.offer(descriptor("1", "wanted", 0)));
        assert!(page.offer(descriptor("2", "other", 0)));
        assert_eq!(page.into_descriptors().len(), 1);
    }

    #[test]
    fn a_page_is_full_at_its_largest_size() {
        let request = ReferrersRequest::default();
        let mut page = ReferrersPage::new(&request);
        assert!(page.offer(descriptor("1", "t", 3 << 20)));
        assert!(!page.offer(descriptor("2", "t", 2 << 20)));
        assert!(page.offer(descriptor("3", "t", 0)));
    }

    #[test]
    fn one_descriptor_always_fits() {
        let request = ReferrersRequest {
            limit: Some(0),
            ..ReferrersRequest::default()
        };
        let mut page = ReferrersPage::new(&request);
        assert!(page.offer(descriptor("1", "t", 5 << 20)));
        assert!(!page.offer(descriptor("2", "t", 0)));
    }
}
