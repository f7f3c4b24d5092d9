//! Several requests at once to one session, or for one blob.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_RANGE;
use octoserve::app::RegistryRules;
use tokio::sync::mpsc;

use crate::answer::Answer;
use crate::content::Blob;
use crate::registry::{Setup, TestRegistry, over_each_store, over_each_store_with};

/// A body whose pieces a test sends when it likes.
fn body_by_hand() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pieces = stream::unfold(receiver, async |mut receiver| {
        let piece: &str = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), receiver))
    });
    (sender, Body::from_stream(pieces))
}

/// Waits until a session tells of so many bytes.
async fn reached(registry: &TestRegistry, location: &str, range: &str) {
    for _ in 0..2000 {
        if registry.received(location).await == range {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{location} never reached {range}");
}

#[test]
fn while_one_chunk_is_received_another_one_is_refused_and_changes_nothing() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        let (pieces, body) = body_by_hand();
        let first = async { registry.patch(&location).stream(body).await };
        let others = async {
            pieces.send("01234").expect("a reader");
            reached(&registry, &location, "0-4").await;
            let finish = format!("{location}?digest={}", Blob::text("01234").digest());
            for call in [
                registry.patch(&location).body("xyz"),
                registry
                    .patch(&location)
                    .body("xyz")
                    .header(CONTENT_RANGE, "5-7"),
                registry.put(&finish).body(""),
            ] {
                call.await.expect_error(416, "BLOB_UPLOAD_INVALID");
            }
            pieces.send("56789").expect("a reader");
            drop(pieces);
        };
        let (first, ()) = tokio::join!(first, others);
        assert_eq!(first.expect(202).named("range"), Some("0-9"));
        let finish = format!("{location}?digest={}", Blob::text("0123456789").digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn a_session_that_is_cancelled_while_a_chunk_is_received_is_gone() {
    over_each_store(async |registry| {
        let blob = Blob::text("0123456789");
        let location = registry.begin("a").await;
        let (pieces, body) = body_by_hand();
        let finish = format!("{location}?digest={}", blob.digest());
        let last = async { registry.put(&finish).stream(body).await };
        let others = async {
            pieces.send("01234").expect("a reader");
            reached(&registry, &location, "0-4").await;
            registry.delete(&location).await.expect(204);
            pieces.send("56789").expect("a reader");
            drop(pieces);
        };
        let (last, ()) = tokio::join!(last, others);
        last.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        let gone = registry.get(&location).await;
        gone.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        let path = format!("/v2/a/blobs/{}", blob.digest());
        registry.get(path).await.expect_error(404, "BLOB_UNKNOWN");
    });
}

#[test]
fn of_racing_chunks_for_one_place_one_gets_it() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        let blob = Blob::of_size(50_000);
        let content = blob.content();
        let answers = registry.race(8, async |registry, _| {
            let call = registry.patch(&location).body(content.clone());
            call.header(CONTENT_RANGE, "0-49999").await
        });
        let statuses = sorted_statuses(&answers);
        assert_eq!(statuses, [202, 416, 416, 416, 416, 416, 416, 416]);
        assert_eq!(registry.received(&location).await, "0-49999");
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn of_racing_ends_of_a_session_one_comes_first() {
    over_each_store(async |registry| {
        let location = registry.begin("a").await;
        let blob = Blob::of_size(50_000);
        let call = registry.patch(&location).body(blob.content());
        call.await.expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        let answers = registry.race(8, async |registry, _| registry.put(&finish).body("").await);
        let statuses = sorted_statuses(&answers);
        assert_eq!(statuses[0], 201);
        // The others met the session either in use or gone.
        assert!(
            statuses[1..]
                .iter()
                .all(|status| [404, 416].contains(status))
        );
        let path = format!("/v2/a/blobs/{}", blob.digest());
        assert_eq!(registry.get(path).await.expect(200).body, blob.content());
    });
}

#[test]
fn racing_pushes_of_one_blob_all_succeed() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(100_000);
        registry.race(8, async |registry, number| {
            registry.holding(&format!("a{number}"), &blob).await;
        });
        for number in 0..8 {
            let path = format!("/v2/a{number}/blobs/{}", blob.digest());
            assert_eq!(registry.get(path).await.expect(200).body, blob.content());
        }
    });
}

/// Each of two chunks may fit where both together do not, and neither knows of
/// the other when it is let in.
#[test]
fn racing_chunks_do_not_get_past_the_largest_blob() {
    let setup = Setup {
        rules: RegistryRules {
            largest_blob: 8,
            ..RegistryRules::default()
        },
        ..Setup::default()
    };
    over_each_store_with(&setup, async |registry| {
        let location = registry.begin("a").await;
        let (pieces, body) = body_by_hand();
        let slow = async { registry.patch(&location).stream(body).await };
        let quick = async {
            // Give the slow one the time to be let in.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let answer = registry.patch(&location).body("56789").await;
            pieces.send("01234").expect("a reader");
            drop(pieces);
            answer
        };
        let (slow, quick) = tokio::join!(slow, quick);
        let taken = [slow, quick]
            .iter()
            .filter(|answer| answer.status == 202)
            .count();
        assert_eq!(taken, 1, "ten bytes are more than eight");
        for content in ["0123456789", "5678901234"] {
            let finish = format!("{location}?digest={}", Blob::text(content).digest());
            let refused = registry.put(finish).body("").await;
            assert_ne!(refused.status, 201, "ten bytes are more than eight");
        }
    });
}

fn sorted_statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    statuses
}
