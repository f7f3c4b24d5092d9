//! One process at a time, and one that goes on where another was stopped.

use std::sync::Mutex;
use std::task::{Context, Waker};
use std::time::Duration;

use octoserve::app::{CollectObserver, CollectStep};
use octoserve::domain::record_key::RecordKey;

use crate::setup::{GRACE, Setup, name, push_blob, rules};

/// Runs a collection until a step begins, and then leaves it there.
struct StopAt(CollectStep, Mutex<bool>);

impl CollectObserver for StopAt {
    fn progress(&self, step: CollectStep, _: u64, _: Option<u64>) {
        if step == self.0 {
            *self.1.lock().expect("nobody has panicked") = true;
        }
    }
}

#[tokio::test]
async fn while_one_process_collects_another_one_is_told_so() {
    let setup = Setup::memory();
    push_blob(&setup.registry(), "a", "content").await;
    let other = setup.registry();
    struct Meanwhile<'a>(&'a octoserve::app::Registry, Mutex<Vec<bool>>);
    impl CollectObserver for Meanwhile<'_> {
        fn progress(&self, _: CollectStep, _: u64, _: Option<u64>) {
            let rules = rules();
            let mut collected = std::pin::pin!(self.0.collect(&rules, &()));
            let mut context = Context::from_waker(Waker::noop());
            let std::task::Poll::Ready(collected) = collected.as_mut().poll(&mut context) else {
                panic!("memory waits for nothing");
            };
            let is_told = collected.expect("answers").is_none();
            self.1.lock().expect("nobody has panicked").push(is_told);
        }
    }
    let meanwhile = Meanwhile(&other, Mutex::default());
    let collected = setup.registry().collect(&rules(), &meanwhile).await;
    collected.expect("collects").expect("it was first");
    let told = meanwhile.1.into_inner().expect("nobody has panicked");
    assert!(
        !told.is_empty() && told.iter().all(|told| *told),
        "{told:?}"
    );
    setup.collect(&rules()).await;
}

/// A run that dies after it has removed a blob, and before its claims.
async fn die_before_the_claims(setup: &Setup) {
    let registry = setup.registry();
    let digest = push_blob(&registry, "a", "content").await;
    setup.age(GRACE);
    let rules = rules();
    let stop = StopAt(CollectStep::Removing, Mutex::new(false));
    let claim = RecordKey::Claim(name("a"), digest);
    {
        let mut run = std::pin::pin!(registry.collect(&rules, &stop));
        // Memory waits for nothing, so the run would go to its end: it is held
        // up by the record of its claim, which does not parse.
        damage(setup, &claim).await;
        let mut context = Context::from_waker(Waker::noop());
        let std::task::Poll::Ready(ended) = run.as_mut().poll(&mut context) else {
            panic!("memory waits for nothing");
        };
        ended.expect_err("the claim does not parse");
    }
    assert!(*stop.1.lock().expect("nobody has panicked"));
    assert!(!setup.is_stored(&digest).await);
}

async fn damage(setup: &Setup, key: &RecordKey) {
    let write = octoserve::ports::record_store::RecordWrite {
        key: key.clone(),
        value: "rotten".into(),
        expected: octoserve::ports::record_store::Expected::Any,
    };
    setup.records.write(&[write]).await.expect("writes");
}

#[tokio::test]
async fn the_run_after_one_that_was_stopped_removes_the_claims_it_left() {
    let setup = Setup::memory();
    die_before_the_claims(&setup).await;
    let digest = push_blob(&setup.registry(), "b", "content").await;
    setup.age(GRACE);
    let claim = RecordKey::Claim(name("a"), digest);
    let write = octoserve::ports::record_store::RecordWrite {
        key: claim.clone(),
        value: r#"{"v":1,"size":7}"#.into(),
        expected: octoserve::ports::record_store::Expected::Any,
    };
    setup.records.write(&[write]).await.expect("repairs");
    let collected = setup.collect(&rules()).await;
    assert_eq!(collected.removed_claims, 2);
    let stored = setup.records.get(&claim).await.expect("reads");
    assert_eq!(stored, None);
}

#[tokio::test]
async fn a_process_that_died_loses_its_job() {
    let setup = Setup::memory();
    let write = octoserve::ports::record_store::RecordWrite {
        key: RecordKey::Job(octoserve::domain::record_key::Job::Collect),
        value: held_until(&setup, Duration::from_secs(60)).into(),
        expected: octoserve::ports::record_store::Expected::Any,
    };
    setup.records.write(&[write]).await.expect("writes");
    let collected = setup.registry().collect(&rules(), &()).await;
    assert_eq!(collected.expect("answers"), None, "it may be alive");
    setup.age(Duration::from_secs(61));
    setup.collect(&rules()).await;
}

#[tokio::test]
async fn a_clock_that_was_ahead_does_not_hold_a_job_for_long() {
    let setup = Setup::memory();
    let write = octoserve::ports::record_store::RecordWrite {
        key: RecordKey::Job(octoserve::domain::record_key::Job::Collect),
        value: held_until(&setup, 1000 * GRACE).into(),
        expected: octoserve::ports::record_store::Expected::Any,
    };
    setup.records.write(&[write]).await.expect("writes");
    setup.collect(&rules()).await;
}

fn held_until(setup: &Setup, after: Duration) -> String {
    let until = humantime::format_rfc3339_millis(setup.clock.now() + after);
    format!(r#"{{"v":1,"nonce":"00000000-0000-0000-0000-000000000007","heldUntil":"{until}"}}"#)
}
