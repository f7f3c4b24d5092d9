//! Pulling a blob whole, and asking about it.

use std::net::{Ipv4Addr, SocketAddr};

use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH,
};
use octoserve::adapters::http::server::ConnectionInfo;

use crate::content::Blob;
use crate::registry::{TestRegistry, over_each_store};

/// Sizes around those at which the way of sending changes: content that is kept
/// in memory, and files in one window, in two and in many.
const SIZES: [usize; 9] = [
    1, 1000, 65_535, 65_536, 65_537, 131_072, 200_000, 1_048_577, 2_500_000,
];

async fn path_of(registry: &TestRegistry, blob: &Blob) -> String {
    registry.holding("a/b", blob).await;
    format!("/v2/a/b/blobs/{}", blob.digest())
}

/// How a request looks that comes by a connection without encryption; then file
/// content is sent another way.
fn plain() -> ConnectionInfo {
    ConnectionInfo {
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)),
        tls: false,
    }
}

#[test]
fn a_blob_is_sent_with_all_that_a_client_wants_to_know() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::text("content")).await;
        let pulled = registry.get(&path).await;
        insta::assert_snapshot!(pulled.wire(), @r#"
        200 OK
        accept-ranges: bytes
        cache-control: private, max-age=31536000, immutable
        content-length: 7
        content-type: application/octet-stream
        docker-content-digest: sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
        docker-distribution-api-version: registry/2.0
        etag: "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
        x-request-id: [request id]

        content
        "#);
    });
}

#[test]
fn blobs_of_every_size_come_back_byte_for_byte() {
    over_each_store(async |registry| {
        for size in SIZES {
            let blob = Blob::of_size(size);
            let path = path_of(&registry, &blob).await;
            for round in 0..2 {
                let pulled = registry.get(&path).await.expect(200);
                assert_eq!(pulled.body, blob.content(), "{size} bytes, round {round}");
            }
            let pulled = registry.get(&path).extension(plain()).await.expect(200);
            assert_eq!(pulled.body, blob.content(), "{size} bytes, mapped");
        }
    });
}

#[test]
fn an_empty_blob_says_that_it_has_no_bytes() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::empty()).await;
        for call in [registry.get(&path), registry.head(&path)] {
            let answer = call.await.expect(200);
            assert_eq!(answer.header(CONTENT_LENGTH), Some("0"));
            assert_eq!(answer.header(ACCEPT_RANGES), Some("bytes"));
        }
    });
}

#[test]
fn head_tells_of_a_blob_what_get_tells() {
    over_each_store(async |registry| {
        for size in [0, 1000, 100_000] {
            let blob = Blob::of_size(size);
            let path = path_of(&registry, &blob).await;
            let mut get = registry.get(&path).await.expect(200).headers;
            let mut head = registry.head(&path).await.expect(200).headers;
            assert_eq!(head[CONTENT_LENGTH], size.to_string());
            assert_ne!(get.remove("x-request-id"), head.remove("x-request-id"));
            assert_eq!(get, head);
        }
    });
}

#[test]
fn a_range_says_nothing_to_head() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::text("content")).await;
        let head = registry.head(&path).named("range", "bytes=0-1");
        let head = head.await.expect(200);
        assert_eq!(head.header(CONTENT_LENGTH), Some("7"));
    });
}

#[test]
fn a_blob_that_the_client_has_is_not_sent_again() {
    over_each_store(async |registry| {
        for blob in [Blob::text("content"), Blob::of_size(100_000)] {
            let path = path_of(&registry, &blob).await;
            let etag = registry.get(&path).await.expect(200).etag();
            assert_eq!(etag, format!("\"{}\"", blob.digest()));
            for condition in [
                etag.clone(),
                format!("W/{etag}"),
                format!("\"other\", {etag}"),
                "*".to_owned(),
            ] {
                for call in [registry.get(&path), registry.head(&path)] {
                    let call = call.header(IF_NONE_MATCH, &condition);
                    let unchanged = call.await.expect(304);
                    assert_eq!(unchanged.etag(), etag);
                    let told = unchanged.named("docker-content-digest");
                    assert_eq!(told, Some(&*blob.digest().to_string()));
                }
            }
            for condition in ["\"other\"", "", "\"", &etag[1..etag.len() - 1]] {
                let call = registry.get(&path).header(IF_NONE_MATCH, condition);
                call.await.expect(200);
            }
        }
    });
}

/// RFC 9110, 5.2: lines of one name are one list.
#[test]
fn conditions_on_several_lines_are_one_list() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let path = path_of(&registry, &blob).await;
        let call = registry.get(&path).header(IF_NONE_MATCH, "\"other\"");
        let call = call.header(IF_NONE_MATCH, format!("\"{}\"", blob.digest()));
        call.await.expect(304);
    });
}

#[test]
fn a_condition_comes_before_a_range() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let path = path_of(&registry, &blob).await;
        let call = registry.get(&path).named("range", "bytes=0-1");
        let call = call.header(IF_NONE_MATCH, format!("\"{}\"", blob.digest()));
        call.await.expect(304);
    });
}

#[test]
fn a_blob_that_is_not_in_the_repository_is_unknown_whatever_else_is_asked() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a/b", &blob).await;
        let missing = Blob::text("missing").digest();
        for path in [
            format!("/v2/a/b/blobs/{missing}"),
            format!("/v2/a/blobs/{}", blob.digest()),
            format!("/v2/a/b/c/blobs/{}", blob.digest()),
        ] {
            for call in [
                registry.get(&path),
                registry.head(&path),
                registry.get(&path).named("range", "bytes=0-1"),
                registry.get(&path).header(IF_NONE_MATCH, "*"),
                registry.delete(&path),
            ] {
                call.await.expect_error(404, "BLOB_UNKNOWN");
            }
        }
        let unknown = registry.get(format!("/v2/a/blobs/{}", blob.digest())).await;
        insta::assert_snapshot!(unknown.wire(), @r#"
        404 Not Found
        content-length: 150
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"BLOB_UNKNOWN","message":"blob sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73 is not in the repository"}]}
        "#);
    });
}

#[test]
fn what_a_client_offers_to_decode_changes_nothing() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let path = path_of(&registry, &blob).await;
        let call = registry.get(&path).named("accept", "text/html");
        let call = call.named("accept-encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");
        let call = call.header(AUTHORIZATION, "Basic Og==");
        let pulled = call.await.expect(200);
        assert_eq!(pulled.body, blob.content());
        assert_eq!(pulled.header(CONTENT_ENCODING), None);
        let content_type = pulled.header(CONTENT_TYPE);
        assert_eq!(content_type, Some("application/octet-stream"));
    });
}

#[test]
fn a_digest_may_be_written_with_its_colon_encoded() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let path = path_of(&registry, &blob).await;
        for colon in ["%3A", "%3a"] {
            let (name, digest) = path.rsplit_once('/').expect("a path");
            let path = format!("{name}/{}", digest.replace(':', colon));
            assert_eq!(registry.get(&path).await.expect(200).body, blob.content());
            registry.head(&path).await.expect(200);
        }
    });
}
