//! Upload sessions: begun, asked about, cancelled, expired.

use std::time::{Duration, SystemTime};

use crate::content::Blob;
use crate::registry::over_each_store;

#[test]
fn a_session_is_begun_and_told_by_its_location() {
    over_each_store(async |registry| {
        let begun = registry.post("/v2/a/b/blobs/uploads/").body("").await;
        insta::assert_snapshot!(begun.wire(), @"
        202 Accepted
        content-length: 0
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: 00000000-0000-4000-8000-000000000001
        location: /v2/a/b/blobs/uploads/00000000-0000-4000-8000-000000000001
        range: 0-0
        x-request-id: [request id]
        ");
        let status = registry.get(begun.location()).await;
        insta::assert_snapshot!(status.wire(), @"
        204 No Content
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: 00000000-0000-4000-8000-000000000001
        location: /v2/a/b/blobs/uploads/00000000-0000-4000-8000-000000000001
        range: 0-0
        x-request-id: [request id]
        ");
    });
}

#[test]
fn every_session_is_called_something_else() {
    over_each_store(async |registry| {
        let (first, second) = (registry.begin("a").await, registry.begin("a").await);
        assert_ne!(first, second);
        registry.patch(&first).body("12345").await.expect(202);
        assert_eq!(registry.received(&first).await, "0-4");
        assert_eq!(registry.received(&second).await, "0-0");
    });
}

#[test]
fn the_location_of_a_session_needs_no_query() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        assert!(!location.contains('?'), "{location}");
        let chunk = registry.patch(&location).body("12345").await.expect(202);
        // State is in the path alone, so the first location stays good.
        assert_eq!(chunk.location(), location);
    });
}

#[test]
fn head_tells_what_get_tells_of_a_session() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        registry.patch(&location).body("12345").await.expect(202);
        let head = registry.head(&location).await.expect(204);
        assert_eq!(head.named("range"), Some("0-4"));
        assert_eq!(head.location(), location);
    });
}

#[test]
fn a_cancelled_session_is_gone() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let location = registry.begin("a").await;
        registry
            .patch(&location)
            .body(blob.content())
            .await
            .expect(202);
        let cancelled = registry.delete(&location).body("").await;
        insta::assert_snapshot!(cancelled.wire(), @"
        204 No Content
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]
        ");
        let finish = format!("{location}?digest={}", blob.digest());
        for call in [
            registry.get(&location),
            registry.patch(&location).body("more"),
            registry.put(&finish).body(""),
            registry.delete(&location),
        ] {
            call.await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        }
        let blob = registry.get(format!("/v2/a/blobs/{}", blob.digest())).await;
        blob.expect_error(404, "BLOB_UNKNOWN");
    });
}

#[test]
fn a_session_belongs_to_its_repository() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let location = registry.begin("a/b").await;
        registry
            .patch(&location)
            .body(blob.content())
            .await
            .expect(202);
        for other in ["a", "b", "a/b/c"] {
            let elsewhere = location.replace("/v2/a/b/", &format!("/v2/{other}/"));
            let finish = format!("{elsewhere}?digest={}", blob.digest());
            for call in [
                registry.get(&elsewhere),
                registry.patch(&elsewhere).body("more"),
                registry.put(&finish).body(""),
                registry.delete(&elsewhere),
            ] {
                call.await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
            }
        }
        assert_eq!(registry.received(&location).await, "0-6");
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn a_session_that_never_was_is_unknown() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let location = "/v2/a/blobs/uploads/00000000-0000-4000-8000-0000000000ff";
        for call in [
            registry.get(location),
            registry.head(location),
            registry.patch(location).body("content"),
            registry
                .put(format!("{location}?digest={}", blob.digest()))
                .body("content"),
            registry.delete(location),
        ] {
            call.await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        }
    });
}

#[test]
fn a_session_that_is_left_alone_expires_with_what_it_has() {
    over_each_store(async |registry| {
        let idle = Duration::from_secs(24 * 60 * 60);
        let (empty, begun) = (registry.begin("a").await, registry.begin("a").await);
        registry.patch(&begun).body("12345").await.expect(202);
        // Files are dated by the machine's clock, so it is the limit that moves.
        let recently = SystemTime::now() - idle;
        let expired = registry.registry.expire_uploads(recently).await;
        assert_eq!(expired.expect("a working store"), 0);
        assert_eq!(registry.received(&begun).await, "0-4");
        registry.clock.advance(idle);
        let long_ago = SystemTime::now() + idle;
        let expired = registry.registry.expire_uploads(long_ago).await;
        assert_eq!(expired.expect("a working store"), 2);
        for location in [empty, begun] {
            let gone = registry.get(&location).await;
            gone.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
            let gone = registry.patch(&location).body("6").await;
            gone.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        }
        let expired = registry.registry.expire_uploads(long_ago).await;
        assert_eq!(expired.expect("a working store"), 0);
    });
}

#[test]
fn expiry_leaves_what_was_finished() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        let later = SystemTime::now() + Duration::from_secs(3600);
        let expired = registry.registry.expire_uploads(later).await;
        assert_eq!(expired.expect("a working store"), 0);
        let pulled = registry.get(format!("/v2/a/blobs/{}", blob.digest())).await;
        pulled.expect(200);
    });
}

#[test]
fn an_algorithm_that_is_not_supported_is_refused_when_a_session_begins() {
    over_each_store(async |registry| {
        for algorithm in ["sha256", "sha512"] {
            let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
            registry.post(path).body("").await.expect(202);
        }
        for algorithm in ["", "md5", "SHA256", "sha384", "blake3"] {
            let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
            let refused = registry.post(path).body("").await;
            refused.expect_error(400, "DIGEST_INVALID");
        }
    });
}
