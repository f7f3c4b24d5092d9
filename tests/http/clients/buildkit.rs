//! buildkit and `docker buildx`.

use serde_json::json;

use crate::content::{Blob, Image, Index};
use crate::registry::over_each_store;

#[test]
fn buildkit_pushes_attestations_as_untagged_children_of_the_index() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        registry.holding("a", &config).await;
        registry.holding("a", &layer).await;
        let image = Image::with_config(&config).layer(&layer).build();
        let attestation = Image::with_config(&config)
            .layer_of(&layer, "application/vnd.in-toto+json")
            .build();
        for manifest in [&image, &attestation] {
            registry.push("a", manifest.digest(), manifest).await;
        }
        let mut child = attestation.descriptor();
        child["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        child["annotations"] = json!({"vnd.docker.reference.digest": image.digest()});
        let index = Index::of([&image]).field("manifests", json!([image.descriptor(), child]));
        let index = index.build();
        registry.push("a", "latest", &index).await;
        let pulled = registry.get("/v2/a/manifests/latest").await.expect(200);
        assert_eq!(pulled.body, index.content());
        let list = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(list.json()["tags"], json!(["latest"]));
    });
}

#[test]
fn buildkit_keeps_its_cache_in_an_image_and_mounts_from_there() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{\"layers\":[]}"), Blob::text("cached"));
        registry.holding("cache", &config).await;
        registry.holding("cache", &layer).await;
        let config_type = "application/vnd.buildkit.cacheconfig.v0";
        let cache = Image::with_config_of(&config, config_type)
            .layer(&layer)
            .build();
        registry.push("cache", "buildcache", &cache).await;
        let path = format!("/v2/a/blobs/uploads/?mount={}&from=cache", layer.digest());
        registry.post(path).body("").await.expect(201);
    });
}
