//! Tags that come with a push by digest.

use crate::content::{Blob, Image, Manifest};
use crate::registry::{TestRegistry, over_each_store};

async fn image(registry: &TestRegistry) -> Manifest {
    let config = Blob::text("{}");
    registry.holding("a", &config).await;
    Image::with_config(&config).build()
}

#[test]
fn a_push_by_digest_sets_the_tags_that_come_with_it() {
    over_each_store(async |registry| {
        let image = image(&registry).await;
        let path = format!("/v2/a/manifests/{}?tag=1.2.3&tag=1.2&tag=1", image.digest());
        let pushed = registry.put(path).body(image.content()).await;
        insta::assert_snapshot!(pushed.wire(), @r#"
        201 Created
        content-length: 0
        docker-content-digest: sha256:1a532c454699d73464c8a86e03915be89b826ed24cd326a0442f0a310fd496af
        docker-distribution-api-version: registry/2.0
        etag: "sha256:1a532c454699d73464c8a86e03915be89b826ed24cd326a0442f0a310fd496af"
        location: /v2/a/manifests/sha256:1a532c454699d73464c8a86e03915be89b826ed24cd326a0442f0a310fd496af
        oci-tag: 1
        oci-tag: 1.2
        oci-tag: 1.2.3
        x-request-id: [request id]
        "#);
        for tag in ["1.2.3", "1.2", "1"] {
            let pulled = registry.get(format!("/v2/a/manifests/{tag}")).await;
            assert_eq!(pulled.expect(200).body, image.content());
        }
    });
}

#[test]
fn a_tag_that_is_named_twice_is_set_once() {
    over_each_store(async |registry| {
        let image = image(&registry).await;
        let path = format!("/v2/a/manifests/{}?tag=b&tag=a&tag=b", image.digest());
        let pushed = registry.put(path).body(image.content()).await.expect(201);
        assert_eq!(pushed.all("oci-tag"), ["b", "a"]);
    });
}

#[test]
fn a_hundred_tags_are_set_and_more_are_too_many() {
    over_each_store(async |registry| {
        let image = image(&registry).await;
        let tags = |count: usize| {
            let tags: Vec<String> = (0..count)
                .map(|number| format!("tag=t{number:03}"))
                .collect();
            format!("/v2/a/manifests/{}?{}", image.digest(), tags.join("&"))
        };
        let refused = registry.put(tags(101)).body(image.content()).await;
        refused.expect_error(414, "UNSUPPORTED");
        registry.get("/v2/a/manifests/t000").await.expect(404);
        let pushed = registry.put(tags(100)).body(image.content()).await;
        assert_eq!(pushed.expect(201).all("oci-tag").len(), 100);
        let list = registry.get("/v2/a/tags/list").await.expect(200).json();
        assert_eq!(list["tags"].as_array().map(Vec::len), Some(100));
    });
}

#[test]
fn one_tag_outside_the_grammar_refuses_them_all() {
    over_each_store(async |registry| {
        let image = image(&registry).await;
        for tag in ["", ".a", "a/b", "a%20b", "%FF", &"t".repeat(129)] {
            let path = format!("/v2/a/manifests/{}?tag=good&tag={tag}", image.digest());
            let refused = registry.put(path).body(image.content()).await;
            refused.expect_error(400, "MANIFEST_INVALID");
        }
        registry.get("/v2/a/manifests/good").await.expect(404);
    });
}

#[test]
fn tags_beside_a_tag_are_refused() {
    over_each_store(async |registry| {
        let image = image(&registry).await;
        let call = registry
            .put("/v2/a/manifests/v1?tag=v2")
            .body(image.content());
        call.await.expect_error(400, "MANIFEST_INVALID");
        registry.get("/v2/a/manifests/v1").await.expect(404);
        registry.get("/v2/a/manifests/v2").await.expect(404);
    });
}

#[test]
fn tags_of_a_refused_push_are_not_set() {
    over_each_store(async |registry| {
        let before = registry.push_image("a", "v1").await;
        let missing = Image::with_config(&Blob::text("missing")).build();
        let path = format!("/v2/a/manifests/{}?tag=v1&tag=v2", missing.digest());
        let refused = registry.put(path).body(missing.content()).await;
        refused.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, before.content());
        registry.get("/v2/a/manifests/v2").await.expect(404);
    });
}
