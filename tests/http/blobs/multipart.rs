//! Several parts of a blob in one response.

use std::ops::Range;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};

use crate::answer::Answer;
use crate::content::Blob;
use crate::registry::{TestRegistry, over_each_store};

async fn path_of(registry: &TestRegistry, blob: &Blob) -> String {
    registry.holding("a", blob).await;
    format!("/v2/a/blobs/{}", blob.digest())
}

/// A part as it is read back: the bytes it says it holds, of how many in all,
/// and those that it holds.
struct Part {
    place: Range<usize>,
    size: usize,
    content: Vec<u8>,
}

/// Reads a `multipart/byteranges` body as RFC 2046 has it, by its boundary and
/// nothing else.
fn parts(answer: &Answer) -> Vec<Part> {
    let content_type = answer.header(CONTENT_TYPE).expect("a Content-Type");
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let delimiter = format!("\r\n--{boundary}");
    let pieces = split(&answer.body, delimiter.as_bytes());
    let (preamble, pieces) = pieces.split_first().expect("a preamble");
    assert!(preamble.is_empty(), "nothing before the first part");
    let (epilogue, pieces) = pieces.split_last().expect("an end");
    assert_eq!(*epilogue, b"--\r\n");
    pieces.iter().map(|piece| part(piece)).collect()
}

fn part(piece: &[u8]) -> Part {
    let position = piece
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an end of the part's headers");
    let (head, content) = (&piece[..position], &piece[position + 4..]);
    let head = std::str::from_utf8(head).expect("text");
    let header = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        let line = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        line.expect("a header").1
    };
    assert_eq!(header("content-type"), "application/octet-stream");
    let place = header("content-range").strip_prefix("bytes ");
    let (place, size) = place.and_then(|p| p.split_once('/')).expect("a place");
    let (first, last) = place.split_once('-').expect("a place");
    let number = |digits: &str| digits.parse::<usize>().expect("a number");
    Part {
        place: number(first)..number(last) + 1,
        size: number(size),
        content: content.to_vec(),
    }
}

fn split<'a>(mut content: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while let Some(position) = content
        .windows(delimiter.len())
        .position(|window| window == delimiter)
    {
        pieces.push(&content[..position]);
        content = &content[position + delimiter.len()..];
    }
    pieces.push(content);
    pieces
}

/// Asks for these ranges and expects just them, in their order.
async fn expect_parts(registry: &TestRegistry, blob: &Blob, ranges: &[Range<usize>]) {
    let path = path_of(registry, blob).await;
    let header: Vec<String> = ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1))
        .collect();
    let call = registry.get(&path);
    let answer = call
        .header(RANGE, format!("bytes={}", header.join(",")))
        .await;
    let answer = answer.expect(206);
    assert_eq!(answer.header(CONTENT_RANGE), None, "each part has its own");
    let parts = parts(&answer);
    let places: Vec<Range<usize>> = parts.iter().map(|part| part.place.clone()).collect();
    assert_eq!(places, ranges);
    for part in parts {
        assert_eq!(part.size, blob.size());
        assert_eq!(part.content, blob.content().slice(part.place));
    }
}

#[test]
fn several_parts_are_sent_in_the_order_they_were_asked_for() {
    over_each_store(async |registry| {
        for size in [1000, 100_000, 1_500_000] {
            let blob = Blob::of_size(size);
            expect_parts(&registry, &blob, &[0..1, 2..3]).await;
            let last = size - 1..size;
            expect_parts(&registry, &blob, &[last, 500..600, 0..10]).await;
            let half = size / 2;
            expect_parts(&registry, &blob, &[0..half - 5, half..size]).await;
        }
    });
}

#[test]
fn several_parts_look_like_this() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::text("0123456789")).await;
        let call = registry.get(&path).header(RANGE, "bytes=0-1, 5-5, -2");
        let answer = call.await.expect(206);
        // The lines of a part end as those of a header do.
        let wire = answer.wire().replace("\r\n", "\n");
        insta::assert_snapshot!(wire, @r#"
        206 Partial Content
        accept-ranges: bytes
        cache-control: private, max-age=31536000, immutable
        content-length: 364
        content-type: multipart/byteranges; boundary=octoserve-3d6b6a416f9d4a1cb32a
        docker-content-digest: sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882
        docker-distribution-api-version: registry/2.0
        etag: "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
        x-request-id: [request id]


        --octoserve-3d6b6a416f9d4a1cb32a
        Content-Type: application/octet-stream
        Content-Range: bytes 0-1/10

        01
        --octoserve-3d6b6a416f9d4a1cb32a
        Content-Type: application/octet-stream
        Content-Range: bytes 5-5/10

        5
        --octoserve-3d6b6a416f9d4a1cb32a
        Content-Type: application/octet-stream
        Content-Range: bytes 8-9/10

        89
        --octoserve-3d6b6a416f9d4a1cb32a--
        "#);
    });
}

#[test]
fn ranges_that_the_blob_does_not_have_are_left_out() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let path = path_of(&registry, &blob).await;
        let call = registry.get(&path).header(RANGE, "bytes=0-1,50-60,8-99");
        let answer = call.await.expect(206);
        let places: Vec<_> = parts(&answer).into_iter().map(|part| part.place).collect();
        assert_eq!(places, [0..2, 8..10]);
        // One is left: no parts, but the part.
        let call = registry.get(&path).header(RANGE, "bytes=50-60,3-4");
        let answer = call.await.expect(206);
        assert_eq!(answer.header(CONTENT_RANGE), Some("bytes 3-4/10"));
        assert_eq!(&answer.body[..], b"34");
    });
}

#[test]
fn two_ranges_may_overlap() {
    over_each_store(async |registry| {
        expect_parts(&registry, &Blob::text("0123456789"), &[0..6, 4..10]).await;
    });
}

/// A flood of ranges is an attack, not a pull: whatever is answered, it is not
/// many times the blob.
#[test]
fn a_flood_of_overlapping_ranges_is_not_multiplied() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(10_000);
        let path = path_of(&registry, &blob).await;
        let header = format!("bytes=0-{}", ",0-".repeat(1000));
        let answer = registry.get(&path).header(RANGE, header).await;
        assert!(
            [200, 400, 416].contains(&answer.status.as_u16()),
            "{}",
            answer.status
        );
        assert!(answer.body.len() <= blob.size());
    });
}

#[test]
fn content_that_holds_the_boundary_is_still_told_apart_by_its_length() {
    over_each_store(async |registry| {
        let path = path_of(&registry, &Blob::text("0123456789")).await;
        let call = registry.get(&path).header(RANGE, "bytes=0-1,4-5");
        let content_type = call
            .await
            .expect(206)
            .header(CONTENT_TYPE)
            .map(str::to_owned);
        let boundary = content_type
            .as_deref()
            .and_then(|text| text.split_once('='));
        let trap = format!("\r\n--{}--\r\n0123456789", boundary.expect("one").1);
        let path = path_of(&registry, &Blob::text(&trap)).await;
        let call = registry.get(&path).header(RANGE, "bytes=0-39,41-42");
        let answer = call.await.expect(206);
        let needle = trap.as_bytes().get(..40).expect("forty bytes");
        let held = answer.body.windows(40).any(|window| window == needle);
        assert!(held, "the content is sent as it is");
    });
}
