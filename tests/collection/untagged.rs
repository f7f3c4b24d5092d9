//! Manifests that nothing needs.

use octoserve::app::{CollectRules, Collected, Registry};
use octoserve::domain::digest::Digest;
use octoserve::domain::name::Reference;

use crate::setup::{
    GRACE, HOUR, Pushed, Setup, name, on_every_store, push_image, push_index, put, rules,
};

fn after_an_hour() -> CollectRules {
    CollectRules {
        untagged_after: Some(HOUR),
        ..rules()
    }
}

/// Has manifests seen that nothing needs, and collects them an hour later. Marks
/// are made by the clock, so on a store whose files are set back instead they
/// are ripe at once.
async fn collect(setup: &Setup) -> Collected {
    let rules = match setup.directory {
        None => after_an_hour(),
        Some(_) => CollectRules {
            untagged_after: Some(std::time::Duration::ZERO),
            ..rules()
        },
    };
    setup.collect(&rules).await;
    setup.age(HOUR);
    setup.collect(&rules).await
}

async fn is_there(registry: &Registry, digest: &Digest) -> bool {
    let reference = Reference::Digest(*digest);
    registry.find_manifest(&name("a"), &reference).await.is_ok()
}

async fn stay(setup: &Setup, manifests: &[&Pushed]) {
    let collected = collect(setup).await;
    assert_eq!(collected.removed_manifests, 0);
    for manifest in manifests {
        assert!(is_there(&setup.registry(), &manifest.digest).await);
    }
}

async fn untagged_manifests_stay_if_nobody_says_otherwise(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config"], None).await;
    for _ in 0..3 {
        setup.age(2 * GRACE);
        let collected = setup.collect(&rules()).await;
        assert_eq!(collected.removed_manifests + collected.waiting_manifests, 0);
    }
    assert!(is_there(&setup.registry(), &image.digest).await);
}

async fn an_untagged_manifest_goes_with_its_blobs(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config", "layer"], None).await;
    setup.age(GRACE);
    let collected = collect(&setup).await;
    assert_eq!(collected.removed_manifests, 1);
    assert_eq!((collected.removed_blobs, collected.removed_claims), (3, 2));
    assert!(!is_there(&setup.registry(), &image.digest).await);
    assert_eq!(setup.blobs.list(None, 10).await.expect("lists"), []);
}

async fn a_manifest_is_waited_for_from_when_it_was_last_needed(setup: Setup) {
    if setup.directory.is_some() {
        return;
    }
    let registry = setup.registry();
    let image = push_image(&registry, "a", Some("v1"), &["config"], None).await;
    setup.age(10 * GRACE);
    assert_eq!(setup.collect(&after_an_hour()).await.waiting_manifests, 0);
    let tag = "v1".parse().expect("a tag");
    registry
        .delete_tag(&name("a"), &tag)
        .await
        .expect("deletes");
    assert_eq!(setup.collect(&after_an_hour()).await.waiting_manifests, 1);
    setup.age(HOUR / 2);
    assert_eq!(setup.collect(&after_an_hour()).await.waiting_manifests, 1);
    // It is needed again for a while.
    put(&registry, "a", Some("v2"), &image.content).await;
    assert_eq!(setup.collect(&after_an_hour()).await.waiting_manifests, 0);
    let tag = "v2".parse().expect("a tag");
    registry
        .delete_tag(&name("a"), &tag)
        .await
        .expect("deletes");
    setup.age(HOUR / 2);
    assert_eq!(setup.collect(&after_an_hour()).await.waiting_manifests, 1);
    setup.age(HOUR / 2);
    assert_eq!(setup.collect(&after_an_hour()).await.waiting_manifests, 1);
    setup.age(HOUR / 2);
    assert_eq!(setup.collect(&after_an_hour()).await.removed_manifests, 1);
}

async fn tagged_manifests_stay(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", Some("v1"), &["config"], None).await;
    setup.age(GRACE);
    stay(&setup, &[&image]).await;
}

async fn the_manifests_of_a_tagged_index_stay(setup: Setup) {
    let registry = setup.registry();
    let one = push_image(&registry, "a", None, &["config 1"], None).await;
    let other = push_image(&registry, "a", None, &["config 2"], None).await;
    let index = push_index(&registry, "a", Some("v1"), &[&one, &other]).await;
    setup.age(GRACE);
    stay(&setup, &[&one, &other, &index]).await;
    let tag = "v1".parse().expect("a tag");
    registry
        .delete_tag(&name("a"), &tag)
        .await
        .expect("deletes");
    assert_eq!(collect(&setup).await.removed_manifests, 3);
}

async fn a_referrer_stays_and_goes_with_its_subject(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", Some("v1"), &["config"], None).await;
    let signature = push_image(&registry, "a", None, &["signature"], Some(&image)).await;
    let of_signature = push_image(&registry, "a", None, &["again"], Some(&signature)).await;
    setup.age(GRACE);
    stay(&setup, &[&image, &signature, &of_signature]).await;
    let tag = "v1".parse().expect("a tag");
    registry
        .delete_tag(&name("a"), &tag)
        .await
        .expect("deletes");
    assert_eq!(collect(&setup).await.removed_manifests, 3);
    let request = octoserve::domain::referrers::ReferrersRequest::default();
    let listed = registry
        .referrers(&name("a"), &image.digest, &request)
        .await;
    assert_eq!(listed.expect("lists").descriptors, []);
}

async fn the_subject_of_a_tagged_referrer_stays(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config"], None).await;
    let signature = push_image(&registry, "a", Some("s"), &["signature"], Some(&image)).await;
    setup.age(GRACE);
    stay(&setup, &[&image, &signature]).await;
}

async fn what_an_index_refers_to_is_pardoned_when_the_index_comes(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config"], None).await;
    setup.age(GRACE);
    let waiting = setup.collect(&after_an_hour()).await.waiting_manifests;
    assert_eq!(waiting, 1);
    push_index(&registry, "a", Some("v1"), &[&image]).await;
    setup.age(2 * HOUR);
    let collected = setup.collect(&after_an_hour()).await;
    assert_eq!(collected.removed_manifests + collected.waiting_manifests, 0);
    assert!(is_there(&setup.registry(), &image.digest).await);
}

async fn the_same_manifest_stays_in_the_repository_that_needs_it(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "b", None, &["config"], None).await;
    push_image(&registry, "a", Some("v1"), &["config"], None).await;
    setup.age(GRACE);
    let collected = collect(&setup).await;
    assert_eq!(
        (collected.removed_manifests, collected.removed_blobs),
        (1, 0)
    );
    assert!(is_there(&setup.registry(), &image.digest).await);
}

async fn a_dry_run_tells_what_would_go_with_untagged_manifests(setup: Setup) {
    let registry = setup.registry();
    let image = push_image(&registry, "a", None, &["config"], None).await;
    setup.age(GRACE);
    let rules = CollectRules {
        untagged_after: Some(std::time::Duration::ZERO),
        ..rules()
    };
    setup.collect(&rules).await;
    let dry = CollectRules {
        dry_run: true,
        ..rules.clone()
    };
    let told = setup.collect(&dry).await;
    assert!(is_there(&setup.registry(), &image.digest).await);
    assert_eq!((told.removed_manifests, told.removed_blobs), (1, 2));
    let collected = setup.collect(&rules).await;
    assert_eq!(
        (collected.removed_manifests, collected.removed_blobs),
        (1, 2)
    );
}

on_every_store!(
    untagged_manifests_stay_if_nobody_says_otherwise,
    an_untagged_manifest_goes_with_its_blobs,
    a_manifest_is_waited_for_from_when_it_was_last_needed,
    tagged_manifests_stay,
    the_manifests_of_a_tagged_index_stay,
    a_referrer_stays_and_goes_with_its_subject,
    the_subject_of_a_tagged_referrer_stays,
    what_an_index_refers_to_is_pardoned_when_the_index_comes,
    the_same_manifest_stays_in_the_repository_that_needs_it,
    a_dry_run_tells_what_would_go_with_untagged_manifests,
);
