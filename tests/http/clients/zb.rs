//! zb, zot's benchmark.

use crate::content::{Blob, Image};
use crate::registry::over_each_store;

/// What it makes of a Location.
fn without_query(location: &str) -> String {
    location.split('?').next().unwrap_or_default().to_owned()
}

#[test]
fn zb_drops_the_query_of_a_location_and_goes_on_with_an_older_one() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(10_000);
        let begun = registry
            .post("/v2/a/blobs/uploads/")
            .body("")
            .await
            .expect(202);
        let location = without_query(&begun.location());
        let empty = registry.patch(&location).body("").await.expect(202);
        assert!(empty.named("range").is_some());
        for chunk in blob.content().chunks(3000) {
            // With a length, without a range, and always to the first location.
            let call = registry.patch(&location).body(chunk.to_vec());
            call.await.expect(202);
        }
        let finish = format!("{location}?digest={}", blob.digest());
        registry.put(finish).body("").await.expect(201);
        let path = format!("/v2/a/blobs/{}", blob.digest());
        assert_eq!(registry.get(path).await.expect(200).body, blob.content());
    });
}

#[test]
fn zb_accepts_nothing_in_particular_and_wants_its_deletions_accepted() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let image = Image::with_config(&config).build();
        registry.push("a", "v1", &image).await;
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, image.content());
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.delete(path).await.expect(202);
        let path = format!("/v2/a/blobs/{}", config.digest());
        registry.delete(path).await.expect(202);
    });
}
