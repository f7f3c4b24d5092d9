//! What bounds an upload: the largest blob, and the time that it may stand still.

use std::time::Duration;

use axum::body::Body;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_RANGE;
use octoserve::app::RegistryRules;

use crate::content::Blob;
use crate::registry::{Setup, over_each_store_with};

const LARGEST: usize = 1000;

fn limited() -> Setup {
    Setup {
        rules: RegistryRules {
            largest_blob: LARGEST as u64,
            ..RegistryRules::default()
        },
        ..Setup::default()
    }
}

#[test]
fn a_blob_of_the_largest_size_is_taken() {
    over_each_store_with(&limited(), async |registry| {
        let blob = Blob::of_size(LARGEST);
        registry.holding("a", &blob).await;
        let location = registry.begin("a").await;
        registry
            .patch(&location)
            .pieces([blob.content()])
            .await
            .expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn a_blob_that_is_announced_too_large_is_refused_unread() {
    over_each_store_with(&limited(), async |registry| {
        let blob = Blob::of_size(LARGEST + 1);
        let location = registry.begin("a").await;
        let finish = format!("{location}?digest={}", blob.digest());
        let single = format!("/v2/a/blobs/uploads/?digest={}", blob.digest());
        // Whoever waits for a body that never comes has read it.
        let never = || Body::from_stream(stream::pending::<Result<&str, std::io::Error>>());
        for call in [
            registry.patch(&location),
            registry.put(&finish),
            registry.post(&single),
        ] {
            let refused = call.stream(never()).announcing(LARGEST + 1).await;
            refused.expect_error(413, "SIZE_INVALID");
        }
        let call = registry.patch(&location).stream(never());
        let refused = call.header(CONTENT_RANGE, format!("0-{LARGEST}")).await;
        refused.expect_error(413, "SIZE_INVALID");
        assert_eq!(registry.received(&location).await, "0-0");
    });
}

#[test]
fn a_blob_that_turns_out_too_large_is_refused_and_changes_nothing() {
    over_each_store_with(&limited(), async |registry| {
        let blob = Blob::of_size(LARGEST + 1);
        let location = registry.begin("a").await;
        let (head, tail) = (blob.content().slice(..600), blob.content().slice(600..));
        registry.patch(&location).body(head).await.expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        for call in [
            registry.patch(&location).pieces([tail.clone()]),
            registry.patch(&location).body(tail.clone()),
            registry.put(&finish).pieces([tail.clone()]),
            registry.put(&finish).body(tail),
        ] {
            call.await.expect_error(413, "SIZE_INVALID");
            assert_eq!(registry.received(&location).await, "0-599");
        }
        let single = format!("/v2/a/blobs/uploads/?digest={}", blob.digest());
        let single = registry.post(single).pieces([blob.content()]).await;
        single.expect_error(413, "SIZE_INVALID");
        let path = format!("/v2/a/blobs/{}", blob.digest());
        registry.get(path).await.expect_error(404, "BLOB_UNKNOWN");
    });
}

#[test]
fn a_body_that_stands_still_is_given_up_and_what_came_is_kept() {
    let setup = Setup {
        read_timeout: Duration::from_millis(30),
        ..Setup::default()
    };
    over_each_store_with(&setup, async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        let finish = format!("{location}?digest={}", blob.digest());
        let stuck = |content: &'static str| {
            let piece = stream::iter([Ok::<_, std::io::Error>(content)]);
            Body::from_stream(piece.chain(stream::pending()))
        };
        let chunk = registry.patch(&location).stream(stuck("01234")).await;
        chunk.expect_error(408, "BLOB_UPLOAD_INVALID");
        assert_eq!(registry.received(&location).await, "0-4");
        let last = registry.put(&finish).stream(stuck("56")).await;
        last.expect_error(408, "BLOB_UPLOAD_INVALID");
        assert_eq!(registry.received(&location).await, "0-6");
        registry.put(&finish).body("789").await.expect(201);
        let manifest = registry.put("/v2/a/manifests/v1").stream(stuck("{"));
        manifest.await.expect(408);
    });
}

#[test]
fn a_body_that_trickles_is_waited_for() {
    let setup = Setup {
        read_timeout: Duration::from_millis(100),
        ..Setup::default()
    };
    over_each_store_with(&setup, async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        // Longer in all than the timeout, but never so long without a byte.
        let pieces = stream::iter(["01", "23", "45", "67", "89"]).then(async |piece| {
            tokio::time::sleep(Duration::from_millis(40)).await;
            Ok::<_, std::io::Error>(piece)
        });
        let finish = format!("{location}?digest={}", blob.digest());
        let call = registry.put(finish);
        call.stream(Body::from_stream(pieces)).await.expect(201);
    });
}
