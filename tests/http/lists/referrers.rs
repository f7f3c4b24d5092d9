//! The manifests that refer to one.

use http::header::{CONTENT_TYPE, IF_NONE_MATCH, LINK};
use octoserve::domain::digest::Digest;
use octoserve::domain::media_type::OCI_INDEX;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::content::{Blob, CONFIG_TYPE, Image, Index, Manifest};
use crate::registry::{TestRegistry, over_each_store};

const SBOM: &str = "application/vnd.example.sbom.v1+json";
const SIGNATURE: &str = "application/vnd.example.signature.v1";

fn path(subject: &Manifest) -> String {
    format!("/v2/a/referrers/{}", subject.digest())
}

fn entries(answer: &Answer) -> Vec<Value> {
    let list = answer.json();
    list["manifests"].as_array().expect("a list").clone()
}

fn digests(answer: &Answer) -> Vec<Value> {
    let digest = |entry: &Value| entry["digest"].clone();
    entries(answer).iter().map(digest).collect()
}

/// Pushes a manifest that is about `subject`, called by its digest.
async fn refer(registry: &TestRegistry, name: &str, artifact: &str, subject: &Manifest) -> Digest {
    let config = Blob::text("{}");
    registry.holding("a", &config).await;
    let manifest = Image::with_config(&config)
        .field("artifactType", artifact)
        .annotation("name", name)
        .subject(subject)
        .build();
    registry.push("a", manifest.digest(), &manifest).await;
    manifest.digest()
}

/// Follows a list to its end; each page is held to what a page must be.
async fn follow(registry: &TestRegistry, path: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = registry.get(path).await.expect(200);
        assert_eq!(page.header(CONTENT_TYPE), Some(OCI_INDEX));
        assert!(page.body.len() <= 4 << 20, "{} bytes", page.body.len());
        pages.push(digests(&page));
        next = page.next_page();
        assert!(pages.len() < 100, "the list has an end");
    }
    pages
}

#[test]
fn referrers_are_listed_as_an_image_index() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        refer(&registry, "sbom", SBOM, &image).await;
        let list = registry.get(path(&image)).await;
        insta::assert_snapshot!(list.wire(), @r#"
        200 OK
        content-length: 324
        content-type: application/vnd.oci.image.index.v1+json
        docker-distribution-api-version: registry/2.0
        etag: "65ef0ad3b37bf286ac40a4c906a3be5ce20ff45d50a5391335d80b9e9b239c65"
        x-request-id: [request id]

        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:9083950865d182f9f349fa7343e8306d7e7c9e4c33f7451fd3bd75270f6bc97f","size":489,"artifactType":"application/vnd.example.sbom.v1+json","annotations":{"name":"sbom"}}]}
        "#);
    });
}

#[test]
fn what_nobody_refers_to_has_an_empty_list_even_where_nothing_is() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        refer(&registry, "other", SBOM, &Index::of([]).build()).await;
        let zero = format!("sha256:{}", "0".repeat(64));
        for path in [
            path(&image),
            format!("/v2/a/referrers/{zero}"),
            format!("/v2/nowhere/referrers/{zero}"),
            format!("/v2/nowhere/referrers/{}", image.sha512()),
        ] {
            let list = registry.get(&path).await.expect(200);
            assert_eq!(list.header(CONTENT_TYPE), Some(OCI_INDEX));
            let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
            assert_eq!(list.json(), empty, "{path}");
            registry.head(path).await.expect(200);
        }
    });
}

#[test]
fn a_descriptor_tells_what_its_manifest_says_and_no_more() {
    over_each_store(async |registry| {
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        registry.holding("a", &config).await;
        registry.holding("a", &layer).await;
        let subject = Index::of([]).build();
        let annotations = json!({
            "org.opencontainers.image.created": "2022-01-01T14:42:55Z",
            "empty": "",
            "": "without a name",
            "unicode": "\u{1f980} \"quoted\" \\ \n",
        });
        let artifact = || Image::with_config_of(&config, "application/vnd.example.config");
        for (manifest, artifact_type, annotations) in [
            // The artifact's own type, or else that of its config.
            (
                artifact()
                    .field("artifactType", SBOM)
                    .field("annotations", annotations.clone())
                    .subject(&subject)
                    .build(),
                Some(SBOM),
                Some(annotations.clone()),
            ),
            (
                artifact().layer(&layer).subject(&subject).build(),
                Some("application/vnd.example.config"),
                None,
            ),
            (
                artifact()
                    .field("artifactType", "")
                    .subject(&subject)
                    .build(),
                Some("application/vnd.example.config"),
                None,
            ),
            (
                Image::with_config(&config)
                    .field("annotations", json!({}))
                    .subject(&subject)
                    .docker()
                    .build(),
                Some(CONFIG_TYPE),
                Some(json!({})),
            ),
            // An index has no config, so perhaps no type.
            (Index::of([]).subject(&subject).build(), None, None),
            (
                Index::of([])
                    .field("artifactType", "")
                    .field("annotations", annotations.clone())
                    .subject(&subject)
                    .build(),
                None,
                Some(annotations),
            ),
            (
                Index::of([])
                    .field("artifactType", SIGNATURE)
                    .subject(&subject)
                    .build(),
                Some(SIGNATURE),
                None,
            ),
        ] {
            registry.push("a", manifest.digest(), &manifest).await;
            let list = registry.get(path(&subject)).await.expect(200);
            let mut expected = manifest.descriptor();
            if let Some(artifact_type) = artifact_type {
                expected["artifactType"] = artifact_type.into();
            }
            if let Some(annotations) = annotations {
                expected["annotations"] = annotations;
            }
            let wanted = json!(manifest.digest());
            let entry = entries(&list)
                .into_iter()
                .find(|entry| entry["digest"] == wanted);
            assert_eq!(entry, Some(expected));
        }
    });
}

#[test]
fn a_referrer_is_listed_once_in_its_own_repository_and_under_its_own_subject() {
    over_each_store(async |registry| {
        let (image, other) = (registry.push_image("a", "v1").await, Index::of([]).build());
        let referrer = refer(&registry, "sbom", SBOM, &image).await;
        refer(&registry, "sbom", SBOM, &image).await;
        let list = registry.get(path(&image)).await.expect(200);
        assert_eq!(digests(&list), [json!(referrer)]);
        let elsewhere = format!("/v2/b/referrers/{}", image.digest());
        for path in [path(&other), elsewhere] {
            let list = registry.get(path).await.expect(200);
            assert!(entries(&list).is_empty());
        }
    });
}

#[test]
fn a_referrer_may_come_before_its_subject() {
    over_each_store(async |registry| {
        let image = Index::of([]).field("x", "later").build();
        let referrer = refer(&registry, "sbom", SBOM, &image).await;
        let list = registry.get(path(&image)).await.expect(200);
        assert_eq!(digests(&list), [json!(referrer)]);
        registry.push("a", "v1", &image).await;
        let list = registry.get(path(&image)).await.expect(200);
        assert_eq!(digests(&list), [json!(referrer)]);
    });
}

#[test]
fn a_referrer_has_referrers_of_its_own() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        let sbom = Index::of([]).field("x", "sbom").subject(&image).build();
        let signature = Index::of([]).field("x", "signature").subject(&sbom).build();
        registry.push("a", sbom.digest(), &sbom).await;
        registry.push("a", signature.digest(), &signature).await;
        for (subject, referrer) in [(&image, &sbom), (&sbom, &signature)] {
            let list = registry.get(path(subject)).await.expect(200);
            assert_eq!(digests(&list), [json!(referrer.digest())]);
        }
    });
}

#[test]
fn a_filter_leaves_the_others_out_and_says_so() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        let sbom = refer(&registry, "sbom", SBOM, &image).await;
        let signature = refer(&registry, "signature", SIGNATURE, &image).await;
        for (filter, expected) in [
            ("application/vnd.example.sbom.v1%2Bjson", vec![json!(sbom)]),
            (
                "application%2Fvnd.example.sbom.v1%2Bjson",
                vec![json!(sbom)],
            ),
            // Some write the `+` as it is.
            (SBOM, vec![json!(sbom)]),
            (SIGNATURE, vec![json!(signature)]),
            ("application/vnd.example.SIGNATURE.v1", vec![]),
            ("application/vnd.example", vec![]),
            ("*/*", vec![]),
            (CONFIG_TYPE, vec![]),
        ] {
            let path = format!("{}?artifactType={filter}", path(&image));
            let list = registry.get(path).await.expect(200);
            assert_eq!(digests(&list), expected, "{filter}");
            assert_eq!(list.named("oci-filters-applied"), Some("artifactType"));
        }
        for query in ["", "?artifactType=", "?other=1"] {
            let list = registry.get(format!("{}{query}", path(&image))).await;
            let list = list.expect(200);
            assert_eq!(entries(&list).len(), 2, "{query}");
            assert_eq!(list.named("oci-filters-applied"), None);
        }
    });
}

#[test]
fn a_filter_finds_what_has_its_type_from_its_config() {
    over_each_store(async |registry| {
        let config = Blob::text("{}");
        registry.holding("a", &config).await;
        let image = Index::of([]).build();
        let notation = "application/vnd.cncf.notary.signature";
        let signature = Image::with_config_of(&config, notation)
            .subject(&image)
            .build();
        registry.push("a", signature.digest(), &signature).await;
        let filtered = format!("{}?artifactType={notation}", path(&image));
        let list = registry.get(filtered).await.expect(200);
        assert_eq!(digests(&list), [json!(signature.digest())]);
    });
}

#[test]
fn pages_are_as_long_as_the_client_wants_and_complete() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        let mut expected = Vec::new();
        let mut sboms = Vec::new();
        for number in 0..7 {
            let artifact = if number % 2 == 0 { SBOM } else { SIGNATURE };
            let digest = refer(&registry, &number.to_string(), artifact, &image).await;
            expected.push(digest.to_string());
            if number % 2 == 0 {
                sboms.push(digest.to_string());
            }
        }
        expected.sort_unstable();
        sboms.sort_unstable();
        for (n, lengths) in [
            (1, &[1; 7][..]),
            (3, &[3, 3, 1]),
            (7, &[7]),
            (8, &[7]),
            (1_000_000, &[7]),
        ] {
            let pages = follow(&registry, &format!("{}?n={n}", path(&image))).await;
            let found: Vec<usize> = pages.iter().map(Vec::len).collect();
            assert_eq!(found, lengths, "n={n}");
            assert_eq!(json!(pages.concat()), json!(expected));
        }
        // The filter goes with the list from page to page.
        let filtered = format!("{}?n=3&artifactType={SBOM}", path(&image));
        let pages = follow(&registry, &filtered).await;
        assert_eq!(json!(pages.concat()), json!(sboms));
        let first = registry.get(&filtered).await.expect(200);
        insta::assert_snapshot!(first.header(LINK).expect("a next page"), @r#"</v2/a/referrers/sha256:93e16ab8fb1bfb08f051a420835b414851eaeedb9f7105d26dacb84f26d810b5?last=sha256:5eaefcbadefc514cad3ce916ac1b75685fae0a91e0985f19e9d0a82d09799da6&n=3&artifactType=application/vnd.example.sbom.v1%2Bjson>; rel="next""#);
    });
}

#[test]
fn an_n_that_is_no_number_of_referrers_is_refused() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        for n in ["", "-1", "ten"] {
            let refused = registry.get(format!("{}?n={n}", path(&image))).await;
            refused.expect_error(400, "PAGINATION_NUMBER_INVALID");
        }
    });
}

/// Most clients follow no link, so a page is as large as they can take, and
/// only what is beyond goes to a next one.
#[test]
fn a_list_is_one_page_up_to_four_mebibytes_and_more_pages_beyond() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        let annotation = "x".repeat(1_000_000);
        let mut expected = Vec::new();
        for number in 0..9 {
            let name = format!("{number}{annotation}");
            let digest = refer(&registry, &name, SBOM, &image).await;
            expected.push(digest.to_string());
            expected.sort_unstable();
            let pages = follow(&registry, &path(&image)).await;
            // Four of them and what is around them fit into 4 MiB.
            assert_eq!(pages.len(), expected.len().div_ceil(4), "{number}");
            assert_eq!(json!(pages.concat()), json!(expected));
        }
        // A page that the client wants shorter is shorter.
        let pages = follow(&registry, &format!("{}?n=2", path(&image))).await;
        let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 2, 2, 2, 1]);
    });
}

#[test]
fn many_referrers_are_one_page() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        for number in 0..600 {
            let referrer = Index::of([]).field("x", number).subject(&image).build();
            registry.push("a", referrer.digest(), &referrer).await;
        }
        let list = registry.get(path(&image)).await.expect(200);
        assert_eq!(entries(&list).len(), 600);
        assert_eq!(list.header(LINK), None);
    });
}

#[test]
fn referrers_that_the_client_has_are_not_sent_again() {
    over_each_store(async |registry| {
        let image = Index::of([]).build();
        refer(&registry, "sbom", SBOM, &image).await;
        let filtered = format!("{}?artifactType={SBOM}", path(&image));
        let list = registry.get(&filtered).await.expect(200);
        let again = registry.get(&filtered).header(IF_NONE_MATCH, list.etag());
        let again = again.await.expect(304);
        assert_eq!(again.etag(), list.etag());
        assert_eq!(again.named("oci-filters-applied"), Some("artifactType"));
        refer(&registry, "another sbom", SBOM, &image).await;
        let changed = registry.get(&filtered).header(IF_NONE_MATCH, list.etag());
        assert_eq!(entries(&changed.await.expect(200)).len(), 2);
    });
}

#[test]
fn a_fallback_tag_is_a_tag_like_any_other() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let tag = image.digest().to_string().replace(':', "-");
        let fallback = Index::of([]).build();
        for suffix in ["", ".sig", ".att", ".sbom"] {
            registry
                .push("a", format!("{tag}{suffix}"), &fallback)
                .await;
            let path = format!("/v2/a/manifests/{tag}{suffix}");
            let pulled = registry.get(path).await.expect(200);
            assert_eq!(pulled.body, fallback.content());
        }
    });
}
