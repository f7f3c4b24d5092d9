//! What a manifest refers to: checked when it is pushed, as far as the rules
//! demand.

use http::header::CONTENT_TYPE;
use octoserve::app::{AllowMissing, RegistryRules};
use octoserve::domain::digest::Digest;
use octoserve::domain::media_type::OCI_INDEX;
use serde_json::json;

use crate::answer::Answer;
use crate::content::{Blob, Image, Index, Manifest};
use crate::registry::{Setup, TestRegistry, over_each_store, over_each_store_with};

fn allowing(allow_missing: AllowMissing) -> Setup {
    Setup {
        rules: RegistryRules {
            allow_missing,
            ..RegistryRules::default()
        },
        ..Setup::default()
    }
}

async fn try_push(registry: &TestRegistry, repository: &str, manifest: &Manifest) -> Answer {
    let call = registry.put(format!("/v2/{repository}/manifests/v1"));
    let call = call.body(manifest.content());
    call.header(CONTENT_TYPE, manifest.media_type()).await
}

/// Fails unless the refusal names just these, each once.
fn expect_missing(answer: Answer, missing: &[Digest]) {
    let answer = answer.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    let named: Vec<String> = answer
        .errors()
        .iter()
        .map(|(_, detail)| detail["digest"].as_str().expect("a digest").to_owned())
        .collect();
    let missing: Vec<String> = missing.iter().map(Digest::to_string).collect();
    assert_eq!(named, missing);
}

#[test]
fn each_blob_that_is_missing_is_named() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        let other = Blob::text("other");
        let image = Image::with_config(&config).layer(&layer).layer(&other);
        let image = image.layer(&layer).build();
        let refused = try_push(&registry, "a", &image).await;
        insta::assert_snapshot!(refused.wire(), @r#"
        400 Bad Request
        content-length: 612
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        x-request-id: [request id]

        {"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"message":"the manifest refers to content that is not in the repository"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85"},"message":"the manifest refers to content that is not in the repository"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":"sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"},"message":"the manifest refers to content that is not in the repository"}]}
        "#);
        expect_missing(refused, &[config.digest(), layer.digest(), other.digest()]);
        registry.holding("a", &layer).await;
        let refused = try_push(&registry, "a", &image).await;
        expect_missing(refused, &[config.digest(), other.digest()]);
        registry.holding("a", &config).await;
        registry.holding("a", &other).await;
        try_push(&registry, "a", &image).await.expect(201);
    });
}

#[test]
fn a_refused_push_leaves_nothing_behind() {
    over_each_store(async |registry| {
        let first = registry.push_image("a", "v1").await;
        let image = Image::with_config(&Blob::text("missing")).build();
        let refused = try_push(&registry, "a", &image).await;
        refused.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, first.content());
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.get(path).await.expect(404);
        // Nor a repository that was not there.
        let refused = try_push(&registry, "b", &image).await;
        refused.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
        let catalog = registry.get("/v2/_catalog").await.expect(200);
        assert_eq!(catalog.json(), json!({"repositories": ["a"]}));
    });
}

#[test]
fn a_blob_of_another_repository_is_missing() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("b", &config).await;
        let image = Image::with_config(&config).build();
        let refused = try_push(&registry, "a", &image).await;
        expect_missing(refused, &[config.digest()]);
        let path = format!("/v2/a/blobs/uploads/?mount={}&from=b", config.digest());
        registry.post(path).body("").await.expect(201);
        try_push(&registry, "a", &image).await.expect(201);
    });
}

#[test]
fn each_manifest_that_an_index_misses_is_named() {
    over_each_store(async |registry| {
        let here = registry.push_image("a", "here").await;
        let elsewhere = registry.push_image("b", "elsewhere").await;
        let nowhere = Index::of([]).field("x", "nowhere").build();
        let index = Index::of([&elsewhere, &here, &nowhere]).build();
        let refused = try_push(&registry, "a", &index).await;
        expect_missing(refused, &[elsewhere.digest(), nowhere.digest()]);
        // A blob of the same bytes is no manifest.
        registry.holding("a", &Blob::new(nowhere.content())).await;
        let refused = try_push(&registry, "a", &index).await;
        expect_missing(refused, &[elsewhere.digest(), nowhere.digest()]);
    });
}

#[test]
fn a_subject_may_be_missing() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let nowhere = Index::of([]).field("x", "nowhere").build();
        let image = Image::with_config(&config).subject(&nowhere).build();
        try_push(&registry, "a", &image).await.expect(201);
    });
}

#[test]
fn a_layer_that_is_not_to_be_distributed_may_be_missing() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("foreign"));
        registry.holding("a", &config).await;
        for media_type in [
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ] {
            let image = Image::with_config(&config).layer_of(&layer, media_type);
            try_push(&registry, "a", &image.build()).await.expect(201);
        }
        let media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        let both = Image::with_config(&config).layer_of(&layer, media_type);
        let both = both.layer(&layer).build();
        let refused = try_push(&registry, "a", &both).await;
        expect_missing(refused, &[layer.digest()]);
    });
}

#[test]
fn the_default_allows_nothing_to_be_missing() {
    assert_eq!(RegistryRules::default().allow_missing, AllowMissing::None);
}

#[test]
fn children_may_be_missing_where_the_operator_allows_it() {
    over_each_store_with(&allowing(AllowMissing::Children), async |registry| {
        let nowhere = Index::of([]).field("x", "nowhere").build();
        let index = Index::of([&nowhere]).build();
        try_push(&registry, "a", &index).await.expect(201);
        let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(pulled.body, index.content());
        // But no blobs.
        let config = Blob::text("{}");
        let image = Image::with_config(&config).build();
        let refused = try_push(&registry, "a", &image).await;
        expect_missing(refused, &[config.digest()]);
    });
}

#[test]
fn anything_may_be_missing_where_the_operator_allows_it() {
    over_each_store_with(&allowing(AllowMissing::All), async |registry| {
        let nowhere = Index::of([]).field("x", "nowhere").build();
        let index = Index::of([&nowhere]).build();
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        let image = Image::with_config(&config).layer(&layer).build();
        for manifest in [&index, &image] {
            try_push(&registry, "a", manifest).await.expect(201);
            let pulled = registry.get("/v2/a/manifests/v1").await.expect(200);
            assert_eq!(pulled.body, manifest.content());
        }
        // What is not there is still not there.
        let path = format!("/v2/a/blobs/{}", layer.digest());
        registry.get(path).await.expect_error(404, "BLOB_UNKNOWN");
        // What does not parse is refused as ever.
        let broken = Manifest::new(OCI_INDEX, "{");
        let refused = try_push(&registry, "a", &broken).await;
        refused.expect_error(400, "MANIFEST_INVALID");
    });
}

#[test]
fn a_manifest_of_many_layers_is_checked_whole() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let mut image = Image::with_config(&config);
        let mut missing = Vec::new();
        for number in 0..200 {
            let layer = Blob::text(&format!("layer {number}"));
            image = image.layer(&layer);
            if number % 3 == 0 {
                missing.push(layer.digest());
            } else {
                registry.holding("a", &layer).await;
            }
        }
        let refused = try_push(&registry, "a", &image.build()).await;
        expect_missing(refused, &missing);
    });
}
