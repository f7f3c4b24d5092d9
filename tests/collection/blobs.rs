//! Blobs, and the claims on them.

use std::fs;
use std::os::unix::fs::symlink;

use octoserve::app::{AllowMissing, CollectRules, RegistryRules};
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::page::PageRequest;
use octoserve::domain::record_key::RecordKey;
use octoserve::ports::record_store::{Expected, RecordWrite};

use crate::setup::{
    GRACE, HOUR, Setup, name, on_every_store, push_blob, push_image, push_index,
    push_index_of_blobs, rules, whole,
};

async fn a_blob_that_nothing_refers_to_goes_after_its_grace(setup: Setup) {
    let registry = setup.registry();
    let digest = push_blob(&registry, "a", "nobody needs this").await;
    setup.age(GRACE - HOUR);
    let collected = setup.collect(&rules()).await;
    assert_eq!((collected.blobs, collected.removed_blobs), (1, 0));
    assert!(setup.is_stored(&digest).await, "it is younger than that");
    setup.age(HOUR);
    let collected = setup.collect(&rules()).await;
    assert_eq!((collected.removed_blobs, collected.removed_bytes), (1, 17));
    assert!(!setup.is_stored(&digest).await);
}

async fn with_a_blob_its_claims_go(setup: Setup) {
    let registry = setup.registry();
    let digest = push_blob(&registry, "a", "content").await;
    push_blob(&registry, "b/c", "content").await;
    setup.age(GRACE);
    let collected = setup.collect(&rules()).await;
    assert_eq!((collected.removed_blobs, collected.removed_claims), (1, 2));
    for repository in ["a", "b/c"] {
        let claim = RecordKey::Claim(name(repository), digest);
        let stored = setup.records.get(&claim).await.expect("reads");
        assert_eq!(stored, None, "the claim of {repository}");
    }
    push_blob(&registry, "a", "content").await;
    let found = registry.check_blob(&name("a"), &digest).await;
    found.expect("it is back");
}

async fn what_a_manifest_refers_to_stays(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config", "layer"], None).await;
    setup.age(2 * GRACE);
    let collected = setup.collect(&rules()).await;
    assert_eq!((collected.manifests, collected.removed_blobs), (1, 0));
    for digest in image.blobs.iter().chain([&image.digest]) {
        assert!(setup.is_stored(digest).await);
    }
}

async fn a_blob_stays_for_as_long_as_any_repository_refers_to_it(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config", "shared"], None).await;
    let other = push_image(&registry, "b", None, &["another", "shared"], None).await;
    setup.age(2 * GRACE);
    let deleted = registry.delete_manifest(&name("a"), &image.digest).await;
    deleted.expect("deletes");
    let collected = setup.collect(&rules()).await;
    assert_eq!(collected.removed_blobs, 2, "a config and a manifest");
    for digest in &other.blobs {
        assert!(setup.is_stored(digest).await);
    }
    let deleted = registry.delete_manifest(&name("b"), &other.digest).await;
    deleted.expect("deletes");
    let collected = setup.collect(&rules()).await;
    assert_eq!(collected.removed_blobs, 3, "all the others");
    assert_eq!(setup.blobs.list(None, 10).await.expect("lists"), []);
}

/// As BuildKit keeps its cache in a registry.
async fn blobs_that_an_index_lists_stay(setup: Setup) {
    for allow_missing in [AllowMissing::Children, AllowMissing::All] {
        let registry = setup.registry_with(RegistryRules {
            allow_missing,
            ..RegistryRules::default()
        });
        let blob = push_blob(&registry, "a", &format!("{allow_missing:?}")).await;
        let index = push_index_of_blobs(&registry, "a", &[&blob]).await;
        setup.age(2 * GRACE);
        assert_eq!(setup.collect(&rules()).await.removed_blobs, 0);
        assert!(setup.is_stored(&blob).await);
        let found = registry.check_blob(&name("a"), &blob).await;
        found.expect("the repository has it");
        let deleted = registry.delete_manifest(&name("a"), &index).await;
        deleted.expect("deletes");
        setup.age(2 * GRACE);
        assert_eq!(setup.collect(&rules()).await.removed_blobs, 2);
    }
}

async fn an_index_that_lists_blobs_renews_their_leases(setup: Setup) {
    let registry = setup.registry_with(RegistryRules {
        allow_missing: AllowMissing::Children,
        ..RegistryRules::default()
    });
    let blob = push_blob(&registry, "a", "cached").await;
    setup.age(GRACE);
    let index = push_index_of_blobs(&registry, "a", &[&blob]).await;
    let deleted = registry.delete_manifest(&name("a"), &index).await;
    deleted.expect("deletes");
    assert_eq!(setup.collect(&rules()).await.removed_blobs, 0);
    assert!(setup.is_stored(&blob).await, "its lease is new");
}

async fn who_asks_for_a_blob_keeps_it(setup: Setup) {
    let registry = setup.registry();
    let digest = push_blob(&registry, "a", "content").await;
    setup.age(GRACE);
    let found = setup.registry().check_blob(&name("a"), &digest).await;
    found.expect("it is there");
    assert_eq!(setup.collect(&rules()).await.removed_blobs, 0);
    setup.age(GRACE);
    let mounted = registry.mount_blob(&name("b"), &digest, None).await;
    mounted.expect("looks").expect("it is there");
    assert_eq!(setup.collect(&rules()).await.removed_blobs, 0);
}

async fn a_dry_run_tells_the_same_and_removes_nothing(setup: Setup) {
    let registry = setup.registry();
    let digest = push_blob(&registry, "a", "content").await;
    push_image(&registry, "a", Some("v1"), &["config"], None).await;
    let begun = registry
        .begin_upload(&name("a"), digest.algorithm())
        .await
        .expect("begins");
    setup.age(2 * GRACE);
    let dry = CollectRules {
        dry_run: true,
        ..rules()
    };
    let told = setup.collect(&dry).await;
    assert!(setup.is_stored(&digest).await);
    let received = registry.upload_received(&name("a"), begun).await;
    assert_eq!(received.expect("it is still there"), 0);
    assert_eq!((told.removed_blobs, told.removed_uploads), (1, 1));
    assert_eq!(setup.collect(&rules()).await, told);
    assert!(!setup.is_stored(&digest).await);
}

async fn a_record_that_does_not_parse_stops_the_run(setup: Setup) {
    let registry = setup.registry();
    let digest = push_blob(&registry, "a", "content").await;
    let image = push_image(&registry, "a", None, &["config"], None).await;
    let key = RecordKey::Revision(name("a"), image.digest);
    for damage in ["{}", "rotten", r#"{"v":2}"#] {
        let write = RecordWrite {
            key: key.clone(),
            value: damage.into(),
            expected: Expected::Any,
        };
        setup.records.write(&[write]).await.expect("writes");
        setup.age(2 * GRACE);
        let stopped = setup.registry().collect(&rules(), &()).await;
        let error = std::error::Error::source(&stopped.expect_err("it stops"))
            .expect("a cause")
            .to_string();
        for part in ["revision", "a", &image.digest.to_string()] {
            assert!(error.contains(part), "{error}");
        }
        assert!(setup.is_stored(&digest).await, "failing is not a miss");
    }
}

async fn blobs_stay_where_no_repository_has_a_record(setup: Setup) {
    let digest = Digest::of(Algorithm::Sha256, b"content");
    let stored = setup.blobs.put(&digest, "content".into()).await;
    stored.expect("stores");
    setup.age(GRACE);
    for dry_run in [true, false] {
        let rules = CollectRules { dry_run, ..rules() };
        let stopped = setup.registry().collect(&rules, &()).await;
        let error = std::error::Error::source(&stopped.expect_err("it stops"))
            .expect("a cause")
            .to_string();
        for part in ["record", "mounted", "force"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(setup.is_stored(&digest).await);
    }
    let forced = CollectRules {
        even_without_records: true,
        ..rules()
    };
    assert_eq!(setup.collect(&forced).await.removed_blobs, 1);
    assert_eq!(setup.collect(&rules()).await.blobs, 0, "empty is all right");
}

#[tokio::test]
async fn blobs_stay_when_all_records_are_away_and_after_they_are_back() {
    let setup = Setup::filesystem();
    let registry = setup.registry();
    let image = push_image(&registry, "a", Some("v1"), &["config"], None).await;
    setup.age(2 * GRACE);
    let root = setup.directory.as_ref().expect("a directory").path();
    let (records, elsewhere) = (root.join("manifests"), root.join("elsewhere"));
    fs::rename(&records, &elsewhere).expect("moves");
    let missing = setup.registry().collect(&rules(), &()).await;
    missing.expect_err("there are none");
    fs::create_dir(&records).expect("makes a directory");
    let empty = setup.registry().collect(&rules(), &()).await;
    empty.expect_err("there are none");
    fs::remove_dir(&records).expect("removes it");
    fs::rename(&elsewhere, &records).expect("moves back");
    let collected = setup.collect(&rules()).await;
    assert_eq!((collected.removed_blobs, collected.manifests), (0, 1));
    for digest in image.blobs.iter().chain([&image.digest]) {
        assert!(setup.is_stored(digest).await);
    }
}

#[tokio::test]
async fn the_last_blob_of_a_directory_whose_manifests_were_deleted_goes() {
    let setup = Setup::filesystem();
    let registry = setup.registry();
    // Nobody claims it but its revision.
    let index = push_index(&registry, "a/b", Some("v1"), &[]).await;
    let deleted = registry.delete_manifest(&name("a/b"), &index.digest).await;
    deleted.expect("deletes");
    setup.age(GRACE);
    assert_eq!(setup.collect(&rules()).await.removed_blobs, 1);
    assert_eq!(setup.blobs.list(None, 10).await.expect("lists"), []);
}

#[tokio::test]
async fn what_a_linked_repository_refers_to_stays() {
    for linked in ["a", "a/b", "a/b/_revisions"] {
        let setup = Setup::filesystem();
        let registry = setup.registry();
        let image = push_image(&registry, "a/b", Some("v1"), &["config"], None).await;
        let lonely = push_blob(&registry, "c", "nobody needs this").await;
        setup.age(2 * GRACE);
        let root = setup.directory.as_ref().expect("a directory").path();
        let (place, elsewhere) = (root.join("manifests").join(linked), root.join("elsewhere"));
        fs::rename(&place, &elsewhere).expect("moves");
        symlink(&elsewhere, &place).expect("links");
        assert_eq!(setup.collect(&rules()).await.removed_blobs, 1, "{linked}");
        assert!(!setup.is_stored(&lonely).await);
        for digest in image.blobs.iter().chain([&image.digest]) {
            assert!(setup.is_stored(digest).await, "{linked}");
        }
    }
}

#[tokio::test]
async fn a_link_to_nothing_stops_the_run() {
    let setup = Setup::filesystem();
    let lonely = push_blob(&setup.registry(), "c", "nobody needs this").await;
    setup.age(GRACE);
    let root = setup.directory.as_ref().expect("a directory").path();
    symlink(root.join("nowhere"), root.join("manifests/a")).expect("links");
    let stopped = setup.registry().collect(&rules(), &()).await;
    let error = stopped.expect_err("it stops");
    let cause = std::error::Error::source(&error).expect("a cause");
    assert!(cause.to_string().contains("manifests/a"), "{cause}");
    assert!(setup.is_stored(&lonely).await);
}

async fn any_number_of_blobs_is_collected_a_few_at_a_time(setup: Setup) {
    let registry = setup.registry();
    for number in 0..30 {
        push_blob(&registry, "a", &format!("blob {number}")).await;
    }
    let image = push_image(&registry, "a", None, &["config"], None).await;
    setup.age(GRACE);
    let few = CollectRules {
        most_candidates: 1,
        ..rules()
    };
    let collected = setup.collect(&few).await;
    assert_eq!((collected.removed_blobs, collected.blobs), (30, 32));
    assert_eq!(collected.removed_claims, 30);
    assert!(setup.is_stored(&image.digest).await);
}

async fn a_repository_without_manifests_leaves_the_catalog(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", Some("v1"), &["config"], None).await;
    // As a delete leaves it that is stopped after its first step.
    let revision = RecordKey::Revision(name("a"), image.digest);
    let removed = setup.records.remove(&revision, &Expected::Any).await;
    removed.expect("removes");
    assert_eq!(setup.collect(&rules()).await.removed_repositories, 1);
    let page = registry.repositories(&PageRequest::default()).await;
    assert_eq!(page.expect("lists").entries, []);
}

async fn a_push_without_its_blobs_is_refused_after_they_were_collected(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config", "layer"], None).await;
    let deleted = registry.delete_manifest(&name("a"), &image.digest).await;
    deleted.expect("deletes");
    setup.age(GRACE);
    assert_eq!(setup.collect(&rules()).await.removed_blobs, 3);
    let push = octoserve::app::ManifestPush {
        content: image.content.clone().into(),
        content_type: None,
        target: octoserve::app::PushedTo::Digest(image.digest, Vec::new()),
    };
    let refused = registry.put_manifest(&name("a"), &push).await;
    let Err(octoserve::app::RegistryError::ManifestBlobUnknown(missing)) = refused else {
        panic!("its blobs are gone: {refused:?}");
    };
    assert_eq!(missing, image.blobs);
    for (digest, content) in image.blobs.iter().zip(["config", "layer"]) {
        let pushed = registry.push_blob(&name("a"), digest, whole(content)).await;
        pushed.expect("pushes");
    }
    registry
        .put_manifest(&name("a"), &push)
        .await
        .expect("accepts");
}

on_every_store!(
    a_blob_that_nothing_refers_to_goes_after_its_grace,
    with_a_blob_its_claims_go,
    what_a_manifest_refers_to_stays,
    a_blob_stays_for_as_long_as_any_repository_refers_to_it,
    blobs_that_an_index_lists_stay,
    an_index_that_lists_blobs_renews_their_leases,
    who_asks_for_a_blob_keeps_it,
    a_dry_run_tells_the_same_and_removes_nothing,
    a_record_that_does_not_parse_stops_the_run,
    blobs_stay_where_no_repository_has_a_record,
    any_number_of_blobs_is_collected_a_few_at_a_time,
    a_repository_without_manifests_leaves_the_catalog,
    a_push_without_its_blobs_is_refused_after_they_were_collected,
);
