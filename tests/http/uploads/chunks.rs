//! Chunks: with and without Content-Range, in order and out of it.

use http::header::CONTENT_RANGE;

use crate::content::Blob;
use crate::registry::over_each_store;

#[test]
fn chunks_with_ranges_make_up_a_blob() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(300_000);
        let location = registry.begin("a").await;
        for (range, end) in [(0..100_000, "0-99999"), (100_000..250_000, "0-249999")] {
            let chunk = blob.content().slice(range.clone());
            let content_range = format!("{}-{}", range.start, range.end - 1);
            let call = registry.patch(&location).body(chunk);
            let answer = call.header(CONTENT_RANGE, content_range).await.expect(202);
            assert_eq!(answer.named("range"), Some(end));
            assert_eq!(answer.location(), location);
            assert_eq!(registry.received(&location).await, end);
        }
        let last = registry
            .put(format!("{location}?digest={}", blob.digest()))
            .header(CONTENT_RANGE, "250000-299999")
            .body(blob.content().slice(250_000..));
        last.await.expect(201);
        let pulled = registry.get(format!("/v2/a/blobs/{}", blob.digest())).await;
        assert_eq!(pulled.expect(200).body, blob.content());
    });
}

#[test]
fn a_chunk_is_answered_with_where_the_next_one_goes() {
    over_each_store(async |registry| {
        let location = registry.begin("a/b").await;
        let call = registry.patch(&location).body("12345");
        let answer = call.header(CONTENT_RANGE, "0-4").await;
        insta::assert_snapshot!(answer.wire(), @"
        202 Accepted
        content-length: 0
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: 00000000-0000-4000-8000-000000000001
        location: /v2/a/b/blobs/uploads/00000000-0000-4000-8000-000000000001
        range: 0-4
        x-request-id: [request id]
        ");
    });
}

#[test]
fn chunks_without_ranges_follow_one_another() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        registry.patch(&location).body("one, ").await.expect(202);
        let call = registry.patch(&location).pieces(["t", "wo", ", "]);
        let chunked = call.await.expect(202);
        assert_eq!(chunked.named("range"), Some("0-9"));
        registry.patch(&location).body("three").await.expect(202);
        let blob = Blob::text("one, two, three");
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
        let pulled = registry.get(format!("/v2/a/blobs/{}", blob.digest())).await;
        assert_eq!(pulled.expect(200).body, blob.content());
    });
}

#[test]
fn a_chunk_of_no_bytes_changes_nothing() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        let first = registry.patch(&location).body("").await.expect(202);
        // Two numbers even of nothing: clients parse them.
        assert_eq!(first.named("range"), Some("0-0"));
        registry.patch(&location).body("12345").await.expect(202);
        let empty: [&str; 0] = [];
        for call in [
            registry.patch(&location).body(""),
            registry.patch(&location).pieces(empty),
            registry.patch(&location),
        ] {
            assert_eq!(call.await.expect(202).named("range"), Some("0-4"));
        }
    });
}

#[test]
fn a_chunk_of_one_byte_is_a_chunk() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        for (position, byte) in ["a", "b", "c"].into_iter().enumerate() {
            let range = format!("{position}-{position}");
            let call = registry.patch(&location).body(byte);
            let answer = call.header(CONTENT_RANGE, range).await.expect(202);
            assert_eq!(answer.named("range"), Some(&*format!("0-{position}")));
        }
        let finish = format!("{location}?digest={}", Blob::text("abc").digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn a_chunk_out_of_order_is_refused_and_changes_nothing() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        let call = registry.patch(&location).header(CONTENT_RANGE, "5-9");
        let ahead = call.body("56789").await.expect(416);
        insta::assert_snapshot!(ahead.wire(), @r#"
        416 Range Not Satisfiable
        content-length: 116
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: 00000000-0000-4000-8000-000000000001
        location: /v2/a/blobs/uploads/00000000-0000-4000-8000-000000000001
        range: 0-0
        x-request-id: [request id]

        {"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"the upload has received 0 bytes: the next chunk starts there"}]}
        "#);
        let call = registry.patch(&location).header(CONTENT_RANGE, "0-4");
        call.body("01234").await.expect(202);
        for (range, content) in [
            ("0-4", "01234"),
            ("4-5", "45"),
            ("6-9", "6789"),
            ("1000000-1000000", "x"),
        ] {
            let call = registry.patch(&location).header(CONTENT_RANGE, range);
            let refused = call.body(content).await;
            let refused = refused.expect_error(416, "BLOB_UPLOAD_INVALID");
            // Whoever is refused learns where to go on.
            assert_eq!(refused.named("range"), Some("0-4"), "{range}");
            assert_eq!(refused.location(), location);
            assert_eq!(registry.received(&location).await, "0-4");
        }
        let call = registry.patch(&location).header(CONTENT_RANGE, "5-9");
        call.body("56789").await.expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn a_last_chunk_out_of_order_is_refused_and_changes_nothing() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        let finish = format!("{location}?digest={}", blob.digest());
        registry.patch(&location).body("01234").await.expect(202);
        for (range, content) in [("0-9", "0123456789"), ("6-9", "6789")] {
            let call = registry.put(&finish).header(CONTENT_RANGE, range);
            let refused = call.body(content).await;
            let refused = refused.expect_error(416, "BLOB_UPLOAD_INVALID");
            assert_eq!(refused.named("range"), Some("0-4"));
            assert_eq!(registry.received(&location).await, "0-4");
        }
        let call = registry.put(&finish).header(CONTENT_RANGE, "5-9");
        call.body("56789").await.expect(201);
    });
}

#[test]
fn a_range_may_be_written_as_the_http_specification_has_it() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        for (range, content) in [
            ("bytes 0-1/*", "01"),
            ("bytes 2-3/10", "23"),
            ("4-5/*", "45"),
        ] {
            let call = registry.patch(&location).header(CONTENT_RANGE, range);
            call.body(content).await.expect(202);
        }
        assert_eq!(registry.received(&location).await, "0-5");
    });
}

#[test]
fn a_range_that_does_not_read_is_refused_and_changes_nothing() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        for range in [
            "",
            "0",
            "0-",
            "-4",
            "4-0",
            "a-b",
            "0-4-8",
            "bytes=0-4",
            "items 0-4/5",
            "0-99999999999999999999",
            "0-4/3",
            "\u{e9}",
        ] {
            let finish = format!("{location}?digest={}", Blob::text("01234").digest());
            for call in [registry.patch(&location), registry.put(&finish)] {
                let refused = call.header(CONTENT_RANGE, range).body("01234").await;
                refused.expect(400);
                assert_eq!(registry.received(&location).await, "0-0", "{range}");
            }
        }
    });
}

#[test]
fn a_length_that_contradicts_the_range_is_refused_and_changes_nothing() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        registry.patch(&location).body("01234").await.expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        for (range, content) in [
            ("5-9", "5678"),
            ("5-9", "56789a"),
            ("5-9", ""),
            ("5-5", "56789"),
        ] {
            for call in [registry.patch(&location), registry.put(&finish)] {
                // With the length announced, and with only the body to tell it.
                let refused = call.header(CONTENT_RANGE, range).body(content).await;
                refused.expect_error(400, "SIZE_INVALID");
                assert_eq!(registry.received(&location).await, "0-4", "{range}");
            }
            for call in [registry.patch(&location), registry.put(&finish)] {
                let refused = call.header(CONTENT_RANGE, range).pieces([content]).await;
                refused.expect_error(400, "SIZE_INVALID");
                assert_eq!(registry.received(&location).await, "0-4", "{range}");
            }
        }
        registry.put(&finish).body("56789").await.expect(201);
    });
}

#[test]
fn a_body_that_is_not_as_long_as_announced_leaves_nothing_behind() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        registry.patch(&location).body("01234").await.expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        for announced in [4, 6, 1_000_000] {
            for call in [registry.patch(&location), registry.put(&finish)] {
                let refused = call.pieces(["56", "789"]).announcing(announced).await;
                refused.expect_error(400, "SIZE_INVALID");
                assert_eq!(registry.received(&location).await, "0-4", "{announced}");
            }
        }
        registry.put(&finish).body("56789").await.expect(201);
    });
}
