//! Manifests that nothing needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use octoserve::app::{CollectRules, Collected, Registry};
use octoserve::domain::digest::Digest;
use octoserve::domain::name::Reference;
use octoserve::domain::record_key::RecordKey;

use crate::meddling::{Change, MeddledRecords};
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

/// Collects, and has the content pushed to a tag again just before the collector
/// removes this manifest.
async fn collect_while_tagging(setup: &mut Setup, content: &str, at: Digest) {
    let registry = Arc::new(setup.registry());
    let records = Arc::clone(&setup.records);
    let content = content.to_owned();
    let pushes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pushes);
    let meddler = move |change: Change| -> BoxFuture<'static, ()> {
        let is_it =
            matches!(change, Change::Remove(RecordKey::Revision(_, digest)) if digest == at);
        if !is_it || count.fetch_add(1, Ordering::Relaxed) > 0 {
            return Box::pin(async {});
        }
        let (registry, content) = (Arc::clone(&registry), content.clone());
        Box::pin(async move {
            put(&registry, "a", Some("again"), &content).await;
        })
    };
    setup.records = Arc::new(MeddledRecords::new(Arc::clone(&records), meddler));
    collect(setup).await;
    setup.records = records;
    assert_eq!(pushes.load(Ordering::Relaxed), 1, "it was about to go");
}

async fn all_that_an_index_needs_stays_when_it_is_tagged_meanwhile(mut setup: Setup) {
    for number in 0..10 {
        let registry = setup.registry();
        let config = format!("config {number}");
        let image = push_image(&registry, "a", None, &[&config], None).await;
        let signature = push_image(&registry, "a", None, &["signature"], Some(&image)).await;
        let inner = push_index(&registry, "a", None, &[&image]).await;
        let outer = push_index(&registry, "a", None, &[&inner]).await;
        let of_outer = push_image(&registry, "a", None, &["sbom"], Some(&outer)).await;
        setup.age(GRACE);
        // As if it came before anything was removed.
        collect_while_tagging(&mut setup, &outer.content, outer.digest).await;
        for manifest in [&outer, &inner, &image, &signature, &of_outer] {
            assert!(is_there(&setup.registry(), &manifest.digest).await);
        }
        let tag = "again".parse().expect("a tag");
        let deleted = registry.delete_tag(&name("a"), &tag).await;
        deleted.expect("deletes");
        // When it is gone itself, it needs what it lists to be there.
        collect_while_tagging(&mut setup, &outer.content, inner.digest).await;
        for manifest in [&outer, &inner, &image, &signature] {
            assert!(is_there(&setup.registry(), &manifest.digest).await);
        }
        let deleted = registry.delete_tag(&name("a"), &tag).await;
        deleted.expect("deletes");
        collect(&setup).await;
    }
}

on_every_store!(
    all_that_an_index_needs_stays_when_it_is_tagged_meanwhile,
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
