//! The tags of a repository, whole and page by page.

use http::header::{IF_NONE_MATCH, LINK};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::content::{Index, Manifest};
use crate::registry::{TestRegistry, over_each_store};

/// Sets tags, as many as one push takes at a time.
async fn tag(registry: &TestRegistry, repository: &str, tags: &[impl AsRef<str>]) -> Manifest {
    let manifest = Index::of([]).build();
    for tags in tags.chunks(100) {
        let query: Vec<String> = tags
            .iter()
            .map(|tag| format!("tag={}", tag.as_ref()))
            .collect();
        let path = format!("/v2/{repository}/manifests/{}", manifest.digest());
        let call = registry.put(format!("{path}?{}", query.join("&")));
        call.body(manifest.content()).await.expect(201);
    }
    manifest
}

fn tags(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    let tags = list["tags"].as_array().expect("a list").iter();
    tags.map(|tag| tag.as_str().expect("a tag").to_owned())
        .collect()
}

/// Follows a list to its end, and returns what each page held.
async fn follow(registry: &TestRegistry, path: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = registry.get(path).await.expect(200);
        pages.push(tags(&page));
        next = page.next_page();
        assert!(pages.len() < 1000, "the list has an end");
    }
    pages
}

#[test]
fn a_page_of_tags_says_where_the_next_one_is() {
    over_each_store(async |registry| {
        tag(&registry, "a/b", &["v1", "v2", "v3"]).await;
        let first = registry.get("/v2/a/b/tags/list?n=2").await;
        insta::assert_snapshot!(first.wire(), @r#"
        200 OK
        content-length: 33
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        etag: "3cd77ce2733e9e4f7ba736681ed9782c01ba87d188e5bf8e368fd7becdda3114"
        link: </v2/a/b/tags/list?n=2&last=v2>; rel="next"
        x-request-id: [request id]

        {"name":"a/b","tags":["v1","v2"]}
        "#);
        let path = first.next_page().expect("a next page");
        let second = registry.get(path).await;
        insta::assert_snapshot!(second.wire(), @r#"
        200 OK
        content-length: 28
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        etag: "0f6e38d1db57116b5055192e10963f2668019763d5e68b08369f69739ae356a3"
        x-request-id: [request id]

        {"name":"a/b","tags":["v3"]}
        "#);
    });
}

#[test]
fn tags_are_in_the_order_of_their_bytes() {
    over_each_store(async |registry| {
        let mut given = [
            "latest", "Latest", "_", "1", "10", "2", "v1", "v1.0", "v1-rc", "v1_0", "V2", "a", "A",
            "z", "0", "v", "v1.10", "v1.9", "LATEST", "__",
        ];
        tag(&registry, "a", &given).await;
        given.sort_unstable();
        let whole = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(tags(&whole), given);
        assert_eq!(whole.header(LINK), None);
        for n in [1, 2, 3, 7, 19] {
            let pages = follow(&registry, &format!("/v2/a/tags/list?n={n}")).await;
            assert_eq!(pages.concat(), given, "n={n}");
            let (last, full) = pages.split_last().expect("a page");
            assert!(full.iter().all(|page| page.len() == n), "n={n}");
            assert!((1..=n).contains(&last.len()), "n={n}");
        }
    });
}

#[test]
fn a_page_that_ends_with_the_list_has_no_next_one() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["v1", "v2", "v3", "v4"]).await;
        for query in [
            "n=4",
            "n=5",
            "n=2&last=v2",
            "last=v3",
            "n=1&last=v3",
            "n=9&last=v4",
        ] {
            let page = registry.get(format!("/v2/a/tags/list?{query}")).await;
            assert_eq!(page.expect(200).header(LINK), None, "{query}");
        }
        assert_eq!(follow(&registry, "/v2/a/tags/list?n=2").await.len(), 2);
    });
}

#[test]
fn a_page_starts_after_its_cursor() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["b", "d", "f"]).await;
        for (query, listed) in [
            ("last=b", &["d", "f"][..]),
            ("last=d", &["f"]),
            ("last=f", &[]),
            ("last=", &["b", "d", "f"]),
            ("n=1&last=b", &["d"]),
            // What is no tag of the repository, or no tag at all, is a place too.
            ("last=a", &["b", "d", "f"]),
            ("last=c", &["d", "f"]),
            ("last=z", &[]),
            ("last=B", &["b", "d", "f"]),
            ("last=%2F%2F", &["b", "d", "f"]),
            ("last=%FF", &[]),
            ("last=~", &[]),
        ] {
            let page = registry.get(format!("/v2/a/tags/list?{query}")).await;
            assert_eq!(tags(&page.expect(200)), listed, "{query}");
        }
    });
}

#[test]
fn a_cursor_outlives_its_tag() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["v1", "v2", "v3", "v4"]).await;
        let first = registry.get("/v2/a/tags/list?n=2").await.expect(200);
        let next = first.next_page().expect("a next page");
        registry.delete("/v2/a/manifests/v2").await.expect(202);
        let second = registry.get(&next).await.expect(200);
        assert_eq!(tags(&second), ["v3", "v4"]);
        // A tag that comes in between is not missed either.
        tag(&registry, "a", &["v2a", "v1a"]).await;
        let second = registry.get(&next).await.expect(200);
        assert_eq!(tags(&second), ["v2a", "v3"]);
    });
}

#[test]
fn a_page_of_no_tags_is_empty_and_the_last() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["v1", "v2"]).await;
        for query in ["n=0", "n=0&last=v1", "n=00"] {
            let page = registry.get(format!("/v2/a/tags/list?{query}")).await;
            let page = page.expect(200);
            assert_eq!(page.json(), json!({"name": "a", "tags": []}));
            assert_eq!(page.header(LINK), None);
        }
        let unknown = registry.get("/v2/b/tags/list?n=0").await;
        unknown.expect_error(404, "NAME_UNKNOWN");
    });
}

#[test]
fn an_n_that_is_no_number_of_tags_is_refused() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["v1"]).await;
        for n in [
            "", "-1", "%2B1", "+1", "ten", "1.5", "0x10", "1%20", "%FF", "\u{661}",
        ] {
            let n = percent_encoding::utf8_percent_encode(n, percent_encoding::CONTROLS);
            for path in ["/v2/a/tags/list", "/v2/_catalog"] {
                let refused = registry.get(format!("{path}?n={n}")).await;
                refused.expect_error(400, "PAGINATION_NUMBER_INVALID");
            }
        }
    });
}

#[test]
fn a_huge_n_asks_for_all() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["v1", "v2"]).await;
        for n in ["10000", "10001", "4294967296", "99999999999999999999999999"] {
            let page = registry.get(format!("/v2/a/tags/list?n={n}")).await;
            let page = page.expect(200);
            assert_eq!(tags(&page), ["v1", "v2"]);
            assert_eq!(page.header(LINK), None);
        }
    });
}

#[test]
fn a_list_that_is_longer_than_any_page_is_still_listed_whole() {
    over_each_store(async |registry| {
        let given: Vec<String> = (0..10_050).map(|number| format!("t{number:05}")).collect();
        tag(&registry, "a", &given).await;
        for path in ["/v2/a/tags/list", "/v2/a/tags/list?n=99999"] {
            let pages = follow(&registry, path).await;
            let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
            assert_eq!(lengths, [10_000, 50]);
            assert_eq!(pages.concat(), given);
        }
    });
}

#[test]
fn the_tags_of_no_repository_are_an_error() {
    over_each_store(async |registry| {
        registry.push_image("a/b", "v1").await;
        for name in ["a", "b", "a/b/c", "nowhere"] {
            let path = format!("/v2/{name}/tags/list");
            for call in [registry.get(&path), registry.head(&path)] {
                call.await.expect_error(404, "NAME_UNKNOWN");
            }
        }
        let unknown = registry.get("/v2/nowhere/tags/list").await;
        insta::assert_snapshot!(unknown.wire(), @r#"
        404 Not Found
        content-length: 110
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"NAME_UNKNOWN","detail":{"name":"nowhere"},"message":"repository nowhere does not exist"}]}
        "#);
    });
}

#[test]
fn a_repository_without_tags_has_an_empty_list() {
    over_each_store(async |registry| {
        let manifest = tag(&registry, "a", &["v1"]).await;
        registry.delete("/v2/a/manifests/v1").await.expect(202);
        registry.push("b", manifest.digest(), &manifest).await;
        for name in ["a", "b"] {
            let list = registry.get(format!("/v2/{name}/tags/list")).await;
            assert_eq!(list.expect(200).json(), json!({"name": name, "tags": []}));
        }
    });
}

#[test]
fn a_list_that_the_client_has_is_not_sent_again() {
    over_each_store(async |registry| {
        tag(&registry, "a", &["v1", "v2", "v3"]).await;
        for path in ["/v2/a/tags/list", "/v2/a/tags/list?n=2", "/v2/_catalog"] {
            let list = registry.get(path).await.expect(200);
            let etag = list.etag();
            for condition in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
                for call in [registry.get(path), registry.head(path)] {
                    let unchanged = call.header(IF_NONE_MATCH, &condition).await.expect(304);
                    assert_eq!(unchanged.etag(), etag);
                    assert_eq!(unchanged.header(LINK), list.header(LINK));
                }
            }
            let other = registry.get(path).header(IF_NONE_MATCH, "\"other\"");
            assert_eq!(other.await.expect(200).body, list.body);
        }
        let whole = registry.get("/v2/a/tags/list").await.expect(200).etag();
        let page = registry.get("/v2/a/tags/list?n=2").await.expect(200).etag();
        assert_ne!(whole, page);
        tag(&registry, "a", &["v4"]).await;
        let changed = registry
            .get("/v2/a/tags/list")
            .header(IF_NONE_MATCH, &whole);
        let changed = changed.await.expect(200);
        assert_eq!(tags(&changed), ["v1", "v2", "v3", "v4"]);
        registry.delete("/v2/a/manifests/v4").await.expect(202);
        let back = registry
            .get("/v2/a/tags/list")
            .header(IF_NONE_MATCH, &whole);
        back.await.expect(304);
    });
}

#[test]
fn head_tells_of_a_list_what_get_tells() {
    over_each_store(async |registry| {
        let manifest = tag(&registry, "a", &["v1", "v2", "v3"]).await;
        for path in [
            "/v2/a/tags/list?n=2".to_owned(),
            "/v2/_catalog".to_owned(),
            format!("/v2/a/referrers/{}?artifactType=x", manifest.digest()),
        ] {
            let mut get = registry.get(&path).await.expect(200).headers;
            let mut head = registry.head(&path).await.expect(200).headers;
            assert_ne!(get.remove("x-request-id"), head.remove("x-request-id"));
            assert_eq!(get, head);
        }
    });
}

#[test]
fn every_tag_is_listed_right_after_its_push_and_no_more_after_its_deletion() {
    over_each_store(async |registry| {
        let mut expected: Vec<Value> = Vec::new();
        for number in 0..30 {
            let name = format!("t{number:02}");
            tag(&registry, "a", &[&name]).await;
            expected.push(json!(name));
            let list = registry.get("/v2/a/tags/list").await.expect(200);
            assert_eq!(list.json()["tags"], json!(expected));
        }
        for number in 0..30 {
            let path = format!("/v2/a/manifests/t{number:02}");
            registry.delete(path).await.expect(202);
            expected.remove(0);
            let list = registry.get("/v2/a/tags/list").await.expect(200);
            assert_eq!(list.json()["tags"], json!(expected));
        }
    });
}
