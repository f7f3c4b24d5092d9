//! Conditional pushes: a tag moves only from where the client saw it.

use http::header::{IF_MATCH, IF_NONE_MATCH};

use crate::call::Call;
use crate::content::{Index, Manifest};
use crate::registry::{TestRegistry, over_each_store};

fn manifest(name: &str) -> Manifest {
    Index::of([]).field("x", name).build()
}

fn push(registry: &TestRegistry, manifest: &Manifest) -> Call {
    registry.put("/v2/a/manifests/v1").body(manifest.content())
}

async fn expect_tagged(registry: &TestRegistry, manifest: &Manifest) {
    let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
    assert_eq!(pulled.body, manifest.content());
}

#[test]
fn a_tag_is_set_only_if_there_is_none() {
    over_each_store(async |registry| {
        let (first, second) = (manifest("first"), manifest("second"));
        let call = push(&registry, &first).header(IF_NONE_MATCH, "*");
        call.await.expect(201);
        let call = push(&registry, &second).header(IF_NONE_MATCH, "*");
        let lost = call.await;
        insta::assert_snapshot!(lost.wire(), @r#"
        412 Precondition Failed
        content-length: 112
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"UNSUPPORTED","message":"the tag is not in the state that the request's conditions demand"}]}
        "#);
        expect_tagged(&registry, &first).await;
        // Not even to what it is already.
        let call = push(&registry, &first).header(IF_NONE_MATCH, "*");
        call.await.expect_error(412, "UNSUPPORTED");
        registry.delete("/v2/a/manifests/v1").await.expect(202);
        let call = push(&registry, &second).header(IF_NONE_MATCH, "*");
        call.await.expect(201);
        expect_tagged(&registry, &second).await;
    });
}

#[test]
fn a_tag_moves_only_from_where_the_client_saw_it() {
    over_each_store(async |registry| {
        let (first, second, third) = (manifest("first"), manifest("second"), manifest("third"));
        push(&registry, &first).await.expect(201);
        let call = push(&registry, &second).header(IF_MATCH, first.etag());
        call.await.expect(201);
        for condition in [
            first.etag(),
            "\"other\"".to_owned(),
            String::new(),
            second.digest().to_string(),
        ] {
            let call = push(&registry, &third).header(IF_MATCH, &condition);
            call.await.expect_error(412, "UNSUPPORTED");
            expect_tagged(&registry, &second).await;
        }
        let either = format!("{}, {}", first.etag(), second.etag());
        let call = push(&registry, &third).header(IF_MATCH, either);
        call.await.expect(201);
        expect_tagged(&registry, &third).await;
        let call = push(&registry, &first).header(IF_MATCH, "*");
        call.await.expect(201);
        expect_tagged(&registry, &first).await;
    });
}

#[test]
fn a_tag_moves_only_if_it_is_not_where_the_client_does_not_want_it() {
    over_each_store(async |registry| {
        let (first, second) = (manifest("first"), manifest("second"));
        let call = push(&registry, &first).header(IF_NONE_MATCH, first.etag());
        call.await.expect(201);
        let call = push(&registry, &first).header(IF_NONE_MATCH, first.etag());
        call.await.expect_error(412, "UNSUPPORTED");
        let call = push(&registry, &second).header(IF_NONE_MATCH, first.etag());
        call.await.expect_error(412, "UNSUPPORTED");
        expect_tagged(&registry, &first).await;
        let call = push(&registry, &second).header(IF_NONE_MATCH, second.etag());
        call.await.expect(201);
        expect_tagged(&registry, &second).await;
    });
}

#[test]
fn a_tag_that_is_not_there_matches_nothing() {
    over_each_store(async |registry| {
        let first = manifest("first");
        for condition in ["*".to_owned(), first.etag()] {
            let call = push(&registry, &first).header(IF_MATCH, condition);
            call.await.expect_error(412, "UNSUPPORTED");
            registry.get("/v2/a/manifests/v1").await.expect(404);
        }
        // Nor one whose manifest has been deleted.
        push(&registry, &first).await.expect(201);
        let path = format!("/v2/a/manifests/{}", first.digest());
        registry.delete(path).await.expect(202);
        let call = push(&registry, &first).header(IF_MATCH, first.etag());
        call.await.expect_error(412, "UNSUPPORTED");
        let call = push(&registry, &first).header(IF_NONE_MATCH, "*");
        call.await.expect(201);
    });
}

#[test]
fn conditions_of_a_push_on_several_lines_are_one_list() {
    over_each_store(async |registry| {
        let (first, second) = (manifest("first"), manifest("second"));
        push(&registry, &first).await.expect(201);
        let call = push(&registry, &second).header(IF_NONE_MATCH, "\"other\"");
        let call = call.header(IF_NONE_MATCH, first.etag());
        call.await.expect_error(412, "UNSUPPORTED");
        let call = push(&registry, &second).header(IF_MATCH, "\"other\"");
        call.header(IF_MATCH, first.etag()).await.expect(201);
        expect_tagged(&registry, &second).await;
    });
}

#[test]
fn a_lost_condition_stores_nothing() {
    over_each_store(async |registry| {
        let (first, second) = (manifest("first"), manifest("second"));
        push(&registry, &first).await.expect(201);
        let call = push(&registry, &second).header(IF_NONE_MATCH, "*");
        call.await.expect(412);
        let path = format!("/v2/a/manifests/{}", second.digest());
        registry
            .get(path)
            .await
            .expect_error(404, "MANIFEST_UNKNOWN");
    });
}

#[test]
fn of_racing_pushes_to_a_free_tag_one_gets_it() {
    over_each_store(async |registry| {
        for round in 0..5 {
            let path = format!("/v2/a/manifests/race-{round}");
            let answers = registry.race(8, async |registry, number| {
                let manifest = manifest(&format!("{round} {number}"));
                let call = registry.put(&path).body(manifest.content());
                let answer = call.header(IF_NONE_MATCH, "*").await;
                (answer.status.as_u16(), manifest)
            });
            let won: Vec<_> = answers
                .iter()
                .filter(|(status, _)| *status == 201)
                .collect();
            assert_eq!(won.len(), 1, "round {round}");
            let lost = answers.iter().filter(|(status, _)| *status == 412).count();
            assert_eq!(lost, 7, "round {round}");
            let pulled = registry.get(&path).await.expect(200);
            assert_eq!(pulled.body, won[0].1.content());
        }
    });
}

/// Compare-and-swap is good for something if a counter can be built on it.
#[test]
fn of_racing_swaps_none_is_lost() {
    const SWAPS: usize = 5;
    const RACERS: usize = 4;
    over_each_store(async |registry| {
        push(&registry, &manifest("0")).await.expect(201);
        registry.race(RACERS, async |registry, _| {
            for _ in 0..SWAPS {
                loop {
                    let seen = registry.get("/v2/a/manifests/v1").await.expect(200);
                    let count = seen.json()["x"].as_str().map(str::parse::<usize>);
                    let count = count.expect("a text").expect("a number");
                    let next = manifest(&(count + 1).to_string());
                    let call = push(registry, &next).header(IF_MATCH, seen.etag());
                    match call.await.status.as_u16() {
                        201 => break,
                        412 => {}
                        other => panic!("{other}"),
                    }
                }
            }
        });
        let last = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(last.json()["x"], (SWAPS * RACERS).to_string());
    });
}
