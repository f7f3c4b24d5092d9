//! Deleting tags and manifests, and what goes with them.

use serde_json::json;

use crate::content::{Blob, Image, Index};
use crate::registry::over_each_store;

#[test]
fn a_deleted_tag_leaves_the_manifest_and_its_other_tags() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        registry.push("a", "v2", &image).await;
        let deleted = registry.delete("/v2/a/manifests/v1").await;
        insta::assert_snapshot!(deleted.wire(), @"
        202 Accepted
        content-length: 0
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]
        ");
        for call in [
            registry.get("/v2/a/manifests/v1"),
            registry.head("/v2/a/manifests/v1"),
            registry.delete("/v2/a/manifests/v1"),
        ] {
            call.await.expect_error(404, "MANIFEST_UNKNOWN");
        }
        for reference in ["v2".to_owned(), image.digest().to_string()] {
            let path = format!("/v2/a/manifests/{reference}");
            registry.get(path).await.expect(200);
        }
        let list = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(list.json()["tags"], json!(["v2"]));
    });
}

#[test]
fn a_deleted_manifest_takes_its_tags_with_it() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let other = registry.push_image("a", "other").await;
        registry.push("a", "v2", &image).await;
        // A tag that has moved on is not its tag any more.
        registry.push("a", "moved", &image).await;
        registry.push("a", "moved", &other).await;
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.get(&path).await.expect(200);
        registry.delete(&path).await.expect(202);
        for reference in ["v1".to_owned(), "v2".to_owned(), image.digest().to_string()] {
            let path = format!("/v2/a/manifests/{reference}");
            for call in [
                registry.get(&path),
                registry.head(&path),
                registry.delete(&path),
            ] {
                call.await.expect_error(404, "MANIFEST_UNKNOWN");
            }
        }
        let list = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(list.json()["tags"], json!(["moved", "other"]));
        let moved = registry.get("/v2/a/manifests/moved").await.expect(200);
        assert_eq!(moved.body, other.content());
    });
}

#[test]
fn a_manifest_that_is_deleted_in_one_repository_stays_in_the_others() {
    over_each_store(async |registry| {
        let index = Index::of([]).build();
        for repository in ["a", "a/b", "b"] {
            registry.push(repository, "v1", &index).await;
        }
        let path = format!("/v2/a/manifests/{}", index.digest());
        registry.delete(path).await.expect(202);
        registry.get("/v2/a/manifests/v1").await.expect(404);
        for repository in ["a/b", "b"] {
            let pulled = registry.get(format!("/v2/{repository}/manifests/v1")).await;
            assert_eq!(pulled.expect(200).body, index.content());
        }
    });
}

#[test]
fn a_deleted_manifest_leaves_its_blobs_and_its_children() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        registry.holding("a", &config).await;
        registry.holding("a", &layer).await;
        let image = Image::with_config(&config).layer(&layer).build();
        registry.push("a", "image", &image).await;
        let index = Index::of([&image]).build();
        registry.push("a", "index", &index).await;
        let path = format!("/v2/a/manifests/{}", index.digest());
        registry.delete(path).await.expect(202);
        registry.get("/v2/a/manifests/image").await.expect(200);
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.delete(path).await.expect(202);
        for blob in [config, layer] {
            let path = format!("/v2/a/blobs/{}", blob.digest());
            registry.get(path).await.expect(200);
        }
    });
}

#[test]
fn a_child_may_be_deleted_before_its_index() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "image").await;
        let index = Index::of([&image]).build();
        registry.push("a", "index", &index).await;
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.delete(path).await.expect(202);
        let pulled = registry.get("/v2/a/manifests/index").await.expect(200);
        assert_eq!(pulled.body, index.content());
    });
}

#[test]
fn a_deleted_referrer_is_listed_no_more_and_a_deleted_subject_loses_none() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let first = Index::of([]).field("x", "first").subject(&image).build();
        let second = Index::of([]).field("x", "second").subject(&image).build();
        registry.push("a", first.digest(), &first).await;
        registry.push("a", second.digest(), &second).await;
        let referrers = format!("/v2/a/referrers/{}", image.digest());
        let listed = async || {
            let list = registry.get(&referrers).await.expect(200).json();
            let entries = list["manifests"].as_array().expect("a list").clone();
            let digests = entries.iter().map(|entry| entry["digest"].clone());
            digests.collect::<Vec<_>>()
        };
        assert_eq!(listed().await.len(), 2);
        let path = format!("/v2/a/manifests/{}", first.digest());
        registry.delete(&path).await.expect(202);
        assert_eq!(listed().await, [json!(second.digest())]);
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.delete(&path).await.expect(202);
        assert_eq!(listed().await, [json!(second.digest())]);
        registry.push("a", "again", &first).await;
        assert_eq!(listed().await.len(), 2);
    });
}

#[test]
fn a_deleted_manifest_may_be_pushed_again() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let by_digest = format!("/v2/a/manifests/{}", image.digest());
        for reference in ["v1".to_owned(), "v2".to_owned(), image.digest().to_string()] {
            registry.delete(&by_digest).await.expect(202);
            registry.get(&by_digest).await.expect(404);
            registry.push("a", &reference, &image).await;
            for reference in [reference, image.digest().to_string()] {
                let path = format!("/v2/a/manifests/{reference}");
                let pulled = registry.get(path).await.expect(200);
                assert_eq!(pulled.body, image.content());
            }
        }
        // The tags of its former life stay gone.
        let list = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(list.json()["tags"], json!([]));
    });
}

#[test]
fn a_repository_is_gone_with_its_last_manifest_and_back_with_the_next() {
    over_each_store(async |registry| {
        let first = registry.push_image("a", "v1").await;
        let second = registry.push_image("a", "v2").await;
        let path = |digest| format!("/v2/a/manifests/{digest}");
        registry.delete(path(first.digest())).await.expect(202);
        registry.get("/v2/a/tags/list").await.expect(200);
        registry.delete(path(second.digest())).await.expect(202);
        let list = registry.get("/v2/a/tags/list").await;
        list.expect_error(404, "NAME_UNKNOWN");
        let catalog = registry.get("/v2/_catalog").await.expect(200);
        assert_eq!(catalog.json()["repositories"], json!([]));
        registry.push("a", "v3", &second).await;
        let list = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(list.json()["tags"], json!(["v3"]));
        let catalog = registry.get("/v2/_catalog").await.expect(200);
        assert_eq!(catalog.json()["repositories"], json!(["a"]));
    });
}

#[test]
fn a_repository_whose_last_tag_is_deleted_keeps_its_manifests() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        registry.delete("/v2/a/manifests/v1").await.expect(202);
        let list = registry.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(list.json(), json!({"name": "a", "tags": []}));
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.get(path).await.expect(200);
    });
}

#[test]
fn racing_pushes_and_deletes_leave_a_tag_that_can_be_pulled_or_none() {
    over_each_store(async |registry| {
        for _ in 0..5 {
            let image = registry.push_image("a", "v1").await;
            let by_digest = format!("/v2/a/manifests/{}", image.digest());
            registry.race(6, async |registry, number| {
                if number % 2 == 0 {
                    let status = registry.delete(&by_digest).await.status;
                    assert!([202, 404].contains(&status.as_u16()), "{status}");
                } else {
                    registry.push("a", "v1", &image).await;
                }
            });
            let list = registry.get("/v2/a/tags/list").await;
            let tagged = registry.get("/v2/a/manifests/v1").await.status == 200;
            let known = registry.get(&by_digest).await.status == 200;
            // Whatever came last: the list, the tag and the manifest agree.
            let listed = list.status == 200 && list.json()["tags"] == json!(["v1"]);
            assert_eq!(listed, tagged);
            assert!(known || !tagged);
            assert_eq!(list.status == 200, known, "{}", list.wire());
            registry.push("a", "v1", &image).await;
            registry.get("/v2/a/manifests/v1").await.expect(200);
        }
    });
}
