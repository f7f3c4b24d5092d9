//! podman, skopeo, buildah and CRI-O, which share their libraries.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};

use crate::content::{Blob, Image};
use crate::registry::{Setup, over_each_store, over_the_filesystem};

#[test]
fn podman_wants_each_step_of_a_push_to_have_exactly_its_status() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::of_size(100_000));
        for blob in [&config, &layer] {
            let path = format!("/v2/a/blobs/{}", blob.digest());
            registry.head(&path).await.expect(404);
            let begun = registry
                .post("/v2/a/blobs/uploads/")
                .body("")
                .await
                .expect(202);
            // It does not know how long what it compresses will be.
            let pieces: Vec<_> = blob.content().chunks(7777).map(<[u8]>::to_vec).collect();
            let call = registry.patch(begun.location()).pieces(pieces);
            let patched = call.await.expect(202);
            let finish = format!("{}?digest={}", patched.location(), blob.digest());
            let call = registry.put(finish).body("");
            let call = call.header(CONTENT_TYPE, "application/octet-stream");
            call.await.expect(201);
            let head = registry.head(&path).await.expect(200);
            assert_eq!(head.header(CONTENT_LENGTH), Some(&*blob.size().to_string()));
        }
        let image = Image::with_config(&config).layer(&layer).build();
        let call = registry.put("/v2/a/manifests/v1").body(image.content());
        call.header(CONTENT_TYPE, image.media_type())
            .await
            .expect(201);
    });
}

#[test]
fn skopeo_is_not_surprised_by_a_blob_that_is_there_already() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        // Whatever the registry has, a session is what was asked for.
        registry
            .post("/v2/a/blobs/uploads/")
            .body("")
            .await
            .expect(202);
    });
}

#[test]
fn buildah_cancels_the_session_that_a_failed_mount_has_begun() {
    over_each_store(async |registry| {
        let digest = Blob::text("nowhere").digest();
        let path = format!("/v2/a/blobs/uploads/?mount={digest}&from=b");
        let begun = registry.post(path).body("").await.expect(202);
        registry.delete(begun.location()).await.expect(204);
        registry.get(begun.location()).await.expect(404);
    });
}

#[test]
fn skopeo_deletes_an_image_by_the_digest_that_its_tag_has() {
    over_each_store(async |registry| {
        registry.push_image("a", "v1").await;
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        let digest = pulled.named("docker-content-digest").expect("a digest");
        let path = format!("/v2/a/manifests/{digest}");
        registry.delete(path).await.expect(202);
        registry.get("/v2/a/manifests/v1").await.expect(404);
    });
}

#[test]
fn podman_converts_an_image_whose_manifest_is_refused_as_invalid() {
    over_each_store(async |registry| {
        // Any other code ends the push.
        let call = registry
            .put("/v2/a/manifests/v1")
            .body("{\"schemaVersion\":1}");
        let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let refused = call.header(CONTENT_TYPE, media_type).await;
        refused.expect_error(400, "MANIFEST_INVALID");
    });
}

#[test]
fn skopeo_looks_for_signatures_that_this_registry_does_not_have() {
    over_each_store(async |registry| {
        let ping = registry.get("/v2/").await.expect(200);
        assert_eq!(ping.named("x-registry-supports-signatures"), None);
        let image = registry.push_image("a", "v1").await;
        let path = format!("/extensions/v2/a/signatures/{}", image.digest());
        registry.get(path).await.expect(404);
    });
}

/// Of a zstd:chunked layer podman fetches just the pieces that it lacks, as many
/// as 1,024 in one request. It takes all parts, or the whole layer, or a 400 as
/// a sign to ask for fewer pieces; any other answer ends the pull.
#[test]
fn podman_asks_for_a_thousand_pieces_of_a_layer_at_once() {
    let ranges: Vec<String> = (0..1024)
        .map(|number| format!("{}-{}", number * 1000, number * 1000 + 99))
        .collect();
    let header = format!("bytes={}", ranges.join(","));
    over_each_store(async |registry| {
        let layer = Blob::of_size(1_024_000);
        registry.holding("a", &layer).await;
        let path = format!("/v2/a/blobs/{}", layer.digest());
        let answer = registry.get(path).header(RANGE, &header).await;
        match answer.status.as_u16() {
            200 => assert_eq!(answer.body, layer.content()),
            400 => {}
            206 => {
                let parts = answer
                    .body
                    .windows(16)
                    .filter(|w| w == b"\r\nContent-Range:");
                assert_eq!(parts.count(), 1024);
            }
            other => panic!("{other} ends the pull"),
        }
    });
}

/// Where the parts are sent, one request must not take as many open files.
#[test]
fn a_thousand_pieces_are_not_a_thousand_open_files() {
    let open_files = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    over_the_filesystem(&Setup::default(), async |registry| {
        let layer = Blob::of_size(1_024_000);
        registry.holding("a", &layer).await;
        let ranges: Vec<String> = (0..1000)
            .map(|number| format!("{}-{}", number * 1000, number * 1000 + 99))
            .collect();
        let call = registry.get(format!("/v2/a/blobs/{}", layer.digest()));
        let before = open_files();
        let call = call.header(RANGE, format!("bytes={}", ranges.join(",")));
        let response = call.unread().await;
        // Other tests open files meanwhile, but not by the hundred.
        let opened = open_files().saturating_sub(before);
        drop(response);
        assert!(opened < 500, "{opened} open files for one response");
    });
}
