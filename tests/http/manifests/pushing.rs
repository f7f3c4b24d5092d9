//! The push itself: what it answers, and what it refuses.

use axum::body::Body;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use octoserve::app::RegistryRules;
use octoserve::domain::media_type::{OCI_INDEX, OCI_MANIFEST};

use crate::content::{Blob, Image, Index, Manifest};
use crate::registry::{Setup, over_each_store, over_each_store_with};

#[test]
fn a_push_is_answered_with_where_the_manifest_is() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("a/b", &config).await;
        let image = Image::with_config(&config).build();
        let call = registry.put("/v2/a/b/manifests/v1").body(image.content());
        let pushed = call.header(CONTENT_TYPE, OCI_MANIFEST).await;
        insta::assert_snapshot!(pushed.wire(), @r#"
        201 Created
        content-length: 0
        docker-content-digest: sha256:1a532c454699d73464c8a86e03915be89b826ed24cd326a0442f0a310fd496af
        docker-distribution-api-version: registry/2.0
        etag: "sha256:1a532c454699d73464c8a86e03915be89b826ed24cd326a0442f0a310fd496af"
        location: /v2/a/b/manifests/sha256:1a532c454699d73464c8a86e03915be89b826ed24cd326a0442f0a310fd496af
        x-request-id: [request id]
        "#);
        let pulled = registry.get(pushed.location()).await.expect(200);
        assert_eq!(pulled.body, image.content());
    });
}

#[test]
fn a_push_may_be_repeated() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        for reference in ["v1".to_owned(), "v2".to_owned(), image.digest().to_string()] {
            for _ in 0..2 {
                registry.push("a", &reference, &image).await;
                let path = format!("/v2/a/manifests/{reference}");
                let pulled = registry.get(path).await.expect(200);
                assert_eq!(pulled.body, image.content());
            }
        }
    });
}

#[test]
fn a_tag_moves_to_what_is_pushed_last() {
    over_each_store(async |registry| {
        let first = registry.push_image("a", "v1").await;
        let second = Index::of([&first]).build();
        registry.push("a", "v1", &second).await;
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, second.content());
        assert_eq!(pulled.header(CONTENT_TYPE), Some(OCI_INDEX));
        let path = format!("/v2/a/manifests/{}", first.digest());
        registry.get(path).await.expect(200);
    });
}

#[test]
fn a_manifest_of_another_digest_is_refused_and_stores_nothing() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let other = Blob::text("other");
        for digest in [other.digest(), other.sha512()] {
            let path = format!("/v2/a/manifests/{digest}");
            let refused = registry.put(&path).body(image.content()).await;
            refused.expect_error(400, "DIGEST_INVALID");
            let unknown = registry.get(&path).await;
            unknown.expect_error(404, "MANIFEST_UNKNOWN");
        }
    });
}

#[test]
fn a_manifest_may_be_pushed_and_pulled_by_sha512() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        for blob in [&config, &layer] {
            let path = format!("/v2/a/blobs/uploads/?digest={}", blob.sha512());
            registry.post(path).body(blob.content()).await.expect(201);
        }
        let image = Image::with_config(&config).field(
            "config",
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.sha512(), "size": config.size(),
            }),
        );
        let image = image.build();
        let digest = image.sha512();
        let call = registry.put(format!("/v2/a/manifests/{digest}?tag=v1"));
        let pushed = call.body(image.content()).await.expect(201);
        let told = pushed.named("docker-content-digest");
        assert_eq!(told, Some(&*digest.to_string()));
        for reference in ["v1".to_owned(), digest.to_string()] {
            let path = format!("/v2/a/manifests/{reference}");
            let pulled = registry.get(path).await.expect(200);
            assert_eq!(pulled.body, image.content());
            assert_eq!(pulled.etag(), format!("\"{digest}\""));
        }
        // By its other digest it was not pushed.
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.get(path).await.expect(404);
    });
}

fn with_padding(size: usize) -> Manifest {
    let empty = Index::of([]).field("x", "").build();
    let padding = "x".repeat(size - empty.content().len());
    Index::of([]).field("x", padding).build()
}

#[test]
fn a_manifest_of_four_mebibytes_is_taken_and_no_larger_one() {
    over_each_store(async |registry| {
        let largest = with_padding(4 << 20);
        assert_eq!(largest.content().len(), 4 << 20);
        registry.push("a", "v1", &largest).await;
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, largest.content());
        let larger = with_padding((4 << 20) + 1);
        let call = registry.put("/v2/a/manifests/v2").body(larger.content());
        call.await.expect_error(413, "MANIFEST_INVALID");
        let unknown = registry.get("/v2/a/manifests/v2").await;
        unknown.expect_error(404, "MANIFEST_UNKNOWN");
    });
}

#[test]
fn the_largest_manifest_is_what_the_operator_says() {
    let setup = Setup {
        rules: RegistryRules {
            largest_manifest: 1000,
            ..RegistryRules::default()
        },
        ..Setup::default()
    };
    over_each_store_with(&setup, async |registry| {
        registry.push("a", "v1", &with_padding(1000)).await;
        let larger = with_padding(1001);
        let path = "/v2/a/manifests/v2";
        // Announced, it is refused without being read.
        let never = Body::from_stream(stream::pending::<Result<&str, std::io::Error>>());
        let announced = registry.put(path).stream(never).announcing(1001).await;
        let announced = announced.expect_error(413, "MANIFEST_INVALID");
        insta::assert_snapshot!(announced.wire(), @r#"
        413 Payload Too Large
        content-length: 90
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"MANIFEST_INVALID","message":"a manifest is at most 1000 bytes here"}]}
        "#);
        // Streamed, it is read no further than it may be long.
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>("{\"a\": \"padding\"}"));
        let streamed = registry.put(path).stream(Body::from_stream(endless)).await;
        streamed.expect_error(413, "MANIFEST_INVALID");
        for pieces in [
            vec![larger.content()],
            larger
                .content()
                .chunks(7)
                .map(|c| c.to_vec().into())
                .collect(),
        ] {
            let streamed = registry.put(path).pieces(pieces).await;
            streamed.expect_error(413, "MANIFEST_INVALID");
        }
        registry.get(path).await.expect(404);
    });
}

#[test]
fn a_manifest_may_come_in_pieces() {
    over_each_store(async |registry| {
        let manifest = with_padding(50_000);
        for length in [1000, 49_999, 50_000] {
            let pieces = manifest.content();
            let pieces: Vec<Vec<u8>> = pieces.chunks(length).map(<[u8]>::to_vec).collect();
            let call = registry.put("/v2/a/manifests/v1").pieces(pieces);
            call.await.expect(201);
            let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
            assert_eq!(pulled.body, manifest.content());
        }
    });
}

#[test]
fn a_manifest_that_breaks_off_is_refused_and_stores_nothing() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        let pieces = [
            Ok(image.content()),
            Err(std::io::Error::other("reset by peer")),
        ];
        let body = Body::from_stream(stream::iter(pieces));
        let call = registry.put("/v2/a/manifests/v1").stream(body);
        call.await.expect(400);
        registry.get("/v2/a/manifests/v1").await.expect(404);
    });
}

#[test]
fn a_push_with_a_subject_says_that_the_registry_lists_it() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let signature = Image::with_config(&config).subject(&image).build();
        let index = Index::of([&image]).subject(&image).build();
        for manifest in [&signature, &index] {
            for reference in ["v2".to_owned(), manifest.digest().to_string()] {
                let call = registry.put(format!("/v2/a/manifests/{reference}"));
                let pushed = call.body(manifest.content()).await.expect(201);
                let subject = pushed.named("oci-subject");
                assert_eq!(subject, Some(&*image.digest().to_string()));
            }
        }
        let call = registry.put("/v2/a/manifests/v3").body(image.content());
        assert_eq!(call.await.expect(201).named("oci-subject"), None);
    });
}
