//! A store that fails: what every route makes of it.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::RETRY_AFTER;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::RepositoryName;
use octoserve::domain::range::ByteRange;
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::domain::upload::{UploadId, UploadSession};
use octoserve::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobStat, BlobVersion, FinishOutcome, HashedBlob,
    Leftover, ListedBlob, UploadStatus,
};
use octoserve::ports::body::Body;
use octoserve::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, WriteOutcome,
};
use octoserve::ports::{BlobStore, RecordStore, StoreError, StoreErrorKind};

use crate::content::{Blob, Image};
use crate::registry::{Setup, TestRegistry};

/// Fails whatever it is asked for, in one way.
struct FailingStore(StoreErrorKind);

impl FailingStore {
    fn failure<T>(&self) -> Result<T, StoreError> {
        let source = std::io::Error::other("No such file or directory (os error 2)");
        Err(StoreError::new(self.0, "open", "/tmp/data/staging/1").caused_by(source))
    }
}

#[async_trait]
impl BlobStore for FailingStore {
    async fn stat(&self, _: &Digest) -> Result<Option<BlobStat>, StoreError> {
        self.failure()
    }

    async fn open(
        &self,
        _: &Digest,
        _: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        self.failure()
    }

    async fn read(&self, _: &Digest, _: u64) -> Result<Option<Bytes>, StoreError> {
        self.failure()
    }

    async fn hash(&self, _: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        self.failure()
    }

    async fn put(&self, _: &Digest, _: Bytes) -> Result<BlobStat, StoreError> {
        self.failure()
    }

    async fn touch(&self, _: &Digest) -> Result<bool, StoreError> {
        self.failure()
    }

    async fn list(&self, _: Option<&Digest>, _: usize) -> Result<Vec<ListedBlob>, StoreError> {
        self.failure()
    }

    async fn remove_if_unchanged(
        &self,
        _: &Digest,
        _: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        self.failure()
    }

    async fn begin(&self, _: &UploadSession) -> Result<(), StoreError> {
        self.failure()
    }

    async fn upload(&self, _: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        self.failure()
    }

    async fn append(
        &self,
        _: UploadId,
        _: Option<u64>,
        _: Body,
    ) -> Result<AppendOutcome, StoreError> {
        self.failure()
    }

    async fn finish(
        &self,
        _: UploadId,
        _: Option<u64>,
        _: Body,
        _: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        self.failure()
    }

    async fn abandon(&self, _: UploadId) -> Result<bool, StoreError> {
        self.failure()
    }

    async fn stale_uploads(&self, _: SystemTime, _: usize) -> Result<Vec<UploadId>, StoreError> {
        self.failure()
    }

    async fn leftovers(&self, _: SystemTime, _: usize) -> Result<Vec<Leftover>, StoreError> {
        self.failure()
    }

    async fn remove_leftover(&self, _: &Leftover) -> Result<bool, StoreError> {
        self.failure()
    }
}

#[async_trait]
impl RecordStore for FailingStore {
    async fn get(&self, _: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.failure()
    }

    async fn write(&self, _: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        self.failure()
    }

    async fn remove(&self, _: &RecordKey, _: &Expected) -> Result<RemoveOutcome, StoreError> {
        self.failure()
    }

    async fn list(
        &self,
        _: &RecordSet,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.failure()
    }

    async fn repositories(
        &self,
        _: Option<&RepositoryName>,
        _: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        self.failure()
    }
}

fn failing(kind: StoreErrorKind) -> TestRegistry {
    let store = Arc::new(FailingStore(kind));
    TestRegistry::over(&Setup::default(), Arc::default(), store, None)
}

/// A failure is never told as a miss: a client that reads 404 would push again,
/// or delete what it thinks nobody has.
#[tokio::test]
async fn a_failing_store_is_an_error_of_the_server_on_every_route() {
    let blob = Blob::text("content");
    let digest = blob.digest();
    let image = Image::with_config(&blob).build();
    let session = "00000000-0000-4000-8000-000000000001";
    let calls = [
        (Method::GET, format!("/v2/a/blobs/{digest}")),
        (Method::HEAD, format!("/v2/a/blobs/{digest}")),
        (Method::DELETE, format!("/v2/a/blobs/{digest}")),
        (Method::GET, "/v2/a/manifests/v1".to_owned()),
        (Method::HEAD, format!("/v2/a/manifests/{digest}")),
        (Method::DELETE, "/v2/a/manifests/v1".to_owned()),
        (Method::DELETE, format!("/v2/a/manifests/{digest}")),
        (Method::PUT, "/v2/a/manifests/v1".to_owned()),
        (Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?digest={digest}"),
        ),
        (Method::POST, format!("/v2/a/blobs/uploads/?mount={digest}")),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?mount={digest}&from=b"),
        ),
        (Method::GET, format!("/v2/a/blobs/uploads/{session}")),
        (Method::PATCH, format!("/v2/a/blobs/uploads/{session}")),
        (
            Method::PUT,
            format!("/v2/a/blobs/uploads/{session}?digest={digest}"),
        ),
        (Method::DELETE, format!("/v2/a/blobs/uploads/{session}")),
        (Method::GET, "/v2/a/tags/list".to_owned()),
        (Method::GET, format!("/v2/a/referrers/{digest}")),
        (Method::GET, "/v2/_catalog".to_owned()),
    ];
    for (kind, status, code) in [
        (StoreErrorKind::Full, 507, "UNAVAILABLE"),
        (StoreErrorKind::Temporary, 503, "UNAVAILABLE"),
        (StoreErrorKind::Damaged, 500, "UNKNOWN"),
        (StoreErrorKind::Permanent, 500, "UNKNOWN"),
    ] {
        let registry = failing(kind);
        for (method, path) in &calls {
            let call = registry.call(method.clone(), path).body(image.content());
            // That nothing internal is told is what every answer is held to.
            let answer = call.await.expect_error(status, code);
            let retry_after = answer.header(RETRY_AFTER);
            assert_eq!(retry_after.is_some(), status == 503, "{path}");
        }
    }
}

#[tokio::test]
async fn what_asks_nothing_of_the_store_is_answered_without_it() {
    let registry = failing(StoreErrorKind::Permanent);
    registry.get("/v2/").await.expect(200);
    registry.get("/v2/a").await.expect(404);
    registry.post("/v2/_catalog").await.expect(405);
    let empty = registry.get("/v2/a/tags/list?n=x").await;
    empty.expect_error(400, "PAGINATION_NUMBER_INVALID");
}
