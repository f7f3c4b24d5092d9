//! Content that is not what it was: lost, cut, grown or rotten on the disk.
//!
//! Whoever asks for it is told so, or gets a response that breaks off; nobody
//! gets a success that is not the content. Pushing it again repairs it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use http::header::RANGE;
use http_body_util::BodyExt;
use octoserve::adapters::http::server::ConnectionInfo;
use octoserve::app::RegistryRules;

use crate::content::{Blob, Image};
use crate::registry::{Setup, TestRegistry, over_the_filesystem};

/// Small content is kept in memory for a while, and is good for as long.
const CACHED: Duration = Duration::from_secs(2);

type Damage = (&'static str, fn(&Path));

/// Everything that changes the length.
const LENGTHS: [Damage; 4] = [
    ("removed", |file| fs::remove_file(file).expect("a file")),
    ("cut to nothing", |file| resize(file, |_| 0)),
    ("cut by a byte", |file| resize(file, |size| size - 1)),
    ("grown by a byte", |file| resize(file, |size| size + 1)),
];

fn resize(file: &Path, size: impl Fn(u64) -> u64) {
    let file = fs::File::options().write(true).open(file).expect("a file");
    let before = file.metadata().expect("a file's metadata").len();
    file.set_len(size(before)).expect("a file of that size");
}

fn rot(file: &Path) {
    let mut content = fs::read(file).expect("a file");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(file, content).expect("a file");
}

fn path_of(repository: &str, blob: &Blob) -> String {
    format!("/v2/{repository}/blobs/{}", blob.digest())
}

#[test]
fn a_damaged_blob_is_never_a_success_and_pushing_it_again_repairs_it() {
    over_the_filesystem(&Setup::default(), async |registry| {
        for size in [1000, 65_537, 3_000_000] {
            let blob = Blob::of_size(size);
            let path = path_of("a", &blob);
            for (name, damage) in LENGTHS {
                registry.holding("a", &blob).await;
                registry.get(&path).await.expect(200);
                damage(&registry.file_of(&blob.digest()));
                registry.clock.advance(CACHED);
                for call in [
                    registry.get(&path),
                    registry.head(&path),
                    registry.get(&path).header(RANGE, "bytes=0-0"),
                    registry.get(&path).header(RANGE, "bytes=-1"),
                    registry.get(&path).header(RANGE, "bytes=0-0,2-2"),
                ] {
                    let answer = call.await;
                    assert_eq!(answer.status, 404, "{size} bytes {name}");
                    answer.expect_error(404, "BLOB_UNKNOWN");
                }
            }
            registry.holding("a", &blob).await;
            assert_eq!(registry.get(&path).await.expect(200).body, blob.content());
            registry.head(&path).await.expect(200);
        }
    });
}

#[test]
fn what_is_in_memory_is_good_for_as_long_as_it_is_kept() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        registry.get(path_of("a", &blob)).await.expect(200);
        rot(&registry.file_of(&blob.digest()));
        let pulled = registry.get(path_of("a", &blob)).await.expect(200);
        assert_eq!(pulled.body, blob.content());
    });
}

#[test]
fn a_rotten_byte_in_small_content_is_found_by_whoever_asks_for_it() {
    let setup = Setup {
        rules: RegistryRules {
            cache_size: 0,
            ..RegistryRules::default()
        },
        ..Setup::default()
    };
    over_the_filesystem(&setup, async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::of_size(60_000));
        registry.holding("a", &config).await;
        registry.holding("a", &layer).await;
        let image = Image::with_config(&config).layer(&layer).build();
        registry.push("a", "v1", &image).await;
        rot(&registry.file_of(&layer.digest()));
        rot(&registry.file_of(&image.digest()));
        for range in ["bytes=0-", "bytes=0-0"] {
            let answer = registry.get(path_of("a", &layer)).header(RANGE, range);
            answer.await.expect_error(404, "BLOB_UNKNOWN");
        }
        for reference in ["v1".to_owned(), image.digest().to_string()] {
            let path = format!("/v2/a/manifests/{reference}");
            let answer = registry.get(path).await;
            answer.expect_error(404, "MANIFEST_UNKNOWN");
        }
        registry.holding("a", &layer).await;
        registry.push("a", "v1", &image).await;
        let pulled = registry.get(path_of("a", &layer)).await.expect(200);
        assert_eq!(pulled.body, layer.content());
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, image.content());
    });
}

/// A large blob is not read whole before it is sent, so a byte that rots is the
/// client's to find; what the registry owes it is that the push repairs it.
#[test]
fn a_push_repairs_a_large_blob_that_has_rotted() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let blob = Blob::of_size(200_000);
        registry.holding("a", &blob).await;
        rot(&registry.file_of(&blob.digest()));
        registry.holding("b", &blob).await;
        for repository in ["a", "b"] {
            let pulled = registry.get(path_of(repository, &blob)).await.expect(200);
            assert_eq!(pulled.body, blob.content());
        }
    });
}

/// Not even HEAD: a client that is told that a manifest is there does not push
/// it, and so would never repair it.
#[test]
fn a_damaged_manifest_is_unknown_and_pushing_it_again_repairs_it() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let image = registry.push_image("a", "v1").await;
        for (name, damage) in LENGTHS {
            damage(&registry.file_of(&image.digest()));
            registry.clock.advance(CACHED);
            for reference in ["v1".to_owned(), image.digest().to_string()] {
                let path = format!("/v2/a/manifests/{reference}");
                for call in [registry.get(&path), registry.head(&path)] {
                    let answer = call.await;
                    assert_eq!(answer.status, 404, "{name}\n{}", answer.wire());
                    answer.expect_error(404, "MANIFEST_UNKNOWN");
                }
            }
            registry.push("a", "v1", &image).await;
            let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
            assert_eq!(pulled.body, image.content());
        }
    });
}

#[test]
fn a_damaged_blob_is_not_there_for_a_manifest_that_refers_to_it() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::of_size(100_000));
        let image = Image::with_config(&config).layer(&layer).build();
        registry.holding("a", &config).await;
        for (name, damage) in LENGTHS {
            registry.holding("a", &layer).await;
            damage(&registry.file_of(&layer.digest()));
            let call = registry.put("/v2/a/manifests/v1").body(image.content());
            let refused = call.await;
            assert_eq!(refused.status, 400, "{name}");
            let errors = refused.errors();
            assert_eq!(errors[0].0, "MANIFEST_BLOB_UNKNOWN");
            assert_eq!(errors[0].1["digest"], layer.digest().to_string());
        }
    });
}

#[test]
fn a_damaged_blob_is_not_mounted_from_the_repository_that_had_it() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let blob = Blob::of_size(100_000);
        for (name, damage) in LENGTHS {
            registry.holding("a", &blob).await;
            damage(&registry.file_of(&blob.digest()));
            let path = format!("/v2/b/blobs/uploads/?mount={}&from=a", blob.digest());
            let answer = registry.post(path).body("").await;
            assert_eq!(answer.status, 202, "{name}");
        }
    });
}

/// A mount that names no repository finds the content without knowing how long
/// it should be; it must not take what is left of it for the whole.
#[test]
fn a_damaged_blob_is_not_mounted_from_nowhere_and_served_as_a_whole() {
    over_the_filesystem(&Setup::default(), async |registry| {
        for size in [1000, 100_000] {
            let blob = Blob::of_size(size);
            for (name, damage) in LENGTHS {
                registry.holding("a", &blob).await;
                damage(&registry.file_of(&blob.digest()));
                registry.clock.advance(CACHED);
                for repository in ["a", "b"] {
                    let path = format!("/v2/{repository}/blobs/uploads/?mount={}", blob.digest());
                    registry.post(path).body("").await;
                    let path = path_of(repository, &blob);
                    let head = registry.head(&path).await;
                    assert_eq!(head.status, 404, "HEAD: {size} bytes {name}");
                    let pulled = registry.get(&path).unread().await;
                    assert_eq!(pulled.status(), 404, "GET: {size} bytes {name}");
                }
            }
        }
    });
}

/// What was opened when it was whole, and cut while it was sent.
async fn cut_while_it_is_sent(registry: &TestRegistry, connection: Option<ConnectionInfo>) {
    let blob = Blob::of_size(3_000_000);
    registry.holding("a", &blob).await;
    let mut call = registry.get(path_of("a", &blob));
    if let Some(connection) = connection {
        call = call.extension(connection);
    }
    let response = call.unread().await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut received = Vec::new();
    let first = body.frame().await.expect("a frame").expect("good bytes");
    received.extend_from_slice(first.data_ref().expect("data"));
    drop(first);
    resize(&registry.file_of(&blob.digest()), |_| 1_000_000);
    let broken = loop {
        match body.frame().await {
            Some(Ok(frame)) => received.extend_from_slice(frame.data_ref().expect("data")),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken, "it broke off after {} bytes", received.len());
    assert!(received.len() <= 1_000_000);
    assert_eq!(received, blob.content()[..received.len()]);
}

#[test]
fn a_blob_that_is_cut_while_it_is_sent_breaks_off() {
    over_the_filesystem(&Setup::default(), async |registry| {
        cut_while_it_is_sent(&registry, None).await;
    });
}

#[test]
fn a_blob_that_is_cut_while_it_is_mapped_breaks_off() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let connection = ConnectionInfo {
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)),
            tls: false,
        };
        cut_while_it_is_sent(&registry, Some(connection)).await;
    });
}

#[test]
fn a_blob_that_is_pushed_anew_while_it_is_sent_arrives_whole() {
    over_the_filesystem(&Setup::default(), async |registry| {
        let blob = Blob::of_size(3_000_000);
        registry.holding("a", &blob).await;
        let response = registry.get(path_of("a", &blob)).unread().await;
        let mut body = response.into_body();
        let first = body.frame().await.expect("a frame").expect("good bytes");
        let mut received = first.into_data().expect("data").to_vec();
        registry.holding("b", &blob).await;
        registry.delete(path_of("a", &blob)).await.expect(202);
        let rest = body.collect().await.expect("good bytes").to_bytes();
        received.extend_from_slice(&rest);
        assert_eq!(received, blob.content());
    });
}
