//! Taking a blob from a repository.

use crate::content::{Blob, Image};
use crate::registry::over_each_store;

#[test]
fn a_deleted_blob_is_gone_at_once() {
    over_each_store(async |registry| {
        for blob in [Blob::text("content"), Blob::of_size(100_000)] {
            registry.holding("a", &blob).await;
            let path = format!("/v2/a/blobs/{}", blob.digest());
            // Pulled first, so that it would be in any cache.
            registry.get(&path).await.expect(200);
            registry.delete(&path).await.expect(202);
            for call in [
                registry.get(&path),
                registry.head(&path),
                registry.delete(&path),
            ] {
                call.await.expect_error(404, "BLOB_UNKNOWN");
            }
            registry.holding("a", &blob).await;
            assert_eq!(registry.get(&path).await.expect(200).body, blob.content());
        }
        let blob = Blob::text("content");
        let path = format!("/v2/a/blobs/{}", blob.digest());
        let deleted = registry.delete(path).await;
        insta::assert_snapshot!(deleted.wire(), @"
        202 Accepted
        content-length: 0
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]
        ");
    });
}

#[test]
fn a_blob_that_is_deleted_in_one_repository_stays_in_the_others() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(100_000);
        for repository in ["a", "a/b", "c"] {
            registry.holding(repository, &blob).await;
        }
        let path = |repository| format!("/v2/{repository}/blobs/{}", blob.digest());
        registry.delete(path("a")).await.expect(202);
        registry.get(path("a")).await.expect(404);
        for repository in ["a/b", "c"] {
            let pulled = registry.get(path(repository)).await.expect(200);
            assert_eq!(pulled.body, blob.content());
        }
    });
}

#[test]
fn a_manifest_outlives_its_blobs_but_is_not_pushed_without_them() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        registry.holding("a", &config).await;
        registry.holding("a", &layer).await;
        let image = Image::with_config(&config).layer(&layer).build();
        registry.push("a", "v1", &image).await;
        let path = format!("/v2/a/blobs/{}", layer.digest());
        registry.delete(path).await.expect(202);
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, image.content());
        let again = registry.put("/v2/a/manifests/v2").body(image.content());
        again.await.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    });
}

#[test]
fn a_manifest_is_no_blob_unless_it_was_pushed_as_one() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let path = format!("/v2/a/blobs/{}", image.digest());
        registry.get(&path).await.expect_error(404, "BLOB_UNKNOWN");
        registry
            .delete(&path)
            .await
            .expect_error(404, "BLOB_UNKNOWN");
        // And the other way round, though content is kept once.
        let blob = Blob::new(image.content());
        registry.holding("b", &blob).await;
        let path = format!("/v2/b/manifests/{}", blob.digest());
        registry
            .get(&path)
            .await
            .expect_error(404, "MANIFEST_UNKNOWN");
    });
}
