//! Uploads that nobody goes on with, and what calls that were cut off left.

use octoserve::domain::digest::Algorithm;

use crate::setup::{GRACE, HOUR, Setup, name, on_every_store, rules, whole};

async fn an_upload_that_nobody_goes_on_with_is_abandoned(setup: Setup) {
    let registry = setup.registry();
    let a = name("a");
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let begun = registry.begin_upload(&a, Algorithm::Sha256).await;
        uploads.push(begun.expect("begins"));
    }
    let [left, used] = uploads[..] else {
        panic!("two have begun");
    };
    setup.age(GRACE + HOUR);
    let appended = registry.append_chunk(&a, used, whole("content")).await;
    appended.expect("appends");
    assert_eq!(setup.collect(&rules()).await.removed_uploads, 1);
    assert!(registry.upload_received(&a, left).await.is_err());
    let received = registry.upload_received(&a, used).await;
    assert_eq!(received.expect("it is still there"), 7);
}

on_every_store!(an_upload_that_nobody_goes_on_with_is_abandoned);

#[tokio::test]
async fn files_that_never_got_to_their_place_go() {
    let setup = Setup::filesystem();
    let root = setup.directory.as_ref().expect("a directory").path();
    let file = root.join("staging/cut-off");
    std::fs::write(&file, "content").expect("writes");
    setup.age(GRACE - HOUR);
    assert_eq!(setup.collect(&rules()).await.removed_leftovers, 0);
    assert!(file.exists(), "it may be under way");
    setup.age(2 * HOUR);
    let collected = setup.collect(&rules()).await;
    assert_eq!(
        (collected.removed_leftovers, collected.leftover_bytes),
        (1, 7)
    );
    assert!(!file.exists());
}
