//! Manifests: what a pushed document refers to.
//!
//! A manifest is kept byte for byte as it came. What is read from it here are
//! only the facts that the registry acts on; anything else it holds is the
//! clients' business.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use super::digest::Digest;
use super::media_type::{
    DOCKER_LIST, DOCKER_MANIFEST, MediaType, OCI_INDEX, OCI_MANIFEST, is_nondistributable,
};

/// Why a document is not a manifest that Octoserve stores.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// The bytes are not the JSON of a manifest.
    #[error("the manifest does not parse: {0}")]
    Unreadable(String),
    /// The Docker schema 1 format, whose bytes do not say what they refer to.
    #[error("Docker image manifests of schema version 1 are not supported: push schema 2 or OCI")]
    SchemaVersion1,
    /// A schema version that is neither 1 nor 2, or none.
    #[error("a manifest's schemaVersion is 2")]
    SchemaVersion,
    /// The request's `Content-Type` and the manifest's `mediaType` differ.
    #[error("the Content-Type is {header} but the manifest's mediaType is {body}")]
    MediaTypesDiffer {
        /// What the request said.
        header: MediaType,
        /// What the manifest says.
        body: MediaType,
    },
    /// A type that is not a manifest's.
    #[error("{0} is not the media type of an OCI or Docker image manifest or index")]
    UnknownMediaType(MediaType),
    /// Neither request nor manifest says what it is, nor do its fields.
    #[error("neither Content-Type nor mediaType says what kind of manifest this is")]
    NoMediaType,
    /// An image manifest without a config.
    #[error("an image manifest has a config")]
    NoConfig,
    /// An image manifest with `manifests`, or an index with `config` or
    /// `layers`: two clients could read two different images from it.
    #[error("the manifest has fields of both an image manifest and an index")]
    Ambiguous,
}

/// How a manifest refers to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The config of an image manifest, or a layer: a blob.
    Blob,
    /// A layer whose bytes live elsewhere, and may be here too.
    NondistributableBlob,
    /// An entry of an index: a manifest.
    Child,
}

/// One thing that a manifest refers to, other than its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestReference {
    /// What it is.
    pub role: Role,
    /// Its digest.
    pub digest: Digest,
}

/// What the registry acts on of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The type it is stored and answered with.
    pub media_type: MediaType,
    /// All that it refers to, each digest once, in the order of first mention.
    pub references: Vec<ManifestReference>,
    /// The manifest that it is about; it need not exist.
    pub subject: Option<Digest>,
    /// What kind of artifact it is: its `artifactType`, or for an image manifest
    /// without one its config's media type.
    pub artifact_type: Option<String>,
    /// Its annotations, if it has the field.
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Object<Entry>>,
    layers: Option<Vec<Object<Entry>>>,
    manifests: Option<Vec<Object<Entry>>>,
    subject: Option<Object<Entry>>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    // Read so that an entry without a size, or with a negative one, is refused.
    #[serde(rename = "size")]
    _size: u64,
}

/// A struct that is read from an object only. Serde would also read it from a
/// list of its fields' values, in which no client finds a digest.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, fields: M) -> Result<T, M::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Index,
}

impl Manifest {
    /// Reads a manifest that was pushed with `content_type`, if any was given.
    ///
    /// # Errors
    /// When it is not a manifest that can be stored; the error says why.
    pub fn parse(bytes: &[u8], content_type: Option<&MediaType>) -> Result<Self, ManifestError> {
        // Of bytes, fields that are not read would be skipped whatever they hold.
        let text = std::str::from_utf8(bytes).map_err(unreadable)?;
        let Object(document): Object<Document> = serde_json::from_str(text).map_err(unreadable)?;
        match document.schema_version {
            Some(2) => {}
            Some(1) => return Err(ManifestError::SchemaVersion1),
            _ => return Err(ManifestError::SchemaVersion),
        }
        let media_type = media_type_of(&document, content_type)?;
        match kind_of(&media_type)? {
            Kind::Image => parse_image(document, media_type),
            Kind::Index => parse_index(document, media_type),
        }
    }
}

/// Says why, without all of the manifest that it quotes.
fn unreadable(error: impl fmt::Display) -> ManifestError {
    const LONGEST: usize = 200;
    let mut reason = error.to_string();
    if reason.len() > LONGEST {
        reason.truncate(reason.floor_char_boundary(LONGEST));
        reason.push('…');
    }
    ManifestError::Unreadable(reason)
}

fn media_type_of(
    document: &Document,
    content_type: Option<&MediaType>,
) -> Result<MediaType, ManifestError> {
    // Some clients send a generic type for whatever they upload; it says no
    // more than its absence does.
    let header = content_type.filter(|header| {
        !matches!(
            header.as_str(),
            "application/json" | "application/octet-stream" | "text/plain"
        )
    });
    let body = document
        .media_type
        .as_deref()
        .filter(|body| !body.is_empty());
    if body.is_some_and(|body| body.len() > MediaType::LONGEST) {
        return Err(unreadable("its mediaType is too long"));
    }
    let body = body.map(MediaType::from);
    match (header, body) {
        (Some(header), Some(body)) if *header != body => Err(ManifestError::MediaTypesDiffer {
            header: header.clone(),
            body,
        }),
        (_, Some(body)) => Ok(body),
        (Some(header), None) => Ok(header.clone()),
        (None, None) => match (&document.config, &document.manifests) {
            (Some(_), None) => Ok(OCI_MANIFEST.into()),
            (None, Some(_)) => Ok(OCI_INDEX.into()),
            _ => Err(ManifestError::NoMediaType),
        },
    }
}

fn kind_of(media_type: &MediaType) -> Result<Kind, ManifestError> {
    match media_type.as_str() {
        OCI_MANIFEST | DOCKER_MANIFEST => Ok(Kind::Image),
        OCI_INDEX | DOCKER_LIST => Ok(Kind::Index),
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
            Err(ManifestError::SchemaVersion1)
        }
        _ => Err(ManifestError::UnknownMediaType(media_type.clone())),
    }
}

fn parse_image(document: Document, media_type: MediaType) -> Result<Manifest, ManifestError> {
    if document.manifests.is_some() {
        return Err(ManifestError::Ambiguous);
    }
    let Object(config) = document.config.ok_or(ManifestError::NoConfig)?;
    let layers = document.layers.unwrap_or_default();
    let layers = layers.iter().map(|Object(layer)| layer);
    let blobs = std::iter::once(&config).chain(layers).map(|entry| {
        let role = if is_nondistributable(&entry.media_type) {
            Role::NondistributableBlob
        } else {
            Role::Blob
        };
        (role, entry.digest)
    });
    Ok(Manifest {
        media_type,
        references: each_once(blobs),
        subject: document.subject.map(|Object(subject)| subject.digest),
        artifact_type: non_empty(document.artifact_type).or(non_empty(Some(config.media_type))),
        annotations: document.annotations,
    })
}

fn parse_index(document: Document, media_type: MediaType) -> Result<Manifest, ManifestError> {
    if document.config.is_some() || document.layers.is_some() {
        return Err(ManifestError::Ambiguous);
    }
    let children = document.manifests.unwrap_or_default();
    let children = children.iter().map(|Object(child)| child);
    Ok(Manifest {
        media_type,
        references: each_once(children.map(|entry| (Role::Child, entry.digest))),
        subject: document.subject.map(|Object(subject)| subject.digest),
        artifact_type: non_empty(document.artifact_type),
        annotations: document.annotations,
    })
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Drops repeated digests. A blob that is once required is required, whatever
/// else a manifest calls it.
fn each_once(entries: impl Iterator<Item = (Role, Digest)>) -> Vec<ManifestReference> {
    let mut positions = std::collections::HashMap::new();
    let mut references: Vec<ManifestReference> = Vec::new();
    for (role, digest) in entries {
        let position = *positions.entry(digest).or_insert(references.len());
        match references.get_mut(position) {
            None => references.push(ManifestReference { role, digest }),
            Some(known) if known.role == Role::NondistributableBlob => known.role = role,
            Some(_) => {}
        }
    }
    references
}

#[cfg(test)]
mod tests;
