//! regctl and regsync.

use http::header::{CONTENT_RANGE, CONTENT_TYPE};

use crate::content::Blob;
use crate::registry::over_each_store;

#[test]
fn regctl_asks_how_far_it_came_after_an_error_and_goes_on_from_there() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(3000);
        let begun = registry
            .post("/v2/a/blobs/uploads/")
            .body("")
            .await
            .expect(202);
        // It would make its chunks as long as this says.
        assert_eq!(begun.named("oci-chunk-min-length"), None);
        let location = begun.location();
        let chunk = async |start: usize, end: usize| {
            let call = registry
                .patch(&location)
                .body(blob.content().slice(start..end));
            let call = call.header(CONTENT_TYPE, "application/octet-stream");
            call.header(CONTENT_RANGE, format!("{start}-{}", end - 1))
                .await
        };
        chunk(0, 1000).await.expect(202);
        // It lost the answer, and sends the chunk again.
        chunk(0, 1000).await.expect(416);
        let status = registry.get(&location).await.expect(204);
        assert_eq!(status.named("range"), Some("0-999"));
        assert_eq!(status.location(), location);
        chunk(1000, 2000).await.expect(202);
        chunk(2000, 3000).await.expect(202);
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
    });
}

#[test]
fn regctl_deletes_a_tag_and_leaves_the_image() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        registry.delete("/v2/a/manifests/v1").await.expect(202);
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.head(path).await.expect(200);
    });
}
