//! Renovate, Flux and Argo CD, which ask for the same thing all day long.

use http::header::{IF_NONE_MATCH, LINK};
use serde_json::json;

use crate::content::Index;
use crate::registry::over_each_store;

#[test]
fn renovate_asks_for_a_thousand_tags_and_gets_them_once() {
    over_each_store(async |registry| {
        registry.push_image("a", "v1").await;
        registry.push_image("a", "v2").await;
        let path = "/v2/a/tags/list?n=1000";
        let list = registry.get(path).await.expect(200);
        assert_eq!(list.json()["tags"], json!(["v1", "v2"]));
        assert_eq!(list.header(LINK), None);
        let again = registry.get(path).header(IF_NONE_MATCH, list.etag());
        again.await.expect(304);
    });
}

#[test]
fn flux_sees_by_head_that_a_tag_has_moved() {
    over_each_store(async |registry| {
        let first = registry.push_image("a", "latest").await;
        let digest = async || {
            let head = registry.head("/v2/a/manifests/latest").await.expect(200);
            let digest = head.named("docker-content-digest").map(str::to_owned);
            digest.expect("a digest")
        };
        assert_eq!(digest().await, first.digest().to_string());
        let second = Index::of([&first]).build();
        registry.push("a", "latest", &second).await;
        assert_eq!(digest().await, second.digest().to_string());
    });
}
