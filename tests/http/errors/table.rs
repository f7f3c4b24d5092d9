//! The table: every reason there is, with its status and its code.

use http_body_util::BodyExt;
use octoserve::adapters::http::server::Malformed;
use octoserve::adapters::http::{Refusal, RouteError};
use octoserve::app::RegistryError;
use octoserve::domain::digest::{Digest, ParseDigestError};
use octoserve::domain::manifest::ManifestError;
use octoserve::domain::name::{ParseRepositoryNameError, ParseTagError, Reference};
use octoserve::domain::page::ParsePageError;
use octoserve::domain::upload::ParseUploadIdError;
use octoserve::ports::{StoreError, StoreErrorKind};

use crate::content::Blob;

/// What only the log may say.
const SECRET: &str = "/srv/data/blobs on disk sdb";

fn digest() -> Digest {
    Blob::text("content").digest()
}

fn store_error(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "read", SECRET).caused_by(std::io::Error::other(SECRET))
}

fn route_errors() -> Vec<(RouteError, u16, &'static str)> {
    vec![
        (RouteError::Unknown, 404, "UNSUPPORTED"),
        (
            RouteError::MethodNotAllowed { allow: "GET" },
            405,
            "UNSUPPORTED",
        ),
        (
            RouteError::NameInvalid(ParseRepositoryNameError),
            400,
            "NAME_INVALID",
        ),
        (
            RouteError::DigestInvalid(ParseDigestError::Malformed),
            400,
            "DIGEST_INVALID",
        ),
        (
            RouteError::DigestInvalid(ParseDigestError::UnsupportedAlgorithm),
            400,
            "DIGEST_INVALID",
        ),
        (
            RouteError::TagUnknown(ParseTagError),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            RouteError::TagInvalid(ParseTagError),
            400,
            "MANIFEST_INVALID",
        ),
        (RouteError::TagsBesideTag, 400, "MANIFEST_INVALID"),
        (RouteError::TooManyTags(100), 414, "UNSUPPORTED"),
        (RouteError::DigestMissing, 400, "DIGEST_INVALID"),
        (
            RouteError::UploadUnknown(ParseUploadIdError),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            RouteError::PageInvalid(ParsePageError),
            400,
            "PAGINATION_NUMBER_INVALID",
        ),
    ]
}

fn registry_errors() -> Vec<(RegistryError, u16, &'static str)> {
    let name = "a/b".parse().expect("a name");
    let other = Blob::text("other").digest();
    let reference = Reference::Digest(digest());
    vec![
        (RegistryError::NameUnknown(name), 404, "NAME_UNKNOWN"),
        (
            RegistryError::DigestMismatch {
                expected: digest(),
                actual: other,
            },
            400,
            "DIGEST_INVALID",
        ),
        (RegistryError::BlobUnknown(digest()), 404, "BLOB_UNKNOWN"),
        (RegistryError::BlobDamaged(digest()), 404, "BLOB_UNKNOWN"),
        (RegistryError::UploadUnknown, 404, "BLOB_UPLOAD_UNKNOWN"),
        (
            RegistryError::ChunkOutOfOrder { received: 3 },
            416,
            "BLOB_UPLOAD_INVALID",
        ),
        (RegistryError::SizeInvalid, 400, "SIZE_INVALID"),
        (
            RegistryError::BlobTooLarge { limit: 10 },
            413,
            "SIZE_INVALID",
        ),
        (RegistryError::BodyInterrupted, 400, "BLOB_UPLOAD_INVALID"),
        (RegistryError::BodyTimedOut, 408, "BLOB_UPLOAD_INVALID"),
        (
            RegistryError::ManifestUnknown(reference),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            RegistryError::ManifestDamaged(digest()),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            RegistryError::ManifestInvalid(ManifestError::NoConfig),
            400,
            "MANIFEST_INVALID",
        ),
        (
            RegistryError::ManifestBlobUnknown(vec![digest()]),
            400,
            "MANIFEST_BLOB_UNKNOWN",
        ),
        (
            RegistryError::ManifestTooLarge { limit: 10 },
            413,
            "MANIFEST_INVALID",
        ),
        (RegistryError::PreconditionFailed, 412, "UNSUPPORTED"),
        (
            RegistryError::StorageFull(store_error(StoreErrorKind::Full)),
            507,
            "UNAVAILABLE",
        ),
        (
            RegistryError::Storage(store_error(StoreErrorKind::Temporary)),
            503,
            "UNAVAILABLE",
        ),
        (
            RegistryError::Storage(store_error(StoreErrorKind::Permanent)),
            500,
            "UNKNOWN",
        ),
        (
            RegistryError::Storage(store_error(StoreErrorKind::Damaged)),
            500,
            "UNKNOWN",
        ),
    ]
}

fn malformations() -> Vec<(Malformed, u16, &'static str)> {
    vec![
        (Malformed::Syntax, 400, "UNKNOWN"),
        (Malformed::TwoLengths, 400, "UNKNOWN"),
        (Malformed::Host, 400, "UNKNOWN"),
        (Malformed::BareLineFeed, 400, "UNKNOWN"),
        (Malformed::LongRequestLine, 414, "UNKNOWN"),
        (Malformed::LargeHead, 431, "UNKNOWN"),
    ]
}

fn refusals() -> Vec<(Refusal, u16, &'static str)> {
    let routes = route_errors().into_iter().map(|(error, status, code)| {
        // A new variant is to be listed above: this does not compile without it.
        match &error {
            RouteError::Unknown
            | RouteError::MethodNotAllowed { .. }
            | RouteError::NameInvalid(_)
            | RouteError::DigestInvalid(_)
            | RouteError::TagUnknown(_)
            | RouteError::TagInvalid(_)
            | RouteError::TagsBesideTag
            | RouteError::TooManyTags(_)
            | RouteError::DigestMissing
            | RouteError::UploadUnknown(_)
            | RouteError::PageInvalid(_) => (Refusal::from(error), status, code),
        }
    });
    let registry = registry_errors()
        .into_iter()
        .map(|(error, status, code)| match &error {
            RegistryError::NameUnknown(_)
            | RegistryError::DigestMismatch { .. }
            | RegistryError::BlobUnknown(_)
            | RegistryError::BlobDamaged(_)
            | RegistryError::UploadUnknown
            | RegistryError::ChunkOutOfOrder { .. }
            | RegistryError::SizeInvalid
            | RegistryError::BlobTooLarge { .. }
            | RegistryError::BodyInterrupted
            | RegistryError::BodyTimedOut
            | RegistryError::ManifestUnknown(_)
            | RegistryError::ManifestDamaged(_)
            | RegistryError::ManifestInvalid(_)
            | RegistryError::ManifestBlobUnknown(_)
            | RegistryError::ManifestTooLarge { .. }
            | RegistryError::PreconditionFailed
            | RegistryError::StorageFull(_)
            | RegistryError::Storage(_) => (Refusal::from(error), status, code),
        });
    let malformations =
        malformations()
            .into_iter()
            .map(|(malformed, status, code)| match malformed {
                Malformed::Syntax
                | Malformed::TwoLengths
                | Malformed::Host
                | Malformed::BareLineFeed
                | Malformed::LongRequestLine
                | Malformed::LargeHead => (Refusal::from(malformed), status, code),
            });
    let own = [
        (
            Refusal::HeaderInvalid("the header does not read"),
            400,
            "UNSUPPORTED",
        ),
        (Refusal::Busy, 503, "UNAVAILABLE"),
        (
            Refusal::RangeNotSatisfiable { size: 10 },
            416,
            "UNSUPPORTED",
        ),
    ];
    routes
        .chain(registry)
        .chain(malformations)
        .chain(own)
        .collect()
}

#[test]
fn every_reason_has_its_status_and_its_code() {
    for (refusal, status, code) in refusals() {
        let (actual_status, actual_code) = refusal.status_and_code();
        assert_eq!(actual_status.as_u16(), status, "{refusal:?}");
        assert_eq!(actual_code.as_str(), code, "{refusal:?}");
    }
}

#[tokio::test]
async fn every_reason_is_told_in_the_form_of_the_specification_and_no_further() {
    for (refusal, status, code) in refusals() {
        let told = format!("{refusal:?}");
        let response = refusal.into_response();
        assert_eq!(response.status().as_u16(), status, "{told}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.expect("a body");
        let body = body.to_bytes();
        let text = std::str::from_utf8(&body).expect("text");
        assert!(!text.contains(SECRET), "{text}");
        let body: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let errors = body["errors"].as_array().expect("a list");
        assert!(!errors.is_empty(), "{told}");
        for error in errors {
            assert_eq!(error["code"], code, "{told}");
            let message = error["message"].as_str().expect("a message");
            assert!(!message.is_empty(), "{told}");
            assert!(!code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        }
    }
}

#[test]
fn a_reason_that_passes_says_when_to_come_back() {
    for (refusal, status, _) in refusals() {
        let retry_after = refusal
            .into_response()
            .headers()
            .get("retry-after")
            .cloned();
        assert_eq!(retry_after.is_some(), status == 503, "{status}");
    }
}
