//! oras, helm and notation, which share oras-go.

use http::header::{ACCEPT_RANGES, CONTENT_TYPE};
use octoserve::domain::media_type::OCI_INDEX;
use serde_json::json;

use crate::content::{Blob, Image, Index};
use crate::registry::over_each_store;

#[test]
fn oras_asks_for_the_referrers_of_a_zero_digest_to_see_whether_it_can() {
    over_each_store(async |registry| {
        // A 404 with NAME_UNKNOWN would mean that the repository is missing, any
        // other 404 that there is no such API.
        registry.push_image("a", "v1").await;
        let zero = format!("sha256:{}", "0".repeat(64));
        for name in ["a", "nowhere"] {
            let answer = registry.get(format!("/v2/{name}/referrers/{zero}")).await;
            let answer = answer.expect(200);
            assert_eq!(answer.header(CONTENT_TYPE), Some(OCI_INDEX));
            assert_eq!(answer.json()["manifests"], json!([]));
        }
    });
}

#[test]
fn oras_checks_the_digest_of_what_it_mounts_and_fetches() {
    over_each_store(async |registry| {
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        let digest = blob.digest().to_string();
        let path = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
        let mounted = registry.post(path).body("").await.expect(201);
        assert_eq!(mounted.named("docker-content-digest"), Some(&*digest));
        let fetched = registry.get(mounted.location()).await.expect(200);
        assert_eq!(fetched.named("docker-content-digest"), Some(&*digest));
    });
}

#[test]
fn oras_seeks_in_a_blob_only_if_ranges_are_announced() {
    over_each_store(async |registry| {
        for blob in [Blob::text("content"), Blob::of_size(100_000)] {
            registry.holding("a", &blob).await;
            let path = format!("/v2/a/blobs/{}", blob.digest());
            for call in [registry.get(&path), registry.head(&path)] {
                let answer = call.await.expect(200);
                assert_eq!(answer.header(ACCEPT_RANGES), Some("bytes"));
            }
        }
    });
}

#[test]
fn oras_wants_a_deletion_to_be_accepted_and_nothing_else() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let blob = Blob::text("content");
        registry.holding("a", &blob).await;
        let path = format!("/v2/a/manifests/{}", image.digest());
        registry.delete(path).await.expect(202);
        let path = format!("/v2/a/blobs/{}", blob.digest());
        registry.delete(path).await.expect(202);
    });
}

#[test]
fn oras_attaches_an_artifact_and_relies_on_the_registry_to_list_it() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let empty = Blob::text("{}");
        registry.holding("a", &empty).await;
        let empty_type = "application/vnd.oci.empty.v1+json";
        let artifact = Image::with_config_of(&empty, empty_type)
            .layer_of(&empty, empty_type)
            .field("artifactType", "application/vnd.example.sbom")
            .subject(&image)
            .build();
        let path = format!("/v2/a/manifests/{}", artifact.digest());
        let call = registry.put(path).body(artifact.content());
        let pushed = call.header(CONTENT_TYPE, artifact.media_type()).await;
        let pushed = pushed.expect(201);
        // Without this header it would keep a list of its own.
        let subject = pushed.named("oci-subject");
        assert_eq!(subject, Some(&*image.digest().to_string()));
        let path = format!(
            "/v2/a/referrers/{}?artifactType=application%2Fvnd.example.sbom",
            image.digest()
        );
        let listed = registry.get(path).await.expect(200);
        assert_eq!(listed.named("oci-filters-applied"), Some("artifactType"));
        let digest = &listed.json()["manifests"][0]["digest"];
        assert_eq!(*digest, json!(artifact.digest()));
    });
}

#[test]
fn helm_pushes_a_chart_and_finds_its_versions_page_by_page() {
    over_each_store(async |registry| {
        let (config, chart) = (Blob::text("{\"name\":\"chart\"}"), Blob::text("a chart"));
        registry.holding("charts/chart", &config).await;
        registry.holding("charts/chart", &chart).await;
        let config_type = "application/vnd.cncf.helm.config.v1+json";
        let layer_type = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
        let manifest = Image::with_config_of(&config, config_type)
            .layer_of(&chart, layer_type)
            .annotation("org.opencontainers.image.version", "1.0.0+build")
            .build();
        // No tag has a `+`, so it writes `_` instead.
        let versions = ["0.9.0", "1.0.0", "1.0.0_build", "1.10.0", "1.2.0-rc.1"];
        for version in versions {
            registry.push("charts/chart", version, &manifest).await;
        }
        let mut found = Vec::new();
        let mut next = Some("/v2/charts/chart/tags/list?n=2".to_owned());
        while let Some(path) = next {
            let page = registry.get(path).await.expect(200);
            found.extend(page.json()["tags"].as_array().expect("a list").clone());
            next = page.next_page();
        }
        assert_eq!(json!(found), json!(versions));
    });
}

#[test]
fn notation_finds_a_signature_by_the_type_of_its_config() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let notation = "application/vnd.cncf.notary.signature";
        let signature = Image::with_config_of(&config, notation)
            .subject(&image)
            .build();
        registry.push("a", signature.digest(), &signature).await;
        let listed = registry.get(format!("/v2/a/referrers/{}", image.digest()));
        let listed = listed.await.expect(200).json();
        assert_eq!(listed["manifests"][0]["artifactType"], notation);
    });
}

#[test]
fn oras_moves_a_tag_by_pushing_what_it_has_pulled() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let index = Index::of([&image]).build();
        registry.push("a", "v2", &index).await;
        let pulled = registry.get("/v2/a/manifests/v2").await.expect(200);
        let content_type = pulled.header(CONTENT_TYPE).expect("a type").to_owned();
        let call = registry
            .put("/v2/a/manifests/latest")
            .body(pulled.body.clone());
        call.header(CONTENT_TYPE, content_type).await.expect(201);
        let tagged = registry.get("/v2/a/manifests/latest").await.expect(200);
        assert_eq!(tagged.body, index.content());
    });
}
