//! The catalog: the repositories that hold manifests.

use http::header::LINK;
use serde_json::json;

use crate::content::{Blob, Index};
use crate::registry::{TestRegistry, over_each_store};

async fn repositories(registry: &TestRegistry, names: &[&str]) {
    let manifest = Index::of([]).build();
    for name in names {
        registry.push(name, "v1", &manifest).await;
    }
}

#[test]
fn an_empty_registry_has_an_empty_catalog() {
    over_each_store(async |registry| {
        let catalog = registry.get("/v2/_catalog").await;
        insta::assert_snapshot!(catalog.wire(), @r#"
        200 OK
        content-length: 19
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        etag: "4f1503a053d05a5d9a02c2bc255285c8bd8c12b65a5f9c39dc698642b5e577fc"
        x-request-id: [request id]

        {"repositories":[]}
        "#);
    });
}

#[test]
fn a_page_of_the_catalog_says_where_the_next_one_is() {
    over_each_store(async |registry| {
        repositories(&registry, &["a", "b/c", "d"]).await;
        let first = registry.get("/v2/_catalog?n=2").await;
        insta::assert_snapshot!(first.wire(), @r#"
        200 OK
        content-length: 28
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        etag: "c17de17392bc4c1d0bf517b9229da9324a5cb6d61c1cb1232afdd1f0f660de84"
        link: </v2/_catalog?n=2&last=b/c>; rel="next"
        x-request-id: [request id]

        {"repositories":["a","b/c"]}
        "#);
        let second = registry.get(first.next_page().expect("a next page")).await;
        assert_eq!(second.expect(200).json(), json!({"repositories": ["d"]}));
    });
}

#[test]
fn repositories_are_in_the_order_of_their_bytes() {
    over_each_store(async |registry| {
        // `-`, `.`, `/` and the digits come before the letters, `_` between.
        let mut names = [
            "a",
            "a/b",
            "a-b",
            "a.b",
            "a_b",
            "a__b",
            "ab",
            "a0",
            "a/b/c",
            "a-b/c",
            "b",
            "z",
            "0",
            "library/alpine",
            "library/alpine-2",
            "a--b",
        ];
        repositories(&registry, &names).await;
        names.sort_unstable();
        let whole = registry.get("/v2/_catalog").await.expect(200);
        assert_eq!(whole.json(), json!({"repositories": names}));
        for n in [1, 2, 5, 15, 16] {
            let mut listed = Vec::new();
            let mut next = Some(format!("/v2/_catalog?n={n}"));
            while let Some(path) = next {
                let page = registry.get(path).await.expect(200);
                let entries = page.json()["repositories"].as_array().cloned();
                listed.extend(entries.expect("a list"));
                next = page.next_page();
                assert!(listed.len() <= names.len(), "n={n}");
            }
            assert_eq!(json!(listed), json!(names), "n={n}");
        }
    });
}

#[test]
fn the_catalog_starts_after_its_cursor() {
    over_each_store(async |registry| {
        repositories(&registry, &["a", "b/c", "d"]).await;
        for (query, listed) in [
            ("last=a", &["b/c", "d"][..]),
            ("last=b%2Fc", &["d"]),
            ("last=b/c", &["d"]),
            ("last=b", &["b/c", "d"]),
            ("last=c", &["d"]),
            ("last=d", &[]),
            ("n=1&last=a", &["b/c"]),
            ("n=0", &[]),
            ("n=0&last=a", &[]),
        ] {
            let page = registry.get(format!("/v2/_catalog?{query}")).await;
            let page = page.expect(200);
            assert_eq!(page.json(), json!({"repositories": listed}), "{query}");
            if query.starts_with("n=0") {
                assert_eq!(page.header(LINK), None);
            }
        }
    });
}

#[test]
fn a_repository_that_holds_no_manifest_is_not_listed() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("blobs", &blob).await;
        registry.begin("uploads").await;
        let path = format!("/v2/mounts/blobs/uploads/?mount={}", blob.digest());
        registry.post(path).body("").await.expect(201);
        let refused = registry.put("/v2/refused/manifests/v1").body("{}").await;
        refused.expect(400);
        let catalog = registry.get("/v2/_catalog").await.expect(200);
        assert_eq!(catalog.json(), json!({"repositories": []}));
    });
}
