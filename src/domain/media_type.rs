//! Media types of manifests and of what they describe.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The content type of blobs and of parts of them.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A Docker image manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list, version 2.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A media type without parameters, as a manifest or a client names it.
///
/// It is kept as it was given: comparing types is case-sensitive here, because
/// a manifest is answered with exactly the type that it was pushed with.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(Arc<str>);

impl MediaType {
    /// How many bytes a media type has at the most.
    pub(super) const LONGEST: usize = 255;

    /// The media type of a `Content-Type` header: what stands before the
    /// parameters. `None` if there is nothing, or what no header could hold.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        let bare = value.split(';').next().unwrap_or_default().trim();
        let valid = !bare.is_empty()
            && bare.len() <= Self::LONGEST
            && bare.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self(bare.into()))
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a layer of this type is not to be distributed: its bytes live
/// elsewhere (`urls`), so a registry does not ask for them.
#[must_use]
pub fn is_nondistributable(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}
