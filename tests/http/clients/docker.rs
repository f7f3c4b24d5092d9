//! docker with its classic image store.

use http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use octoserve::domain::digest::Digest;

use crate::content::{Blob, Image};
use crate::registry::over_each_store;

#[test]
fn docker_pushes_a_layer_in_one_patch_without_length_or_range() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(500_000);
        let path = format!("/v2/my-alpine/blobs/{}", layer.digest());
        registry.head(&path).await.expect(404);
        let begun = registry.post("/v2/my-alpine/blobs/uploads/").body("");
        let begun = begun.await.expect(202);
        assert!(begun.named("docker-upload-uuid").is_some());
        let pieces: Vec<_> = layer
            .content()
            .chunks(32 * 1024)
            .map(<[u8]>::to_vec)
            .collect();
        let call = registry.patch(begun.location()).pieces(pieces);
        let patched = call.await.expect(202);
        // It reads two numbers, and gives up where there are none.
        let (first, last) = patched
            .named("range")
            .and_then(|range| range.split_once('-'))
            .expect("a Range");
        assert_eq!(first.parse(), Ok(0));
        assert_eq!(last.parse(), Ok(layer.size() - 1));
        let finish = format!("{}?digest={}", patched.location(), layer.digest());
        registry.put(finish).body("").await.expect(201);
        // It looks at once whether the layer is there, and aborts if it is not.
        registry.head(&path).await.expect(200);
    });
}

#[test]
fn docker_reads_the_digest_of_a_pushed_manifest_from_the_answer() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        registry.holding("my-alpine", &config).await;
        registry.holding("my-alpine", &layer).await;
        let image = Image::with_config(&config).layer(&layer).docker().build();
        let call = registry.put("/v2/my-alpine/manifests/latest");
        let call = call.body(image.content());
        let pushed = call.header(CONTENT_TYPE, image.media_type()).await;
        let told = pushed
            .expect(201)
            .named("docker-content-digest")
            .map(str::parse);
        assert_eq!(told, Some(Ok::<Digest, _>(image.digest())));
    });
}

#[test]
fn docker_goes_on_with_a_pull_after_the_bytes_it_has() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(300_000);
        registry.holding("a", &layer).await;
        let call = registry.get(format!("/v2/a/blobs/{}", layer.digest()));
        let rest = call.header(RANGE, "bytes=123456-").await.expect(206);
        // It checks that the part goes to the very end.
        assert_eq!(
            rest.header(CONTENT_RANGE),
            Some("bytes 123456-299999/300000")
        );
        assert_eq!(rest.body, layer.content().slice(123_456..));
    });
}

#[test]
fn docker_pushes_where_a_mount_was_not_possible() {
    over_each_store(async |registry| {
        let layer = Blob::text("layer");
        let query = format!("?from=library%2Falpine&mount={}", layer.digest());
        let call = registry
            .post(format!("/v2/a/blobs/uploads/{query}"))
            .body("");
        let begun = call.await.expect(202);
        let call = registry.patch(begun.location()).pieces([layer.content()]);
        let patched = call.await.expect(202);
        let finish = format!("{}?digest={}", patched.location(), layer.digest());
        registry.put(finish).body("").await.expect(201);
    });
}
