//! Pulling a part of a blob.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};

use crate::content::Blob;
use crate::registry::{TestRegistry, over_each_store};

async fn path_of(registry: &TestRegistry, blob: &Blob) -> String {
    registry.holding("a", blob).await;
    format!("/v2/a/blobs/{}", blob.digest())
}

#[test]
fn a_part_is_sent_with_its_place_in_the_whole() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::text("0123456789")).await;
        let part = registry.get(&path).header(RANGE, "bytes=2-5").await;
        insta::assert_snapshot!(part.wire(), @r#"
        206 Partial Content
        accept-ranges: bytes
        cache-control: private, max-age=31536000, immutable
        content-length: 4
        content-range: bytes 2-5/10
        content-type: application/octet-stream
        docker-content-digest: sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882
        docker-distribution-api-version: registry/2.0
        etag: "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
        x-request-id: [request id]

        2345
        "#);
    });
}

#[test]
fn every_form_of_a_range_selects_its_bytes() {
    over_each_store(async |registry| {
        // In memory, in one window of a file, and in many.
        for size in [100, 100_000, 1_500_000] {
            let blob = Blob::of_size(size);
            let path = path_of(&registry, &blob).await;
            let third = size / 3;
            for (range, selected) in [
                ("bytes=0-0".to_owned(), 0..1),
                ("bytes=0-1".to_owned(), 0..2),
                ("bytes=0-".to_owned(), 0..size),
                ("bytes=10-19".to_owned(), 10..20),
                ("bytes= 10-19".to_owned(), 10..20),
                ("Bytes=10-19".to_owned(), 10..20),
                (format!("bytes={third}-"), third..size),
                (format!("bytes={third}-{}", 2 * third), third..2 * third + 1),
                (format!("bytes={}-", size - 1), size - 1..size),
                (format!("bytes=0-{}", size - 1), 0..size),
                (format!("bytes=50-{}", size + 1000), 50..size),
                ("bytes=50-99999999999999999999".to_owned(), 50..size),
                ("bytes=-1".to_owned(), size - 1..size),
                (format!("bytes=-{third}"), size - third..size),
                (format!("bytes=-{}", size + 1), 0..size),
            ] {
                let part = registry.get(&path).header(RANGE, &range).await;
                let part = part.expect(206);
                assert_eq!(part.body, blob.content().slice(selected.clone()), "{range}");
                let place = format!("bytes {}-{}/{size}", selected.start, selected.end - 1);
                assert_eq!(part.header(CONTENT_RANGE), Some(&*place), "{range}");
                assert_eq!(part.header(ACCEPT_RANGES), Some("bytes"));
                let told = part.named("docker-content-digest");
                assert_eq!(told, Some(&*blob.digest().to_string()));
            }
        }
    });
}

#[test]
fn a_range_outside_the_blob_is_not_satisfiable() {
    over_each_store(async |registry| {
        for size in [10, 100_000] {
            let path = path_of(&registry, &Blob::of_size(size)).await;
            for range in [
                format!("bytes={size}-"),
                format!("bytes={size}-{}", size + 10),
                "bytes=-0".to_owned(),
                "bytes=5-4".to_owned(),
                format!("bytes={size}-,-0"),
            ] {
                let refused = registry.get(&path).header(RANGE, &range).await;
                let refused = refused.expect_error(416, "UNSUPPORTED");
                let whole = format!("bytes */{size}");
                assert_eq!(refused.header(CONTENT_RANGE), Some(&*whole), "{range}");
            }
        }
        let path = path_of(&registry, &Blob::of_size(10)).await;
        let refused = registry.get(&path).header(RANGE, "bytes=10-").await;
        insta::assert_snapshot!(refused.wire(), @r#"
        416 Range Not Satisfiable
        content-length: 90
        content-range: bytes */10
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"UNSUPPORTED","message":"the range lies outside the blob's 10 bytes"}]}
        "#);
    });
}

#[test]
fn of_an_empty_blob_no_byte_can_be_had() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::empty()).await;
        for range in ["bytes=0-", "bytes=0-0", "bytes=5-"] {
            let refused = registry.get(&path).header(RANGE, range).await;
            let refused = refused.expect(416);
            assert_eq!(refused.header(CONTENT_RANGE), Some("bytes */0"));
        }
    });
}

#[test]
fn what_is_no_range_of_bytes_asks_for_all_of_it() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let path = path_of(&registry, &blob).await;
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "items=0-1",
            "0-1",
            "\u{e9}",
        ] {
            let whole = registry.get(&path).header(RANGE, range).await.expect(200);
            assert_eq!(whole.body, blob.content(), "{range}");
            assert_eq!(whole.header(CONTENT_RANGE), None);
        }
    });
}

#[test]
fn a_part_is_sent_if_the_client_has_the_rest_of_the_same_content() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let path = path_of(&registry, &blob).await;
        let etag = format!("\"{}\"", blob.digest());
        let call = registry.get(&path).header(RANGE, "bytes=5-");
        let part = call.header(IF_RANGE, &etag).await.expect(206);
        assert_eq!(&part.body[..], b"56789");
        for other in [
            "\"other\"".to_owned(),
            format!("\"other\", {etag}"),
            "*".to_owned(),
            blob.digest().to_string(),
            "Sat, 29 Oct 1994 19:43:31 GMT".to_owned(),
        ] {
            let call = registry.get(&path).header(RANGE, "bytes=5-");
            let whole = call.header(IF_RANGE, &other).await.expect(200);
            assert_eq!(whole.body, blob.content(), "{other}");
            // Even of what could not be had.
            let call = registry.get(&path).header(RANGE, "bytes=100-");
            call.header(IF_RANGE, &other).await.expect(200);
        }
    });
}

/// RFC 9110, 13.1.5: If-Range compares strongly, so a weak tag never matches.
#[test]
fn a_weak_tag_does_not_vouch_for_the_rest_of_the_content() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let path = path_of(&registry, &blob).await;
        let call = registry.get(&path).header(RANGE, "bytes=5-");
        let call = call.header(IF_RANGE, format!("W/\"{}\"", blob.digest()));
        assert_eq!(call.await.expect(200).body, blob.content());
    });
}

#[test]
fn parts_fetched_one_after_the_other_are_the_whole() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(1_000_003);
        let path = path_of(&registry, &blob).await;
        let mut fetched = Vec::new();
        while fetched.len() < blob.size() {
            let range = format!("bytes={}-{}", fetched.len(), fetched.len() + 99_999);
            let part = registry.get(&path).header(RANGE, range).await.expect(206);
            let length = part.header(CONTENT_LENGTH).expect("a length");
            assert_eq!(length, part.body.len().to_string());
            let content_type = part.header(CONTENT_TYPE);
            assert_eq!(content_type, Some("application/octet-stream"));
            fetched.extend_from_slice(&part.body);
        }
        assert_eq!(fetched, blob.content());
    });
}
