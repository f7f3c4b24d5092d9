//! Every kind of manifest: what is taken comes back byte for byte, and what is
//! not is refused with the reason.

use http::header::CONTENT_TYPE;
use octoserve::domain::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::content::{Blob, CONFIG_TYPE, Image, Index, LAYER_TYPE, Manifest};
use crate::registry::{TestRegistry, over_each_store};

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What the manifests of these tests refer to.
struct Content {
    config: Blob,
    layer: Blob,
    image: Manifest,
    index: Manifest,
}

async fn content(registry: &TestRegistry) -> Content {
    let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
    registry.holding("a", &config).await;
    registry.holding("a", &layer).await;
    let image = Image::with_config(&config).layer(&layer).build();
    registry.push("a", image.digest(), &image).await;
    let index = Index::of([&image]).build();
    registry.push("a", index.digest(), &index).await;
    Content {
        config,
        layer,
        image,
        index,
    }
}

/// Pushes a manifest by tag, and again by digest, and expects to get the same
/// bytes and type back by either.
async fn round_trip(registry: &TestRegistry, name: &str, manifest: &Manifest) {
    let by_digest = manifest.digest().to_string();
    for (pushed, pulled) in [
        ("v1", &["v1", &*by_digest][..]),
        (&*by_digest, &[&*by_digest][..]),
    ] {
        registry.push("a", pushed, manifest).await;
        for reference in pulled {
            let path = format!("/v2/a/manifests/{reference}");
            let answer = registry.get(path).await.expect(200);
            assert_eq!(answer.body, manifest.content(), "{name}");
            let content_type = answer.header(CONTENT_TYPE);
            assert_eq!(content_type, Some(manifest.media_type()), "{name}");
        }
        let path = format!("/v2/a/manifests/{by_digest}");
        registry.delete(path).await.expect(202);
    }
    // Others may refer to it.
    registry.push("a", &by_digest, manifest).await;
}

#[test]
fn every_kind_of_manifest_comes_back_as_it_was_pushed() {
    over_each_store(async |registry| {
        let Content {
            config,
            layer,
            image,
            index,
        } = content(&registry).await;
        let artifact = Image::with_config_of(&config, "application/vnd.oci.empty.v1+json");
        let kinds = [
            ("an OCI image", image.clone()),
            ("an OCI index", index.clone()),
            (
                "a Docker image",
                Image::with_config_of(&config, DOCKER_CONFIG)
                    .layer_of(&layer, DOCKER_LAYER)
                    .docker()
                    .build(),
            ),
            ("a Docker list", Index::of([&image]).docker().build()),
            ("an index of indexes", Index::of([&index, &image]).build()),
            ("an empty index", Index::of([]).build()),
            (
                "an image without layers",
                Image::with_config(&config).build(),
            ),
            (
                "an artifact",
                artifact
                    .clone()
                    .layer_of(&layer, "text/spdx+json; whatever")
                    .field("artifactType", "application/vnd.example.sbom.v1+json")
                    .build(),
            ),
            (
                "an image about an image",
                artifact.clone().subject(&image).build(),
            ),
            (
                "an index about an image",
                Index::of([&image]).subject(&image).build(),
            ),
            (
                "an image about nothing that is here",
                artifact
                    .clone()
                    .subject(&Manifest::of_json(OCI_MANIFEST, &json!({})))
                    .build(),
            ),
            (
                "one layer twice",
                Image::with_config(&config)
                    .layer(&layer)
                    .layer(&layer)
                    .build(),
            ),
            (
                "a layer that is the config",
                Image::with_config(&config).layer(&config).build(),
            ),
            (
                "embedded data",
                Image::with_config(&config)
                    .field(
                        "config",
                        json!({
                            "mediaType": CONFIG_TYPE, "digest": config.digest(), "size": 2,
                            "data": "e30=", "urls": ["https://example.com/config"],
                            "platform": {"os": "linux", "architecture": "arm64"},
                        }),
                    )
                    .build(),
            ),
            (
                "fields that nobody knows",
                Image::with_config(&config)
                    .field(
                        "x-extra",
                        json!({"nested": [1, null, "\u{1f980}", 1.5e300]}),
                    )
                    .field("MediaType", "not the field")
                    .build(),
            ),
            (
                "fields that say nothing",
                Index::of([&image])
                    .field("annotations", Value::Null)
                    .field("subject", Value::Null)
                    .field("artifactType", "")
                    .build(),
            ),
            (
                "an index that a Go program made of nothing",
                Index::of([]).field("manifests", Value::Null).build(),
            ),
        ];
        for (name, manifest) in kinds {
            round_trip(&registry, name, &manifest).await;
        }
    });
}

#[test]
fn bytes_are_kept_however_they_are_written() {
    over_each_store(async |registry| {
        let Content { config, layer, .. } = content(&registry).await;
        let document = |space: &str, end: &str| {
            format!(
                "{space}{{\"layers\" :{space}[{}],{space}\"schemaVersion\":2,\
                 \"unknown\": 1.00, \"escaped\": \"\\u0041\\/\", \"config\":\t{},\
                 \"mediaType\":\"{OCI_MANIFEST}\"}}{end}",
                layer.descriptor(LAYER_TYPE),
                config.descriptor(CONFIG_TYPE),
            )
        };
        for text in [
            document("", ""),
            document("\n  ", "\n"),
            document("\r\n", "\r\n\r\n  "),
        ] {
            let manifest = Manifest::new(OCI_MANIFEST, text);
            round_trip(&registry, "unusual JSON", &manifest).await;
        }
    });
}

#[test]
fn a_content_type_with_parameters_is_the_type_without_them() {
    over_each_store(async |registry| {
        let Content { image, .. } = content(&registry).await;
        for given in [
            format!("{OCI_MANIFEST}; charset=utf-8"),
            format!("{OCI_MANIFEST};charset=utf-8;q=1"),
            format!(" {OCI_MANIFEST} ;"),
        ] {
            let call = registry.put("/v2/a/manifests/v1").body(image.content());
            call.header(CONTENT_TYPE, given).await.expect(201);
            let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
            assert_eq!(pulled.header(CONTENT_TYPE), Some(OCI_MANIFEST));
        }
    });
}

#[test]
fn a_manifest_may_say_what_it_is_where_the_request_does_not() {
    over_each_store(async |registry| {
        let Content { image, index, .. } = content(&registry).await;
        for (manifest, media_type) in [(&image, OCI_MANIFEST), (&index, OCI_INDEX)] {
            let path = "/v2/a/manifests/v1";
            let silent = registry.put(path).body(manifest.content());
            silent.await.expect(201);
            for vague in ["application/json", "application/octet-stream", "text/plain"] {
                let call = registry.put(path).body(manifest.content());
                call.header(CONTENT_TYPE, vague).await.expect(201);
                let pulled = registry.get(path).await.expect(200);
                assert_eq!(pulled.header(CONTENT_TYPE), Some(media_type), "{vague}");
            }
        }
    });
}

#[test]
fn a_manifest_without_a_media_type_is_what_the_request_says() {
    over_each_store(async |registry| {
        let Content {
            config,
            layer,
            image,
            ..
        } = content(&registry).await;
        let image = json!({
            "schemaVersion": 2,
            "config": config.descriptor(CONFIG_TYPE),
            "layers": [layer.descriptor(LAYER_TYPE)],
            "x": image.digest(),
        });
        let index = json!({"schemaVersion": 2, "manifests": []});
        for (media_type, document) in [
            (OCI_MANIFEST, &image),
            (DOCKER_MANIFEST, &image),
            (OCI_INDEX, &index),
            (DOCKER_LIST, &index),
        ] {
            let manifest = Manifest::of_json(media_type, document);
            let path = format!("/v2/a/manifests/{}", manifest.digest());
            let call = registry.put(&path).body(manifest.content());
            call.header(CONTENT_TYPE, media_type).await.expect(201);
            let pulled = registry.get(&path).await.expect(200);
            assert_eq!(pulled.header(CONTENT_TYPE), Some(media_type));
        }
        // Where nobody says it, its fields do.
        for (media_type, document) in [(OCI_MANIFEST, &image), (OCI_INDEX, &index)] {
            let path = "/v2/b/manifests/v1";
            registry.holding("b", &config).await;
            registry.holding("b", &layer).await;
            registry
                .put(path)
                .body(document.to_string())
                .await
                .expect(201);
            let pulled = registry.get(path).await.expect(200);
            assert_eq!(pulled.header(CONTENT_TYPE), Some(media_type));
        }
    });
}

#[test]
fn what_is_no_manifest_is_refused_with_the_reason() {
    over_each_store(async |registry| {
        let Content {
            config,
            layer,
            image,
            ..
        } = content(&registry).await;
        let valid = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor(CONFIG_TYPE),
            "layers": [layer.descriptor(LAYER_TYPE)],
        });
        let with = |name: &str, value: Value| {
            let mut document = valid.clone();
            document[name] = value;
            document
        };
        let without = |name: &str| {
            let mut document = valid.clone();
            document.as_object_mut().expect("an object").remove(name);
            document
        };
        let entry = |name: &str, value: Value| {
            let mut entry = layer.descriptor(LAYER_TYPE);
            entry[name] = value;
            with("layers", json!([entry]))
        };
        let index = |name: &str, value: Value| {
            let mut document = json!({
                "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image.descriptor()],
            });
            document[name] = value;
            document
        };
        let documents = [
            ("no object", json!([valid])),
            ("null", Value::Null),
            ("no version", without("schemaVersion")),
            ("an old version", with("schemaVersion", json!(1))),
            ("a later version", with("schemaVersion", json!(3))),
            ("a version in words", with("schemaVersion", json!("2"))),
            ("no config", without("config")),
            ("layers that are no list", with("layers", json!({}))),
            ("an unknown type", with("mediaType", json!("text/html"))),
            ("a type that is no text", with("mediaType", json!(7))),
            ("an image that is an index", with("manifests", json!([]))),
            (
                "an index that is an image",
                index("config", config.descriptor(CONFIG_TYPE)),
            ),
            ("an index with layers", index("layers", json!([]))),
            ("an entry without digest", entry("digest", Value::Null)),
            (
                "an entry with half a digest",
                entry("digest", json!("sha256:abc")),
            ),
            (
                "an entry of another hash",
                entry("digest", json!("md5:d41d8cd98f00b204e9800998ecf8427e")),
            ),
            (
                "an entry that leads elsewhere",
                entry("digest", json!("../../etc/passwd")),
            ),
            ("an entry of negative size", entry("size", json!(-1))),
            ("an entry without size", entry("size", Value::Null)),
            (
                "a subject without digest",
                with("subject", json!({"size": 1})),
            ),
            (
                "annotations that are no texts",
                with("annotations", json!({"a": 1})),
            ),
            ("a child that is no entry", index("manifests", json!(["x"]))),
        ];
        for (name, document) in documents {
            let call = registry
                .put("/v2/a/manifests/v1")
                .body(document.to_string());
            let refused = call.await;
            assert_eq!(refused.status, 400, "{name}: {}", refused.wire());
            refused.expect_error(400, "MANIFEST_INVALID");
        }
        for bytes in [
            &b""[..],
            b"{",
            b"\xff\xfe",
            b"{}{}",
            b"<html></html>",
            &b"[".repeat(100_000),
            &b"{\"a\":".repeat(100_000),
        ] {
            let call = registry.put("/v2/a/manifests/v1").body(bytes.to_vec());
            call.await.expect_error(400, "MANIFEST_INVALID");
        }
        let tag = registry.get("/v2/a/manifests/v1").await;
        tag.expect_error(404, "MANIFEST_UNKNOWN");
    });
}

#[test]
fn a_content_type_that_contradicts_the_manifest_is_refused() {
    over_each_store(async |registry| {
        let Content { image, .. } = content(&registry).await;
        for given in [DOCKER_MANIFEST, OCI_INDEX, "text/html", "a/b"] {
            let call = registry.put("/v2/a/manifests/v1").body(image.content());
            let refused = call.header(CONTENT_TYPE, given).await;
            refused.expect_error(400, "MANIFEST_INVALID");
        }
    });
}

#[test]
fn schema_version_1_is_refused_in_so_many_words() {
    over_each_store(async |registry| {
        let document = json!({
            "schemaVersion": 1, "name": "a", "tag": "v1", "architecture": "amd64",
            "fsLayers": [{"blobSum": Blob::text("layer").digest()}], "history": [],
        });
        for media_type in [
            "application/vnd.docker.distribution.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "application/json",
        ] {
            let call = registry
                .put("/v2/a/manifests/v1")
                .body(document.to_string());
            let refused = call.header(CONTENT_TYPE, media_type).await;
            let refused = refused.expect_error(400, "MANIFEST_INVALID");
            insta::assert_snapshot!(refused.wire(), @r#"
            400 Bad Request
            content-length: 135
            content-type: application/json
            docker-distribution-api-version: registry/2.0
            x-request-id: [request id]

            {"errors":[{"code":"MANIFEST_INVALID","message":"Docker image manifests of schema version 1 are not supported: push schema 2 or OCI"}]}
            "#);
        }
    });
}
