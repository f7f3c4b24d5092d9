//! A blob in a single POST.

use axum::body::Body;
use futures_util::stream;

use crate::content::Blob;
use crate::registry::over_each_store;

fn path(repository: &str, digest: impl std::fmt::Display) -> String {
    format!("/v2/{repository}/blobs/uploads/?digest={digest}")
}

#[test]
fn a_blob_in_a_single_post_is_stored_and_told() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let call = registry.post(path("a/b", blob.digest()));
        let created = call.body(blob.content()).await;
        insta::assert_snapshot!(created.wire(), @r#"
        201 Created
        content-length: 0
        docker-content-digest: sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
        docker-distribution-api-version: registry/2.0
        etag: "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
        location: /v2/a/b/blobs/sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
        x-request-id: [request id]
        "#);
        let pulled = registry.get(created.location()).await.expect(200);
        assert_eq!(pulled.body, blob.content());
    });
}

#[test]
fn a_single_post_may_be_empty_large_or_chunked() {
    over_each_store(async |registry| {
        for size in [0, 1, 2_000_000] {
            let blob = Blob::of_size(size);
            registry.holding("a", &blob).await;
            let call = registry.post(path("b", blob.digest()));
            let pieces: Vec<_> = blob.content().chunks(70_001).map(<[u8]>::to_vec).collect();
            call.pieces(pieces).await.expect(201);
            for repository in ["a", "b"] {
                let path = format!("/v2/{repository}/blobs/{}", blob.digest());
                assert_eq!(registry.get(path).await.expect(200).body, blob.content());
            }
        }
    });
}

/// Nobody knows a session that such a push could be gone on with, so none stays.
#[test]
fn a_single_post_that_fails_leaves_nothing_behind() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let target = path("a", blob.digest());
        let wrong = registry.post(&target).body("012345678x").await;
        wrong.expect_error(400, "DIGEST_INVALID");
        let short = registry
            .post(&target)
            .pieces(["01234"])
            .announcing(10)
            .await;
        short.expect_error(400, "SIZE_INVALID");
        let long = registry
            .post(&target)
            .pieces(["0123456789a"])
            .announcing(10)
            .await;
        long.expect_error(400, "SIZE_INVALID");
        let pieces = [Ok("01234"), Err(std::io::Error::other("reset by peer"))];
        let broken = registry
            .post(&target)
            .stream(Body::from_stream(stream::iter(pieces)));
        broken.await.expect_error(400, "BLOB_UPLOAD_INVALID");
        let pulled = registry.get(format!("/v2/a/blobs/{}", blob.digest())).await;
        pulled.expect_error(404, "BLOB_UNKNOWN");
        let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
        let stale = registry.registry.expire_uploads(tomorrow).await;
        assert_eq!(stale.expect("a working store"), 0);
    });
}
