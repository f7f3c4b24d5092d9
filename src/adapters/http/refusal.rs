//! From an error to the wire: the one table of codes and statuses.

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;

use super::response::{Response, json_response};
use super::route::RouteError;
use super::server::Malformed;
use crate::app::RegistryError;
use crate::ports::StoreErrorKind;

/// How many missing blobs one answer names. No image has as many; a manifest
/// that is made to cost us has tens of thousands.
const MOST_MISSING: usize = 1000;

/// Why a request is refused.
#[derive(Clone, Debug, Error)]
pub enum Refusal {
    /// By its form.
    #[error("the request is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// By its request line.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// By the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// By a header that does not read.
    #[error("{0}")]
    HeaderInvalid(&'static str),
    /// Because of all the others.
    #[error("the registry is receiving too many large manifests at once; try again later")]
    Busy,
    /// The blob has nothing of the range that is asked for.
    #[error("the range lies outside the blob's {size} bytes")]
    RangeNotSatisfiable {
        /// The blob's length in bytes.
        size: u64,
    },
}

/// An error code of the distribution specification, or of its reference
/// implementation where the specification has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the codes")]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    SizeInvalid,
    Unavailable,
    Unknown,
    Unsupported,
}

impl Code {
    /// The code as it stands in an error body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

impl Refusal {
    /// The status and the code that say what it is.
    #[must_use]
    pub fn status_and_code(&self) -> (StatusCode, Code) {
        match self {
            Self::Malformed(malformed) => (of_malformed(*malformed), Code::Unknown),
            Self::Route(error) => of_route(error),
            Self::Registry(error) => of_registry(error),
            Self::HeaderInvalid(_) => (StatusCode::BAD_REQUEST, Code::Unsupported),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::RangeNotSatisfiable { .. } => {
                (StatusCode::RANGE_NOT_SATISFIABLE, Code::Unsupported)
            }
        }
    }

    /// The response, with an error body as the specification has it.
    #[must_use]
    pub fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let message = self.to_string();
        let error = |detail: Value| {
            let mut error = json!({"code": code.as_str(), "message": message});
            if let (Value::Object(error), false) = (&mut error, detail.is_null()) {
                error.insert("detail".to_owned(), detail);
            }
            error
        };
        let errors = match &self {
            Self::Registry(RegistryError::ManifestBlobUnknown(missing)) => missing
                .iter()
                .take(MOST_MISSING)
                .map(|digest| error(json!({"digest": digest})))
                .collect(),
            Self::Registry(RegistryError::DigestMismatch { expected, actual }) => {
                vec![error(json!({"expected": expected, "actual": actual}))]
            }
            Self::Registry(RegistryError::NameUnknown(name)) => vec![error(json!({"name": name}))],
            _ => vec![error(Value::Null)],
        };
        let mut response = json_response(status, &json!({"errors": errors}));
        let headers = response.headers_mut();
        match &self {
            Self::Route(RouteError::MethodNotAllowed { allow }) => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::RangeNotSatisfiable { size } => {
                if let Ok(value) = format!("bytes */{size}").parse() {
                    headers.insert(http::header::CONTENT_RANGE, value);
                }
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response.extensions_mut().insert(Refused(self));
        response
    }
}

/// Left on a response for the log, which tells what the client is not told.
#[derive(Clone, Debug)]
pub(super) struct Refused(pub(super) Refusal);

const fn of_malformed(malformed: Malformed) -> StatusCode {
    match malformed {
        Malformed::Syntax | Malformed::TwoLengths | Malformed::Host | Malformed::BareLineFeed => {
            StatusCode::BAD_REQUEST
        }
        Malformed::LongRequestLine => StatusCode::URI_TOO_LONG,
        Malformed::LargeHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
}

fn of_route(error: &RouteError) -> (StatusCode, Code) {
    match error {
        RouteError::Unknown => (StatusCode::NOT_FOUND, Code::Unsupported),
        RouteError::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported),
        RouteError::NameInvalid(_) => (StatusCode::BAD_REQUEST, Code::NameInvalid),
        RouteError::DigestInvalid(_) | RouteError::DigestMissing => {
            (StatusCode::BAD_REQUEST, Code::DigestInvalid)
        }
        RouteError::TagUnknown(_) => (StatusCode::NOT_FOUND, Code::ManifestUnknown),
        RouteError::TagInvalid(_) | RouteError::TagsBesideTag => {
            (StatusCode::BAD_REQUEST, Code::ManifestInvalid)
        }
        RouteError::TooManyTags(_) => (StatusCode::URI_TOO_LONG, Code::Unsupported),
        RouteError::UploadUnknown(_) => (StatusCode::NOT_FOUND, Code::BlobUploadUnknown),
        RouteError::PageInvalid(_) => (StatusCode::BAD_REQUEST, Code::PaginationNumberInvalid),
    }
}

fn of_registry(error: &RegistryError) -> (StatusCode, Code) {
    match error {
        RegistryError::NameUnknown(_) => (StatusCode::NOT_FOUND, Code::NameUnknown),
        RegistryError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, Code::DigestInvalid),
        // To the client damaged content is not there: what it does about that,
        // pushing it, is what repairs it.
        RegistryError::BlobUnknown(_) | RegistryError::BlobDamaged(_) => {
            (StatusCode::NOT_FOUND, Code::BlobUnknown)
        }
        RegistryError::UploadUnknown => (StatusCode::NOT_FOUND, Code::BlobUploadUnknown),
        RegistryError::ChunkOutOfOrder { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid)
        }
        RegistryError::SizeInvalid => (StatusCode::BAD_REQUEST, Code::SizeInvalid),
        RegistryError::BlobTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
        RegistryError::BodyInterrupted => (StatusCode::BAD_REQUEST, Code::BlobUploadInvalid),
        RegistryError::BodyTimedOut => (StatusCode::REQUEST_TIMEOUT, Code::BlobUploadInvalid),
        RegistryError::ManifestUnknown(_) | RegistryError::ManifestDamaged(_) => {
            (StatusCode::NOT_FOUND, Code::ManifestUnknown)
        }
        RegistryError::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, Code::ManifestInvalid),
        RegistryError::ManifestBlobUnknown(_) => {
            (StatusCode::BAD_REQUEST, Code::ManifestBlobUnknown)
        }
        RegistryError::ManifestTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, Code::ManifestInvalid)
        }
        RegistryError::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, Code::Unsupported),
        RegistryError::StorageFull(_) => (StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable),
        RegistryError::Storage(error) => match error.kind() {
            StoreErrorKind::Temporary => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            StoreErrorKind::Full | StoreErrorKind::Damaged | StoreErrorKind::Permanent => {
                (StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown)
            }
        },
    }
}
