//! What is pushed: a few contents of telling sizes, and manifests.

use std::sync::LazyLock;

use bytes::Bytes;
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::manifest::Role;
use octoserve::domain::media_type::{MediaType, OCI_INDEX, OCI_MANIFEST};
use octoserve::domain::name::{RepositoryName, Tag};
use serde_json::{Value, json};

use super::instructions::Fault;

pub(super) const LARGEST_MANIFEST: u64 = 16 * 1024;
pub(super) const LARGEST_BLOB: u64 = 650_000;

/// Names of which one is the beginning of another, and one that reads like an
/// endpoint.
pub(super) static REPOSITORIES: LazyLock<Vec<RepositoryName>> = LazyLock::new(|| {
    let names = ["a", "a/b", "blobs/uploads"];
    names
        .iter()
        .map(|name| name.parse().expect("a name"))
        .collect()
});

pub(super) static TAGS: LazyLock<Vec<Tag>> = LazyLock::new(|| {
    let tags = ["latest", "1.0", "_tags", "b"];
    tags.iter().map(|tag| tag.parse().expect("a tag")).collect()
});

/// A blob's bytes and what they are called.
pub(super) struct Content {
    pub(super) bytes: Bytes,
    sha256: Digest,
    sha512: Digest,
}

/// Nothing, next to nothing, some, the most that is kept in memory, one more
/// than that, and more than is written at once.
pub(super) static CONTENTS: LazyLock<Vec<Content>> = LazyLock::new(|| {
    let lengths = [0, 1, 1000, 64 * 1024, 64 * 1024 + 1, 600_000];
    lengths.iter().map(|length| Content::new(*length)).collect()
});

impl Content {
    fn new(length: usize) -> Self {
        let bytes: Vec<u8> = (0..length)
            .map(|position| (position * 31 + position / 251) as u8)
            .collect();
        Self {
            sha256: Digest::of(Algorithm::Sha256, &bytes),
            sha512: Digest::of(Algorithm::Sha512, &bytes),
            bytes: bytes.into(),
        }
    }

    pub(super) fn digest(&self, sha512: bool) -> Digest {
        match sha512 {
            false => self.sha256,
            true => self.sha512,
        }
    }
}

pub(super) fn repository(number: usize) -> RepositoryName {
    REPOSITORIES[number % REPOSITORIES.len()].clone()
}

pub(super) fn tag(number: usize) -> Tag {
    TAGS[number % TAGS.len()].clone()
}

pub(super) fn content(number: usize) -> &'static Content {
    &CONTENTS[number % CONTENTS.len()]
}

/// A digest that nothing has.
pub(super) fn nothing() -> Digest {
    static NOTHING: LazyLock<Digest> =
        LazyLock::new(|| Digest::of(Algorithm::Sha256, b"nobody pushes this"));
    *NOTHING
}

/// A manifest as it is pushed, and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) bytes: Bytes,
    pub(super) media_type: MediaType,
    pub(super) references: Vec<(Role, Digest)>,
    pub(super) subject: Option<Digest>,
    pub(super) artifact_type: Option<String>,
    pub(super) fault: Fault,
}

/// The parts of a manifest.
pub(super) enum Parts {
    Image {
        config: usize,
        layers: Vec<usize>,
        foreign: bool,
    },
    Index {
        children: Vec<Digest>,
    },
}

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const FOREIGN_TYPE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

impl Manifest {
    pub(super) fn new(
        parts: &Parts,
        subject: Option<Digest>,
        artifact_type: Option<&str>,
        fault: Fault,
    ) -> Self {
        let (mut document, media_type, mentioned, config_type) = match parts {
            Parts::Image {
                config,
                layers,
                foreign,
            } => {
                let (role, layer_type) = match foreign {
                    true => (Role::NondistributableBlob, FOREIGN_TYPE),
                    false => (Role::Blob, LAYER_TYPE),
                };
                let config = content(*config).digest(false);
                let layers: Vec<Digest> = layers
                    .iter()
                    .map(|layer| content(*layer).digest(false))
                    .collect();
                let mut mentioned = vec![(Role::Blob, config)];
                mentioned.extend(layers.iter().map(|layer| (role, *layer)));
                let layers: Vec<Value> = layers
                    .iter()
                    .map(|layer| entry(layer_type, layer))
                    .collect();
                let document = json!({"config": entry(CONFIG_TYPE, &config), "layers": layers});
                (document, OCI_MANIFEST, mentioned, Some(CONFIG_TYPE))
            }
            Parts::Index { children } => {
                let entries: Vec<Value> = children
                    .iter()
                    .map(|child| entry(OCI_MANIFEST, child))
                    .collect();
                let mentioned = children.iter().map(|child| (Role::Child, *child)).collect();
                (json!({"manifests": entries}), OCI_INDEX, mentioned, None)
            }
        };
        document["schemaVersion"] = json!(2);
        document["mediaType"] = json!(media_type);
        if let Some(artifact_type) = artifact_type {
            document["artifactType"] = json!(artifact_type);
        }
        if let Some(subject) = &subject {
            document["subject"] = entry(OCI_MANIFEST, subject);
        }
        match fault {
            Fault::None => {}
            Fault::Ambiguous => {
                document["manifests"] = json!([]);
                document["layers"] = json!([]);
            }
            Fault::TooLarge => document["x-padding"] = json!("x".repeat(LARGEST_MANIFEST as usize)),
        }
        Self {
            bytes: document.to_string().into(),
            media_type: media_type.into(),
            references: each_once(mentioned),
            subject,
            artifact_type: artifact_type.or(config_type).map(ToOwned::to_owned),
            fault,
        }
    }
}

fn entry(media_type: &str, digest: &Digest) -> Value {
    // Nobody compares this size with anything.
    json!({"mediaType": media_type, "digest": digest, "size": 7})
}

/// Each digest once; required if it is required anywhere.
fn each_once(mentioned: Vec<(Role, Digest)>) -> Vec<(Role, Digest)> {
    let mut references: Vec<(Role, Digest)> = Vec::new();
    for (role, digest) in mentioned {
        match references.iter_mut().find(|(_, known)| *known == digest) {
            Some((known, _)) if *known == Role::NondistributableBlob => *known = role,
            Some(_) => {}
            None => references.push((role, digest)),
        }
    }
    references
}
