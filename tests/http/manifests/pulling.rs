//! Pulling a manifest, and asking about it.

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};

use crate::content::{Blob, Index};
use crate::registry::over_each_store;

#[test]
fn a_manifest_is_sent_with_all_that_a_client_wants_to_know() {
    over_each_store(async |registry| {
        let index = Index::of([]).build();
        registry.push("a/b", "v1", &index).await;
        let pulled = registry.get("/v2/a/b/manifests/v1").await;
        insta::assert_snapshot!(pulled.wire(), @r#"
        200 OK
        content-length: 88
        content-type: application/vnd.oci.image.index.v1+json
        docker-content-digest: sha256:93e16ab8fb1bfb08f051a420835b414851eaeedb9f7105d26dacb84f26d810b5
        docker-distribution-api-version: registry/2.0
        etag: "sha256:93e16ab8fb1bfb08f051a420835b414851eaeedb9f7105d26dacb84f26d810b5"
        x-request-id: [request id]

        {"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}
        "#);
    });
}

#[test]
fn head_tells_of_a_manifest_what_get_tells() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let large = Index::of([]).field("x", "x".repeat(100_000)).build();
        registry.push("a", "large", &large).await;
        for reference in [
            "v1".to_owned(),
            "large".to_owned(),
            image.digest().to_string(),
        ] {
            let path = format!("/v2/a/manifests/{reference}");
            let pulled = registry.get(&path).await.expect(200);
            let mut get = pulled.headers;
            let mut head = registry.head(&path).await.expect(200).headers;
            assert_eq!(head[CONTENT_LENGTH], pulled.body.len().to_string());
            assert_ne!(get.remove("x-request-id"), head.remove("x-request-id"));
            assert_eq!(get, head);
        }
    });
}

#[test]
fn what_is_stored_is_sent_whatever_the_client_would_rather_have() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        for accept in [
            "",
            "*/*",
            "text/html",
            "application/json",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.oci.image.index.v1+json;q=1, */*;q=0",
            "not a media type, ;;;,",
            "\u{e9}",
        ] {
            for call in [
                registry.get("/v2/a/manifests/v1"),
                registry.head("/v2/a/manifests/v1"),
            ] {
                let answer = call.header(ACCEPT, accept).await.expect(200);
                assert_eq!(answer.header(CONTENT_TYPE), Some(image.media_type()));
            }
        }
    });
}

#[test]
fn a_manifest_that_the_client_has_is_not_sent_again() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let digest = image.digest();
        for reference in ["v1".to_owned(), digest.to_string()] {
            let path = format!("/v2/a/manifests/{reference}");
            assert_eq!(registry.get(&path).await.expect(200).etag(), image.etag());
            for condition in [
                image.etag(),
                format!("W/{}", image.etag()),
                format!("\"other\",{}", image.etag()),
                "*".to_owned(),
            ] {
                for call in [registry.get(&path), registry.head(&path)] {
                    let unchanged = call.header(IF_NONE_MATCH, &condition).await.expect(304);
                    assert_eq!(unchanged.etag(), image.etag());
                    let told = unchanged.named("docker-content-digest");
                    assert_eq!(told, Some(&*digest.to_string()));
                }
            }
            let other = registry.get(&path).header(IF_NONE_MATCH, "\"other\"");
            other.await.expect(200);
        }
        // A tag that has moved is another manifest.
        registry.push("a", "v1", &Index::of([&image]).build()).await;
        let moved = registry.get("/v2/a/manifests/v1");
        moved.header(IF_NONE_MATCH, image.etag()).await.expect(200);
    });
}

#[test]
fn a_manifest_that_is_not_in_the_repository_is_unknown() {
    over_each_store(async |registry| {
        let image = registry.push_image("a/b", "v1").await;
        let missing = Blob::text("missing");
        for path in [
            "/v2/a/b/manifests/v2".to_owned(),
            "/v2/a/b/manifests/V1".to_owned(),
            "/v2/a/manifests/v1".to_owned(),
            "/v2/nowhere/manifests/v1".to_owned(),
            format!("/v2/a/manifests/{}", image.digest()),
            format!("/v2/a/b/manifests/{}", image.sha512()),
            format!("/v2/a/b/manifests/{}", missing.digest()),
        ] {
            for call in [
                registry.get(&path),
                registry.head(&path),
                registry.get(&path).header(IF_NONE_MATCH, "*"),
                registry.delete(&path),
            ] {
                call.await.expect_error(404, "MANIFEST_UNKNOWN");
            }
        }
        let unknown = registry.get("/v2/a/b/manifests/v2").await;
        insta::assert_snapshot!(unknown.wire(), @r#"
        404 Not Found
        content-length: 89
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest v2 is not in the repository"}]}
        "#);
    });
}
