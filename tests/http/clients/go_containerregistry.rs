//! crane, ko, kaniko and cosign, which share google/go-containerregistry.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK};
use octoserve::domain::media_type::OCI_INDEX;

use crate::content::{Blob, Index};
use crate::registry::over_each_store;

#[test]
fn crane_calls_an_empty_body_json_and_begins_a_session_with_it() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(100_000);
        let query = format!(
            "mount={}&from=nowhere&origin=registry.example",
            layer.digest()
        );
        for path in [
            "/v2/a/blobs/uploads/".to_owned(),
            format!("/v2/a/blobs/uploads/?{query}"),
        ] {
            let call = registry.post(path).body("");
            let call = call.header(CONTENT_TYPE, "application/json");
            let begun = call.await.expect(202);
            let call = registry.patch(begun.location()).body(layer.content());
            let patched = call.await.expect(202);
            let finish = format!("{}?digest={}", patched.location(), layer.digest());
            let call = registry.put(finish).body("");
            call.header(CONTENT_TYPE, "application/json")
                .await
                .expect(201);
        }
        let query = format!("mount={}&from=a&origin=registry.example", layer.digest());
        let call = registry
            .post(format!("/v2/b/blobs/uploads/?{query}"))
            .body("");
        call.await.expect(201);
    });
}

#[test]
fn crane_refuses_a_head_of_a_manifest_without_type_length_and_digest() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        for reference in ["v1".to_owned(), image.digest().to_string()] {
            let head = registry.head(format!("/v2/a/manifests/{reference}")).await;
            let head = head.expect(200);
            assert_eq!(head.header(CONTENT_TYPE), Some(image.media_type()));
            let length = head.header(CONTENT_LENGTH).map(str::parse);
            assert_eq!(length, Some(Ok(image.content().len())));
            let told = head.named("docker-content-digest");
            assert_eq!(told, Some(&*image.digest().to_string()));
        }
    });
}

#[test]
fn ko_knows_two_answers_to_head_of_a_blob() {
    over_each_store(async |registry| {
        let layer = Blob::text("layer");
        let path = format!("/v2/a/blobs/{}", layer.digest());
        registry.head(&path).await.expect(404);
        registry.holding("a", &layer).await;
        registry.head(&path).await.expect(200);
    });
}

#[test]
fn crane_follows_a_link_only_to_where_it_came_from() {
    over_each_store(async |registry| {
        let index = Index::of([]).build();
        let path = format!("/v2/a/manifests/{}?tag=v1&tag=v2", index.digest());
        registry.put(path).body(index.content()).await.expect(201);
        let page = registry.get("/v2/a/tags/list?n=1").await.expect(200);
        assert_eq!(
            page.header(LINK),
            Some("</v2/a/tags/list?n=1&last=v1>; rel=\"next\"")
        );
    });
}

#[test]
fn cosign_takes_referrers_for_supported_by_the_exact_type_of_the_list() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let path = format!("/v2/a/referrers/{}", image.digest());
        for call in [registry.get(&path), registry.head(&path)] {
            assert_eq!(call.await.expect(200).header(CONTENT_TYPE), Some(OCI_INDEX));
        }
    });
}
