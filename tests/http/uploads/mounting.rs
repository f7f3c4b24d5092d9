//! Mounting: a blob of one repository becomes one of another.

use crate::content::Blob;
use crate::registry::over_each_store;

fn mount(repository: &str, blob: &Blob, from: &str) -> String {
    let digest = blob.digest();
    format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}")
}

#[test]
fn a_blob_is_mounted_from_the_repository_that_has_it() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        let mounted = registry.post(mount("b/c", &blob, "a")).body("").await;
        insta::assert_snapshot!(mounted.wire(), @r#"
        201 Created
        content-length: 0
        docker-content-digest: sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
        docker-distribution-api-version: registry/2.0
        etag: "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
        location: /v2/b/c/blobs/sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
        x-request-id: [request id]
        "#);
        let pulled = registry.get(mounted.location()).await.expect(200);
        assert_eq!(pulled.body, blob.content());
    });
}

#[test]
fn a_blob_is_mounted_from_wherever_it_is_if_no_repository_is_named() {
    over_each_store(async |registry| {
        let blob = Blob::of_size(100_000);
        registry.holding("a", &blob).await;
        for (repository, query) in [("b", ""), ("c", "&from=")] {
            let digest = blob.digest();
            let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}{query}");
            let mounted = registry.post(path).body("").await.expect(201);
            let pulled = registry.get(mounted.location()).await.expect(200);
            assert_eq!(pulled.body, blob.content());
        }
    });
}

#[test]
fn a_blob_that_cannot_be_mounted_is_to_be_pushed() {
    over_each_store(async |registry| {
        let (blob, other) = (Blob::text("content"), Blob::text("other"));
        registry.holding("a", &other).await;
        registry.holding("c", &blob).await;
        // From a repository that lacks it though another has it, from one that
        // is not there, and from nowhere.
        let nowhere = format!("/v2/b/blobs/uploads/?mount={}", Blob::text("no").digest());
        for path in [mount("b", &blob, "a"), mount("b", &blob, "x/y"), nowhere] {
            let begun = registry.post(path).body("").await.expect(202);
            assert_eq!(begun.named("range"), Some("0-0"));
            let location = begun.location();
            let unknown = registry
                .head(format!("/v2/b/blobs/{}", blob.digest()))
                .await;
            unknown.expect(404);
            registry.get(&location).await.expect(204);
            registry.delete(&location).await.expect(204);
        }
        let begun = registry
            .post(mount("b", &blob, "a"))
            .body("")
            .await
            .expect(202);
        let finish = format!("{}?digest={}", begun.location(), blob.digest());
        registry.put(finish).body(blob.content()).await.expect(201);
    });
}

#[test]
fn a_mount_of_sha512_that_fails_begins_a_session_that_takes_it() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        let path = format!("/v2/b/blobs/uploads/?mount={}&from=a", blob.sha512());
        let begun = registry.post(path).body("").await.expect(202);
        let finish = format!("{}?digest={}", begun.location(), blob.sha512());
        registry.put(finish).body(blob.content()).await.expect(201);
    });
}

#[test]
fn a_mounted_blob_outlives_the_one_it_was_mounted_from() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        registry
            .post(mount("b", &blob, "a"))
            .body("")
            .await
            .expect(201);
        let path = |repository| format!("/v2/{repository}/blobs/{}", blob.digest());
        registry.delete(path("a")).await.expect(202);
        registry
            .get(path("a"))
            .await
            .expect_error(404, "BLOB_UNKNOWN");
        registry.get(path("b")).await.expect(200);
        // What the repository has given away it cannot be mounted from.
        registry
            .post(mount("c", &blob, "a"))
            .body("")
            .await
            .expect(202);
        registry
            .post(mount("c", &blob, "b"))
            .body("")
            .await
            .expect(201);
    });
}

#[test]
fn a_blob_is_mounted_into_its_own_repository_and_twice() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        for repository in ["a", "b", "b"] {
            let path = mount(repository, &blob, "a");
            registry.post(path).body("").await.expect(201);
        }
        let path = format!("/v2/a/blobs/{}", blob.digest());
        assert_eq!(registry.get(path).await.expect(200).body, blob.content());
    });
}

#[test]
fn a_mount_from_what_is_no_name_is_refused() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        for from in ["A", "..", "a//b"] {
            let refused = registry.post(mount("b", &blob, from)).body("").await;
            refused.expect_error(400, "NAME_INVALID");
        }
        // Clients write the slash of a name as `%2F` in a query.
        registry.holding("c/d", &Blob::text("other")).await;
        let path = mount("b", &Blob::text("other"), "c%2Fd");
        registry.post(path).body("").await.expect(201);
    });
}
