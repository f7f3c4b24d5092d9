//! Paths and methods: what there is, and what there is not.

use http::Method;
use http::header::ALLOW;

use crate::content::{Blob, Image};
use crate::registry::over_each_store;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SESSION: &str = "00000000-0000-4000-8000-0000000000ff";

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
];

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[test]
fn every_route_answers_its_methods_and_refuses_the_others() {
    let blob = format!("/v2/a/b/blobs/{DIGEST}");
    let session = format!("/v2/a/b/blobs/uploads/{SESSION}?digest={DIGEST}");
    let referrers = format!("/v2/a/b/referrers/{DIGEST}");
    let by_digest = format!("/v2/a/b/manifests/{DIGEST}");
    let reads = |status: u16| vec![("GET", status), ("HEAD", status)];
    let routes: Vec<(&str, Vec<(&str, u16)>)> = vec![
        ("/v2/", reads(200)),
        ("/v2", reads(200)),
        ("/v2/_catalog", reads(200)),
        ("/v2/a/b/tags/list", reads(404)),
        (&referrers, reads(200)),
        (&blob, [reads(404), vec![("DELETE", 404)]].concat()),
        (
            "/v2/a/b/manifests/v1",
            [reads(404), vec![("PUT", 400), ("DELETE", 404)]].concat(),
        ),
        (
            &by_digest,
            [reads(404), vec![("PUT", 400), ("DELETE", 404)]].concat(),
        ),
        ("/v2/a/b/blobs/uploads/", vec![("POST", 202)]),
        ("/v2/a/b/blobs/uploads", vec![("POST", 202)]),
        (
            &session,
            [
                reads(404),
                vec![("PATCH", 404), ("PUT", 404), ("DELETE", 404)],
            ]
            .concat(),
        ),
    ];
    over_each_store(async |registry| {
        for (path, methods) in &routes {
            let allow: Vec<&str> = methods.iter().map(|(method, _)| *method).collect();
            let allow = allow.join(", ");
            for name in METHODS {
                let known = methods.iter().find(|(method, _)| *method == name);
                let answer = registry.call(method(name), path).body("").await;
                match known {
                    Some((_, status)) => {
                        let answer = answer.expect(*status);
                        assert_eq!(answer.header(ALLOW), None, "{name} {path}");
                    }
                    None => {
                        let answer = answer.expect_error(405, "UNSUPPORTED");
                        assert_eq!(answer.header(ALLOW), Some(&*allow), "{name} {path}");
                    }
                }
            }
        }
    });
}

#[test]
fn health_checks_answer_their_methods_and_refuse_the_others() {
    over_each_store(async |registry| {
        for path in ["/livez", "/readyz"] {
            for name in METHODS {
                let answer = registry.call(method(name), path).await;
                if ["GET", "HEAD"].contains(&name) {
                    answer.expect(200);
                } else {
                    let answer = answer.expect_error(405, "UNSUPPORTED");
                    assert_eq!(answer.header(ALLOW), Some("GET, HEAD"), "{name} {path}");
                }
            }
        }
    });
}

#[test]
fn a_draining_server_lives_but_is_not_ready() {
    over_each_store(async |registry| {
        registry.get("/livez").await.expect(200);
        registry.get("/readyz").await.expect(200);
        registry.health.drain();
        let live = registry.get("/livez").await.expect(200);
        assert_eq!(&live.body[..], b"ok\n");
        let draining = registry.get("/readyz").unread().await;
        assert_eq!(draining.status(), 503);
        assert!(draining.headers().contains_key("x-request-id"));
        // What is asked meanwhile is still answered.
        registry.get("/v2/").await.expect(200);
    });
}

#[test]
fn a_path_that_is_no_route_is_unknown_to_every_method() {
    over_each_store(async |registry| {
        for path in [
            "/",
            "/v1/",
            "/v2x",
            "/v2/a",
            "/v2/a/b/c",
            "/v2/a/tags",
            "/v2/a/tags/all",
            "/v2/a/tags/list/",
            "/v2/tags/list",
            "/v2/_catalog/",
            "/v2/a/blobs",
            "/v2/a/manifests/v1/",
            "/v2/a/uploads/00000000-0000-4000-8000-0000000000ff",
            "/v2//",
            "/v2//tags",
            "/favicon.ico",
            "/metrics/../v2/",
        ] {
            for name in METHODS {
                let answer = registry.call(method(name), path).await;
                answer.expect_error(404, "UNSUPPORTED");
            }
        }
    });
}

#[test]
fn a_request_target_that_is_no_path_is_answered_too() {
    over_each_store(async |registry| {
        // `*` and an authority go with OPTIONS and CONNECT, and a whole URI is
        // what a client sends to a proxy.
        registry.call(Method::OPTIONS, "*").await.expect(404);
        registry
            .call(Method::CONNECT, "registry.example:443")
            .await
            .expect(404);
        registry
            .get("http://registry.example:5000/v2/")
            .await
            .expect(200);
        registry.get("http://registry.example").await.expect(404);
    });
}

#[test]
fn the_ping_says_that_this_is_a_registry() {
    over_each_store(async |registry| {
        let answer = registry.get("/v2/").await;
        insta::assert_snapshot!(answer.wire(), @"
        200 OK
        content-length: 2
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {}
        ");
        let head = registry.head("/v2/").await.expect(200);
        assert_eq!(head.headers.len(), answer.headers.len());
    });
}

#[test]
fn an_error_has_the_body_of_the_specification_and_a_request_id() {
    over_each_store(async |registry| {
        let unknown = registry.get("/v2/a/b").await;
        insta::assert_snapshot!(unknown.wire(), @r#"
        404 Not Found
        content-length: 77
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"UNSUPPORTED","message":"there is nothing at this path"}]}
        "#);
        let refused = registry.post("/v2/_catalog").await;
        insta::assert_snapshot!(refused.wire(), @r#"
        405 Method Not Allowed
        allow: GET, HEAD
        content-length: 86
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"UNSUPPORTED","message":"the resource has the methods GET, HEAD"}]}
        "#);
    });
}

#[test]
fn a_request_is_called_what_a_proxy_calls_it() {
    over_each_store(async |registry| {
        for given in ["a", "3f2-9c_A.b:c/d+e=", &"x".repeat(64)] {
            let answer = registry.get("/v2/").named("x-request-id", given).await;
            assert_eq!(answer.named("x-request-id"), Some(given));
        }
    });
}

#[test]
fn a_request_id_that_could_harm_a_log_is_replaced() {
    over_each_store(async |registry| {
        let mut seen = std::collections::HashSet::new();
        for given in [
            &b""[..],
            b"a b",
            b"\"",
            b"\xff",
            b"a\tb",
            "x".repeat(65).as_bytes(),
        ] {
            let answer = registry.get("/v2/").named("x-request-id", given).await;
            let id = answer.named("x-request-id").expect("an id").to_owned();
            assert_ne!(id.as_bytes(), given);
            assert!(seen.insert(id), "each request has its own");
        }
    });
}

#[test]
fn a_repository_may_be_called_like_a_part_of_a_path() {
    over_each_store(async |registry| {
        for name in [
            "blobs",
            "manifests",
            "tags",
            "uploads",
            "blobs/uploads",
            "tags/list",
            "a/manifests/b",
            "a/referrers",
            "v2/v2",
        ] {
            let image = registry.push_image(name, "v1").await;
            let pulled = registry.get(format!("/v2/{name}/manifests/v1")).await;
            assert_eq!(pulled.expect(200).body, image.content(), "{name}");
            let tags = registry.get(format!("/v2/{name}/tags/list")).await;
            assert_eq!(tags.expect(200).json()["name"], name);
        }
    });
}

#[test]
fn repositories_inside_one_another_do_not_meet() {
    over_each_store(async |registry| {
        let outer = registry.push_image("a", "b").await;
        let inner = registry.push_image("a/b", "a").await;
        let flat = registry.push_image("a_b", "b").await;
        for (path, image) in [
            ("/v2/a/manifests/b", &outer),
            ("/v2/a/b/manifests/a", &inner),
            ("/v2/a_b/manifests/b", &flat),
        ] {
            assert_eq!(registry.get(path).await.expect(200).body, image.content());
        }
        registry.get("/v2/a/manifests/a").await.expect(404);
        registry.get("/v2/a_b/manifests/a").await.expect(404);
    });
}

#[test]
fn the_longest_name_and_tag_are_taken_and_longer_ones_refused() {
    over_each_store(async |registry| {
        let in_components = format!("{}a", "a/".repeat(127));
        for name in ["a".repeat(255), in_components] {
            assert_eq!(name.len(), 255);
            let tag = "t".repeat(128);
            let image = registry.push_image(&name, &tag).await;
            let pulled = registry.get(format!("/v2/{name}/manifests/{tag}")).await;
            assert_eq!(pulled.expect(200).body, image.content());
            let longer = registry.get(format!("/v2/{name}a/manifests/{tag}")).await;
            longer.expect_error(400, "NAME_INVALID");
            let longer = registry.get(format!("/v2/{name}/manifests/{tag}t")).await;
            longer.expect_error(404, "MANIFEST_UNKNOWN");
        }
    });
}

#[test]
fn a_name_outside_the_grammar_is_refused_on_every_route() {
    over_each_store(async |registry| {
        for name in [
            "A", "a//b", "/a", "..", "a/..", "a/../b", ".", "_a", "a_", "a%2Fb", "a%2fb", "a..b",
            "a___b", "%61", "a%00", "-a",
        ] {
            for (method, path) in [
                (Method::GET, format!("/v2/{name}/blobs/{DIGEST}")),
                (Method::DELETE, format!("/v2/{name}/blobs/{DIGEST}")),
                (Method::GET, format!("/v2/{name}/manifests/v1")),
                (Method::PUT, format!("/v2/{name}/manifests/v1")),
                (Method::POST, format!("/v2/{name}/blobs/uploads/")),
                (Method::PATCH, format!("/v2/{name}/blobs/uploads/{SESSION}")),
                (Method::GET, format!("/v2/{name}/tags/list")),
                (Method::GET, format!("/v2/{name}/referrers/{DIGEST}")),
            ] {
                let answer = registry.call(method, path).await;
                answer.expect_error(400, "NAME_INVALID");
            }
        }
    });
}

#[test]
fn a_malformed_digest_is_refused_on_every_route() {
    let upper = DIGEST.replace("b855", "B855");
    let too_short = &DIGEST[..DIGEST.len() - 1];
    let digests = [
        "sha256:",
        "sha256:abc",
        &upper,
        too_short,
        "sha999:abc",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:%2e%2e%2f%2e%2e%2fetc",
        "%FF:%00",
    ];
    over_each_store(async |registry| {
        for digest in digests {
            for (method, path) in [
                (Method::GET, format!("/v2/a/blobs/{digest}")),
                (Method::DELETE, format!("/v2/a/blobs/{digest}")),
                (Method::GET, format!("/v2/a/manifests/{digest}")),
                (Method::PUT, format!("/v2/a/manifests/{digest}")),
                (Method::DELETE, format!("/v2/a/manifests/{digest}")),
                (Method::GET, format!("/v2/a/referrers/{digest}")),
                (
                    Method::POST,
                    format!("/v2/a/blobs/uploads/?digest={digest}"),
                ),
                (Method::POST, format!("/v2/a/blobs/uploads/?mount={digest}")),
                (
                    Method::PUT,
                    format!("/v2/a/blobs/uploads/{SESSION}?digest={digest}"),
                ),
            ] {
                let answer = registry.call(method, path).await;
                answer.expect_error(400, "DIGEST_INVALID");
            }
        }
        // A blob is asked for by a digest and nothing else.
        for path in ["/v2/a/blobs/latest", "/v2/a/blobs/", "/v2/a/referrers/v1"] {
            registry.get(path).await.expect_error(400, "DIGEST_INVALID");
        }
    });
}

#[test]
fn what_cannot_be_a_tag_is_unknown_to_a_pull_and_invalid_to_a_push() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        for tag in [".", "..", "-a", "a%20b", "a%2Fb", "%FF", "a+b", "a@b"] {
            let path = format!("/v2/a/manifests/{tag}");
            let pulled = registry.get(&path).await;
            pulled.expect_error(404, "MANIFEST_UNKNOWN");
            let deleted = registry.delete(&path).await;
            deleted.expect_error(404, "MANIFEST_UNKNOWN");
            let pushed = registry.put(&path).body(image.content()).await;
            pushed.expect_error(400, "MANIFEST_INVALID");
        }
    });
}

#[test]
fn a_session_that_is_called_by_no_uuid_is_unknown() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        for id in [
            "1",
            "..",
            "%2e%2e",
            "00000000000040008000000000000001",
            "00000000-0000-4000-8000-0000000000FF",
        ] {
            let path = format!("/v2/a/blobs/uploads/{id}");
            for call in [
                registry.get(&path),
                registry.patch(&path).body(blob.content()),
                registry.put(format!("{path}?digest={}", blob.digest())),
                registry.delete(&path),
            ] {
                call.await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
            }
        }
    });
}

#[test]
fn a_query_may_hold_whatever_it_likes_besides() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let image = Image::with_config(&config).build();
        let query = "ns=registry.example&origin=&=&&%FF=%FF&n%00=1&account=%zz";
        let pushed = registry
            .put(format!("/v2/a/manifests/v1?{query}"))
            .body(image.content());
        pushed.await.expect(201);
        for path in [
            "/v2/".to_owned(),
            "/v2/_catalog".to_owned(),
            "/v2/a/tags/list".to_owned(),
            "/v2/a/manifests/v1".to_owned(),
            format!("/v2/a/blobs/{}", config.digest()),
            format!("/v2/a/referrers/{}", image.digest()),
        ] {
            registry.get(format!("{path}?{query}")).await.expect(200);
        }
    });
}
