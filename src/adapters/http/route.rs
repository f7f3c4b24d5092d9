//! From a request line to what is asked for: one pure parser for every route.
//!
//! A repository may have components called `blobs`, `manifests`, `tags` or
//! `uploads`, so a path is read from the right. Nothing is decoded before the
//! grammar has seen it, but for references and digests, in which clients write
//! `:` as `%3A`.

use http::Method;
use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::query::Query;
use crate::domain::digest::{Algorithm, Digest, ParseDigestError};
use crate::domain::name::{
    ParseReferenceError, ParseRepositoryNameError, ParseTagError, Reference, RepositoryName, Tag,
};
use crate::domain::page::{PageRequest, ParsePageError};
use crate::domain::referrers::ReferrersRequest;
use crate::domain::upload::{ParseUploadIdError, UploadId};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Whether this is a registry. spec: end-1
    Ping,
    /// A blob's bytes. spec: end-2
    PullBlob(RepositoryName, Digest),
    /// Whether a blob is there. spec: end-2
    CheckBlob(RepositoryName, Digest),
    /// A blob taken from a repository. spec: end-10
    DeleteBlob(RepositoryName, Digest),
    /// A manifest's bytes. spec: end-3
    PullManifest(RepositoryName, Reference),
    /// Whether a manifest is there. spec: end-3
    CheckManifest(RepositoryName, Reference),
    /// A manifest pushed, to a tag, or to a digest and tags. spec: end-7
    PushManifest(RepositoryName, Reference, Vec<Tag>),
    /// A tag or a manifest deleted. spec: end-9
    DeleteManifest(RepositoryName, Reference),
    /// An upload session begun. spec: end-4a, end-4c
    BeginUpload(RepositoryName, Algorithm),
    /// A blob pushed in one request. spec: end-4b
    PushBlob(RepositoryName, Digest),
    /// A blob mounted, from wherever it is if no repository is named.
    /// spec: end-11
    MountBlob(RepositoryName, Digest, Option<RepositoryName>),
    /// A chunk appended. spec: end-5
    AppendChunk(RepositoryName, UploadId),
    /// An upload finished. spec: end-6
    FinishUpload(RepositoryName, UploadId, Digest),
    /// How far an upload has come. spec: end-13
    UploadStatus(RepositoryName, UploadId),
    /// An upload cancelled. spec: end-14
    CancelUpload(RepositoryName, UploadId),
    /// The tags of a repository. spec: end-8
    ListTags(RepositoryName, PageRequest),
    /// The manifests that refer to one. spec: end-12
    ListReferrers(RepositoryName, Digest, ReferrersRequest),
    /// The repositories. Not in the specification, but in every client.
    ListRepositories(PageRequest),
}

/// Why a request line asks for nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// No resource of a registry has this path.
    #[error("there is nothing at this path")]
    Unknown,
    /// The resource has no such method.
    #[error("the resource has the methods {allow}")]
    MethodNotAllowed {
        /// Those it has, as an `Allow` header lists them.
        allow: &'static str,
    },
    /// The repository's name breaks the grammar.
    #[error(transparent)]
    NameInvalid(#[from] ParseRepositoryNameError),
    /// A digest breaks the grammar or has an unknown algorithm.
    #[error(transparent)]
    DigestInvalid(#[from] ParseDigestError),
    /// A manifest is asked for by what no tag can be, so none is there.
    #[error(transparent)]
    TagUnknown(ParseTagError),
    /// A manifest is pushed to what no tag can be.
    #[error(transparent)]
    TagInvalid(ParseTagError),
    /// Tags besides a tag: they go with a push by digest.
    #[error("the parameter tag goes with a push by digest")]
    TagsBesideTag,
    /// More tags than one push may set.
    #[error("one push sets at most {0} tags")]
    TooManyTags(usize),
    /// An upload is finished without saying as what.
    #[error("the parameter digest says what the upload is finished as")]
    DigestMissing,
    /// The upload session is called by what is no UUID, so none is there.
    #[error(transparent)]
    UploadUnknown(#[from] ParseUploadIdError),
    /// `n` is no number.
    #[error(transparent)]
    PageInvalid(#[from] ParsePageError),
}

/// The most tags that one push by digest sets; the specification wants ten.
const MOST_TAGS: usize = 100;

impl Route {
    /// Reads a request line.
    ///
    /// # Errors
    /// When it asks for nothing that there is; see [`RouteError`].
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        let query = Query(query);
        let rest = match path {
            "/v2" | "/v2/" => {
                return match *method {
                    Method::GET | Method::HEAD => Ok(Self::Ping),
                    _ => Err(not_allowed("GET, HEAD")),
                };
            }
            _ => path.strip_prefix("/v2/").ok_or(RouteError::Unknown)?,
        };
        if rest == "_catalog" {
            return match *method {
                Method::GET | Method::HEAD => Ok(Self::ListRepositories(page(query)?)),
                _ => Err(not_allowed("GET, HEAD")),
            };
        }
        // An upload collection has a trailing slash, which some clients drop.
        let uploads = rest
            .strip_suffix("/blobs/uploads/")
            .or_else(|| rest.strip_suffix("/blobs/uploads"));
        if let Some(name) = uploads {
            return Self::parse_uploads(method, name.parse()?, query);
        }
        let (parent, last) = rest.rsplit_once('/').ok_or(RouteError::Unknown)?;
        let (name, resource) = parent.rsplit_once('/').ok_or(RouteError::Unknown)?;
        match (resource, last) {
            ("blobs", digest) => Self::parse_blob(method, name, digest),
            ("manifests", reference) => Self::parse_manifest(method, name, reference, query),
            ("tags", "list") => match *method {
                Method::GET | Method::HEAD => Ok(Self::ListTags(name.parse()?, page(query)?)),
                _ => Err(not_allowed("GET, HEAD")),
            },
            ("referrers", digest) => Self::parse_referrers(method, name, digest, query),
            ("uploads", id) => match name.rsplit_once('/') {
                Some((name, "blobs")) => Self::parse_upload(method, name, id, query),
                _ => Err(RouteError::Unknown),
            },
            _ => Err(RouteError::Unknown),
        }
    }

    /// What kind of request it is, in a word or two that do not depend on names,
    /// for logs.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Ping => "/v2/",
            Self::PullBlob(..) | Self::CheckBlob(..) | Self::DeleteBlob(..) => {
                "/v2/{name}/blobs/{digest}"
            }
            Self::PullManifest(..)
            | Self::CheckManifest(..)
            | Self::PushManifest(..)
            | Self::DeleteManifest(..) => "/v2/{name}/manifests/{reference}",
            Self::BeginUpload(..) | Self::PushBlob(..) | Self::MountBlob(..) => {
                "/v2/{name}/blobs/uploads/"
            }
            Self::AppendChunk(..)
            | Self::FinishUpload(..)
            | Self::UploadStatus(..)
            | Self::CancelUpload(..) => "/v2/{name}/blobs/uploads/{session}",
            Self::ListTags(..) => "/v2/{name}/tags/list",
            Self::ListReferrers(..) => "/v2/{name}/referrers/{digest}",
            Self::ListRepositories(..) => "/v2/_catalog",
        }
    }

    /// The use case that answers the request, in a few words for traces.
    #[must_use]
    pub const fn use_case(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::PullBlob(..) => "pull blob",
            Self::CheckBlob(..) => "check blob",
            Self::DeleteBlob(..) => "delete blob",
            Self::PullManifest(..) => "pull manifest",
            Self::CheckManifest(..) => "check manifest",
            Self::PushManifest(..) => "push manifest",
            Self::DeleteManifest(_, Reference::Tag(_)) => "delete tag",
            Self::DeleteManifest(_, Reference::Digest(_)) => "delete manifest",
            Self::BeginUpload(..) => "begin upload",
            Self::PushBlob(..) => "push blob",
            Self::MountBlob(..) => "mount blob",
            Self::AppendChunk(..) => "append chunk",
            Self::FinishUpload(..) => "finish upload",
            Self::UploadStatus(..) => "upload status",
            Self::CancelUpload(..) => "cancel upload",
            Self::ListTags(..) => "list tags",
            Self::ListReferrers(..) => "list referrers",
            Self::ListRepositories(..) => "list repositories",
        }
    }

    /// The digest that the request is about, if it names one.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::PullBlob(_, digest)
            | Self::CheckBlob(_, digest)
            | Self::DeleteBlob(_, digest)
            | Self::PullManifest(_, Reference::Digest(digest))
            | Self::CheckManifest(_, Reference::Digest(digest))
            | Self::PushManifest(_, Reference::Digest(digest), _)
            | Self::DeleteManifest(_, Reference::Digest(digest))
            | Self::PushBlob(_, digest)
            | Self::MountBlob(_, digest, _)
            | Self::FinishUpload(_, _, digest)
            | Self::ListReferrers(_, digest, _) => Some(digest),
            _ => None,
        }
    }

    /// The tag that the request is about, if it names one.
    #[must_use]
    pub const fn tag(&self) -> Option<&Tag> {
        match self {
            Self::PullManifest(_, Reference::Tag(tag))
            | Self::CheckManifest(_, Reference::Tag(tag))
            | Self::PushManifest(_, Reference::Tag(tag), _)
            | Self::DeleteManifest(_, Reference::Tag(tag)) => Some(tag),
            _ => None,
        }
    }

    /// The upload session that the request is about, if it names one.
    #[must_use]
    pub const fn upload(&self) -> Option<UploadId> {
        match self {
            Self::AppendChunk(_, id)
            | Self::FinishUpload(_, id, _)
            | Self::UploadStatus(_, id)
            | Self::CancelUpload(_, id) => Some(*id),
            _ => None,
        }
    }

    /// The repository that the request is about, if it is about one.
    #[must_use]
    pub const fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Ping | Self::ListRepositories(_) => None,
            Self::PullBlob(name, _)
            | Self::CheckBlob(name, _)
            | Self::DeleteBlob(name, _)
            | Self::PullManifest(name, _)
            | Self::CheckManifest(name, _)
            | Self::PushManifest(name, ..)
            | Self::DeleteManifest(name, _)
            | Self::BeginUpload(name, _)
            | Self::PushBlob(name, _)
            | Self::MountBlob(name, ..)
            | Self::AppendChunk(name, _)
            | Self::FinishUpload(name, ..)
            | Self::UploadStatus(name, _)
            | Self::CancelUpload(name, _)
            | Self::ListTags(name, _)
            | Self::ListReferrers(name, ..) => Some(name),
        }
    }

    fn parse_blob(method: &Method, name: &str, digest: &str) -> Result<Self, RouteError> {
        let route = match *method {
            Method::GET => Self::PullBlob,
            Method::HEAD => Self::CheckBlob,
            Method::DELETE => Self::DeleteBlob,
            _ => return Err(not_allowed("GET, HEAD, DELETE")),
        };
        Ok(route(name.parse()?, decoded(digest).parse()?))
    }

    fn parse_manifest(
        method: &Method,
        name: &str,
        reference: &str,
        query: Query<'_>,
    ) -> Result<Self, RouteError> {
        let name = name.parse()?;
        let reference = decoded(reference).parse();
        if *method == Method::PUT {
            return match reference {
                Ok(reference) => {
                    let tags = pushed_tags(&reference, query)?;
                    Ok(Self::PushManifest(name, reference, tags))
                }
                Err(ParseReferenceError::Tag(error)) => Err(RouteError::TagInvalid(error)),
                Err(ParseReferenceError::Digest(error)) => Err(error.into()),
            };
        }
        let route = match *method {
            Method::GET => Self::PullManifest,
            Method::HEAD => Self::CheckManifest,
            Method::DELETE => Self::DeleteManifest,
            _ => return Err(not_allowed("GET, HEAD, PUT, DELETE")),
        };
        match reference {
            Ok(reference) => Ok(route(name, reference)),
            Err(ParseReferenceError::Tag(error)) => Err(RouteError::TagUnknown(error)),
            Err(ParseReferenceError::Digest(error)) => Err(error.into()),
        }
    }

    fn parse_uploads(
        method: &Method,
        name: RepositoryName,
        query: Query<'_>,
    ) -> Result<Self, RouteError> {
        if *method != Method::POST {
            return Err(not_allowed("POST"));
        }
        if let Some(digest) = query.first("mount") {
            let from = query.first("from").filter(|from| !from.is_empty());
            let from = from.map(|from| from.parse()).transpose()?;
            return Ok(Self::MountBlob(name, digest.parse()?, from));
        }
        if let Some(digest) = query.first("digest") {
            return Ok(Self::PushBlob(name, digest.parse()?));
        }
        let algorithm = match query.first("digest-algorithm") {
            Some(algorithm) => algorithm.parse()?,
            None => Algorithm::Sha256,
        };
        Ok(Self::BeginUpload(name, algorithm))
    }

    fn parse_upload(
        method: &Method,
        name: &str,
        id: &str,
        query: Query<'_>,
    ) -> Result<Self, RouteError> {
        let name = name.parse()?;
        match *method {
            Method::PATCH => Ok(Self::AppendChunk(name, id.parse()?)),
            Method::PUT => {
                let id = id.parse()?;
                let digest = query.first("digest").ok_or(RouteError::DigestMissing)?;
                Ok(Self::FinishUpload(name, id, digest.parse()?))
            }
            Method::GET | Method::HEAD => Ok(Self::UploadStatus(name, id.parse()?)),
            Method::DELETE => Ok(Self::CancelUpload(name, id.parse()?)),
            _ => Err(not_allowed("GET, HEAD, PATCH, PUT, DELETE")),
        }
    }

    fn parse_referrers(
        method: &Method,
        name: &str,
        digest: &str,
        query: Query<'_>,
    ) -> Result<Self, RouteError> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(not_allowed("GET, HEAD"));
        }
        let PageRequest { limit, after } = page(query)?;
        let artifact_type = query.first("artifactType");
        let request = ReferrersRequest {
            artifact_type: artifact_type
                .filter(|artifact_type| !artifact_type.is_empty())
                .map(std::borrow::Cow::into_owned),
            after,
            limit,
        };
        Ok(Self::ListReferrers(
            name.parse()?,
            decoded(digest).parse()?,
            request,
        ))
    }
}

const fn not_allowed(allow: &'static str) -> RouteError {
    RouteError::MethodNotAllowed { allow }
}

fn decoded(segment: &str) -> std::borrow::Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

fn page(query: Query<'_>) -> Result<PageRequest, ParsePageError> {
    let (n, last) = (query.first("n"), query.first("last"));
    PageRequest::parse(n.as_deref(), last.as_deref())
}

fn pushed_tags(reference: &Reference, query: Query<'_>) -> Result<Vec<Tag>, RouteError> {
    let mut tags: Vec<Tag> = Vec::new();
    for tag in query.all("tag") {
        let tag = tag.parse().map_err(RouteError::TagInvalid)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > MOST_TAGS {
            return Err(RouteError::TooManyTags(MOST_TAGS));
        }
    }
    match reference {
        Reference::Tag(_) if !tags.is_empty() => Err(RouteError::TagsBesideTag),
        _ => Ok(tags),
    }
}

#[cfg(test)]
mod tests;
