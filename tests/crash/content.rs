//! Content to push.

use bytes::Bytes;
use futures_util::stream;
use octoserve::app::Chunk;
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::media_type::{MediaType, OCI_INDEX, OCI_MANIFEST};
use octoserve::domain::name::{RepositoryName, Tag};
use octoserve::ports::body::Body;
use serde_json::{Value, json};

/// How large the pieces are that a body arrives in.
const PIECE: usize = 500_000;

/// A repository by its name.
pub(crate) fn repository(name: &str) -> RepositoryName {
    name.parse().expect("a repository name")
}

/// A tag by its name.
pub(crate) fn tag(name: &str) -> Tag {
    name.parse().expect("a tag")
}

/// `length` bytes that differ with `seed`.
pub(crate) fn bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let words = std::iter::repeat_with(next);
    words.flatten().take(length).collect::<Vec<u8>>().into()
}

/// The SHA-256 of some content.
pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// A chunk of a blob that goes where the last one ended.
pub(crate) fn chunk(content: &Bytes) -> Chunk {
    Chunk {
        range: None,
        length: Some(content.len() as u64),
        body: body(content),
    }
}

fn body(content: &Bytes) -> Body {
    let content = content.clone();
    let starts = (0..content.len()).step_by(PIECE);
    let pieces = starts.map(move |start| {
        let end = content.len().min(start + PIECE);
        Ok(content.slice(start..end))
    });
    Box::pin(stream::iter(pieces))
}

/// A manifest and the type it is pushed with.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) content: Bytes,
    pub(crate) media_type: MediaType,
}

impl Document {
    fn new(media_type: &'static str, document: &Value) -> Self {
        Self {
            content: document.to_string().into(),
            media_type: media_type.into(),
        }
    }

    /// An image of these blobs, the first one its config.
    pub(crate) fn image(blobs: &[Bytes]) -> Self {
        Self::image_about(blobs, None)
    }

    /// An image of these blobs that is about another manifest.
    pub(crate) fn image_about(blobs: &[Bytes], subject: Option<&Self>) -> Self {
        let described = |blob: &Bytes, media_type: &str| {
            json!({
                "mediaType": media_type,
                "digest": digest(blob).to_string(),
                "size": blob.len(),
            })
        };
        let config = described(&blobs[0], "application/vnd.oci.image.config.v1+json");
        let layers: Vec<Value> = blobs[1..]
            .iter()
            .map(|blob| described(blob, "application/vnd.oci.image.layer.v1.tar"))
            .collect();
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": layers,
        });
        if let Some(subject) = subject {
            document["subject"] = subject.described();
        }
        Self::new(OCI_MANIFEST, &document)
    }

    /// An index of these manifests.
    pub(crate) fn index(manifests: &[Self]) -> Self {
        let manifests: Vec<Value> = manifests.iter().map(Self::described).collect();
        let document = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": manifests,
        });
        Self::new(OCI_INDEX, &document)
    }

    /// The digest of the manifest.
    pub(crate) fn digest(&self) -> Digest {
        digest(&self.content)
    }

    fn described(&self) -> Value {
        json!({
            "mediaType": self.media_type.as_str(),
            "digest": self.digest().to_string(),
            "size": self.content.len(),
        })
    }
}
