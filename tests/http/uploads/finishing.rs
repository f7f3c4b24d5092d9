//! The end of an upload: what becomes a blob, and what does not.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_RANGE;

use crate::content::Blob;
use crate::registry::over_each_store;

fn finish(location: &str, digest: impl std::fmt::Display) -> String {
    format!("{location}?digest={digest}")
}

#[test]
fn a_blob_in_one_put_is_stored_and_told() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let location = registry.begin("a/b").await;
        let call = registry.put(finish(&location, blob.digest()));
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
fn a_blob_arrives_whole_by_every_way_in() {
    over_each_store(async |registry| {
        for size in [0, 1, 1000, 65_536, 65_537, 3_000_000] {
            let blob = Blob::of_size(size);
            let content = blob.content();
            let (head, tail) = (content.slice(..size / 2), content.slice(size / 2..));
            for way in 0..5 {
                let repository = format!("way-{way}");
                let location = registry.begin(&repository).await;
                let put = registry.put(finish(&location, blob.digest()));
                let call = match way {
                    0 => put.body(content.clone()),
                    1 => put.pieces([head.clone(), tail.clone()]),
                    2 => {
                        let call = registry.patch(&location).body(content.clone());
                        call.await.expect(202);
                        put.body("")
                    }
                    3 => {
                        let call = registry.patch(&location).pieces([head.clone()]);
                        call.await.expect(202);
                        put.body(tail.clone())
                    }
                    _ => {
                        registry
                            .patch(&location)
                            .body(head.clone())
                            .await
                            .expect(202);
                        registry
                            .patch(&location)
                            .body(tail.clone())
                            .await
                            .expect(202);
                        put
                    }
                };
                call.await.expect(201);
                let path = format!("/v2/{repository}/blobs/{}", blob.digest());
                let pulled = registry.get(path).await.expect(200);
                assert_eq!(pulled.body, content, "{size} bytes, way {way}");
            }
        }
    });
}

#[test]
fn a_finished_session_is_gone() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let location = registry.begin("a").await;
        let call = registry.put(finish(&location, blob.digest()));
        call.body(blob.content()).await.expect(201);
        for call in [
            registry.get(&location),
            registry.patch(&location).body("more"),
            registry.delete(&location),
            registry
                .put(finish(&location, blob.digest()))
                .body(blob.content()),
        ] {
            call.await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        }
        let path = format!("/v2/a/blobs/{}", blob.digest());
        registry.get(path).await.expect(200);
    });
}

#[test]
fn content_of_another_digest_is_refused_and_leaves_the_session_as_it_was() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        registry.patch(&location).body("01234").await.expect(202);
        let wrong = registry.put(finish(&location, blob.digest()));
        let wrong = wrong.body("wrong").await.expect(400);
        insta::assert_snapshot!(wrong.wire(), @r#"
        400 Bad Request
        content-length: 401
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"DIGEST_INVALID","detail":{"actual":"sha256:80457e898da82bded91c056320fff3176978f6c094a35edbe95a3db2c0a77503","expected":"sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"},"message":"the content has digest sha256:80457e898da82bded91c056320fff3176978f6c094a35edbe95a3db2c0a77503, not sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"}]}
        "#);
        assert_eq!(registry.received(&location).await, "0-4");
        // By the other algorithm too, and without a last chunk.
        for call in [
            registry.put(finish(&location, blob.sha512())).body("wrong"),
            registry.put(finish(&location, blob.digest())).body(""),
            registry
                .put(finish(&location, blob.digest()))
                .pieces(["5678", "9a"]),
        ] {
            call.await.expect_error(400, "DIGEST_INVALID");
            assert_eq!(registry.received(&location).await, "0-4");
        }
        let path = format!("/v2/a/blobs/{}", blob.digest());
        registry.get(path).await.expect_error(404, "BLOB_UNKNOWN");
        let right = registry.put(finish(&location, blob.digest()));
        right.body("56789").await.expect(201);
    });
}

#[test]
fn an_upload_is_not_finished_without_a_digest() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        registry.patch(&location).body("01234").await.expect(202);
        for query in ["", "?", "?digest", "?digest=", "?Digest=sha256:0"] {
            let refused = registry.put(format!("{location}{query}")).body("").await;
            refused.expect_error(400, "DIGEST_INVALID");
            assert_eq!(registry.received(&location).await, "0-4");
        }
    });
}

#[test]
fn sha512_is_served_by_every_way_in() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(70_000);
        let digest = blob.sha512();
        let announced = "/v2/a/blobs/uploads/?digest-algorithm=sha512";
        // A session that was begun with another algorithm hashes once more.
        for begin in [announced, "/v2/a/blobs/uploads/"] {
            let location = registry.post(begin).body("").await.expect(202).location();
            let (head, tail) = (
                blob.content().slice(..40_000),
                blob.content().slice(40_000..),
            );
            registry.patch(&location).body(head).await.expect(202);
            let created = registry.put(finish(&location, digest)).body(tail).await;
            let created = created.expect(201);
            let told = created.named("docker-content-digest");
            assert_eq!(told, Some(&*digest.to_string()));
            registry.delete(created.location()).await.expect(202);
        }
        let announced = registry.post(announced).body("").await.expect(202);
        let call = registry.put(finish(&announced.location(), blob.digest()));
        call.body(blob.content()).await.expect(201);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        registry.post(path).body(blob.content()).await.expect(201);
        for digest in [digest, blob.digest()] {
            let path = format!("/v2/a/blobs/{digest}");
            assert_eq!(registry.get(path).await.expect(200).body, blob.content());
        }
    });
}

#[test]
fn a_blob_that_is_there_already_may_be_pushed_again() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(100_000);
        for repository in ["a", "a", "b"] {
            registry.holding(repository, &blob).await;
            let path = format!("/v2/{repository}/blobs/{}", blob.digest());
            assert_eq!(registry.get(path).await.expect(200).body, blob.content());
        }
    });
}

#[test]
fn what_came_before_a_connection_broke_is_kept_and_gone_on_with() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(900_000);
        let location = registry.begin("a").await;
        let broken = |content: Bytes| {
            let pieces = content.chunks(100_000).map(Bytes::copy_from_slice);
            let pieces: Vec<_> = pieces.map(Ok).collect();
            let end = stream::iter([Err(std::io::Error::other("reset by peer"))]);
            Body::from_stream(stream::iter(pieces).chain(end))
        };
        let first = registry.patch(&location);
        let first = first.stream(broken(blob.content().slice(..300_000))).await;
        first.expect_error(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(registry.received(&location).await, "0-299999");
        // The last chunk breaks off too: it is no end yet.
        let last = registry.put(finish(&location, blob.digest()));
        let last = last.header(CONTENT_RANGE, "300000-899999");
        let last = last.stream(broken(blob.content().slice(300_000..700_000)));
        last.await.expect_error(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(registry.received(&location).await, "0-699999");
        let last = registry.put(finish(&location, blob.digest()));
        let last = last.header(CONTENT_RANGE, "700000-899999");
        let last = last.body(blob.content().slice(700_000..));
        last.await.expect(201);
        let path = format!("/v2/a/blobs/{}", blob.digest());
        assert_eq!(registry.get(path).await.expect(200).body, blob.content());
    });
}
