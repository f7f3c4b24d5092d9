//! Blobs and manifests to push.

use bytes::Bytes;
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

pub(crate) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Some content.
#[derive(Clone, Debug)]
pub(crate) struct Blob(Bytes);

impl Blob {
    pub(crate) fn new(content: impl Into<Bytes>) -> Self {
        Self(content.into())
    }

    pub(crate) fn text(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }

    pub(crate) fn empty() -> Self {
        Self(Bytes::new())
    }

    /// So many bytes that do not repeat, so that none can be taken for another.
    pub(crate) fn of_size(size: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
        let words = std::iter::repeat_with(|| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let content: Vec<u8> = words.take(size.div_ceil(8)).flatten().take(size).collect();
        Self(content.into())
    }

    pub(crate) fn content(&self) -> Bytes {
        self.0.clone()
    }

    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.0)
    }

    pub(crate) fn sha512(&self) -> Digest {
        Digest::of(Algorithm::Sha512, &self.0)
    }

    /// The descriptor of this content as `media_type`.
    pub(crate) fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest(), "size": self.size()})
    }
}

/// A manifest: the bytes, and the type that they are pushed with.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    media_type: String,
    content: Bytes,
}

impl Manifest {
    pub(crate) fn new(media_type: &str, content: impl Into<Bytes>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            content: content.into(),
        }
    }

    pub(crate) fn of_json(media_type: &str, document: &Value) -> Self {
        Self::new(media_type, document.to_string())
    }

    pub(crate) fn content(&self) -> Bytes {
        self.content.clone()
    }

    pub(crate) fn media_type(&self) -> &str {
        &self.media_type
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.content)
    }

    pub(crate) fn sha512(&self) -> Digest {
        Digest::of(Algorithm::Sha512, &self.content)
    }

    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.digest())
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": self.digest(),
            "size": self.content.len(),
        })
    }
}

/// An image manifest in the making.
#[derive(Clone, Debug)]
pub(crate) struct Image(Value);

impl Image {
    pub(crate) fn with_config(config: &Blob) -> Self {
        Self::with_config_of(config, CONFIG_TYPE)
    }

    pub(crate) fn with_config_of(config: &Blob, media_type: &str) -> Self {
        Self(json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor(media_type),
            "layers": [],
        }))
    }

    pub(crate) fn layer(self, layer: &Blob) -> Self {
        self.layer_of(layer, LAYER_TYPE)
    }

    pub(crate) fn layer_of(mut self, layer: &Blob, media_type: &str) -> Self {
        let layers = self.0["layers"].as_array_mut().expect("a list");
        layers.push(layer.descriptor(media_type));
        self
    }

    /// Sets a field, whatever it is.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    pub(crate) fn annotation(mut self, name: &str, value: &str) -> Self {
        self.0["annotations"][name] = value.into();
        self
    }

    pub(crate) fn subject(self, subject: &Manifest) -> Self {
        self.field("subject", subject.descriptor())
    }

    /// The same image in Docker's format.
    pub(crate) fn docker(self) -> Self {
        self.field("mediaType", DOCKER_MANIFEST)
    }

    pub(crate) fn build(&self) -> Manifest {
        build(&self.0)
    }
}

/// An image index in the making.
#[derive(Clone, Debug)]
pub(crate) struct Index(Value);

impl Index {
    pub(crate) fn of<'a>(children: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let children: Vec<Value> = children.into_iter().map(Manifest::descriptor).collect();
        Self(json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": children,
        }))
    }

    /// Sets a field, whatever it is.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    pub(crate) fn subject(self, subject: &Manifest) -> Self {
        self.field("subject", subject.descriptor())
    }

    /// The same index as a Docker manifest list.
    pub(crate) fn docker(self) -> Self {
        self.field("mediaType", DOCKER_LIST)
    }

    pub(crate) fn build(&self) -> Manifest {
        build(&self.0)
    }
}

fn build(document: &Value) -> Manifest {
    let media_type = document["mediaType"].as_str().expect("a media type");
    Manifest::of_json(media_type, document)
}
