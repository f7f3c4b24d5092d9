//! One run: who acts when, until nobody does, and then a quiet cycle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use octoserve::app::{CollectRules, Registry, RegistryRules};
use octoserve::ports::{BlobStore, Clock, Identifiers, RecordStore};

use crate::actors::{Actor, Tally};
use crate::check;
use crate::content::Content;
use crate::history::History;
use crate::random::Random;
use crate::store::{Broken, SteppingClock, Stormy, Weather};
use crate::world::SequentialIdentifiers;

/// How long unreferenced content is kept here.
pub(crate) const GRACE: Duration = Duration::from_secs(3600);

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    pub(crate) collected: usize,
    pub(crate) renewed: usize,
    pub(crate) crashed: usize,
    pub(crate) removed_manifests: usize,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Scenario {
    random: Random,
    clock: Arc<SteppingClock>,
    store: Arc<Stormy>,
    identifiers: Arc<SequentialIdentifiers>,
    content: Arc<Content>,
    history: Arc<History>,
    tally: Arc<Tally>,
    rules: CollectRules,
    /// Whether the clock jumps further than a grace period, and back.
    has_jumps: bool,
    crashes: usize,
}

/// Runs what a seed decides.
pub(crate) fn simulate(seed: u64, broken: Broken, is_told: bool) -> Outcome {
    let random = Random::new(seed);
    let has_jumps = random.once_in(3);
    let untagged_after = random.once_in(2).then_some(GRACE / 4);
    let weather = Weather {
        failures: *random.of(&[0, 0, 60, 200]),
        delays: *random.of(&[0, 10, 40]),
        youngest: (!has_jumps).then_some(GRACE),
    };
    let clock = Arc::new(SteppingClock::new());
    let store = Stormy::new(Arc::clone(&clock), random.clone(), weather, broken);
    let scenario = Scenario {
        crashes: *random.of(&[0, 0, 200, 50]),
        random,
        clock,
        store: Arc::new(store),
        identifiers: Arc::default(),
        content: Arc::new(Content::new()),
        history: Arc::default(),
        tally: Arc::default(),
        rules: CollectRules {
            grace: GRACE,
            untagged_after,
            uploads_after: GRACE,
            even_without_records: true,
            ..CollectRules::default()
        },
        has_jumps,
    };
    scenario.run(is_told)
}

impl Scenario {
    fn registry(&self) -> Arc<Registry> {
        let rules = RegistryRules {
            grace: GRACE,
            cache_size: 1 << 16,
            ..RegistryRules::default()
        };
        Arc::new(Registry::new(
            Arc::clone(&self.store) as Arc<dyn BlobStore>,
            Arc::clone(&self.store) as Arc<dyn RecordStore>,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Arc::clone(&self.identifiers) as Arc<dyn Identifiers>,
            rules,
        ))
    }

    fn actor(&self, registry: &Arc<Registry>) -> Actor {
        Actor {
            registry: Arc::clone(registry),
            content: Arc::clone(&self.content),
            history: Arc::clone(&self.history),
            random: self.random.clone(),
            tally: Arc::clone(&self.tally),
            rules: self.rules.clone(),
        }
    }

    fn run(&self, is_told: bool) -> Outcome {
        let replicas = [self.registry(), self.registry(), self.registry()];
        let at_once = 2 + self.random.below(4);
        let mut actions = 6 + self.random.below(16);
        let mut tasks: Vec<Task> = Vec::new();
        let mut crashed = 0;
        while actions > 0 || !tasks.is_empty() {
            if actions > 0 && tasks.len() < at_once && self.random.once_in(4) {
                actions -= 1;
                let actor = self.actor(self.random.of(&replicas));
                tasks.push(Box::pin(actor.act()));
            }
            self.pass_time();
            if tasks.is_empty() {
                continue;
            }
            let at = self.random.below(tasks.len());
            if self.random.once_in(self.crashes) {
                drop(tasks.swap_remove(at));
                crashed += 1;
            } else if tasks.get_mut(at).is_some_and(is_done) {
                drop(tasks.swap_remove(at));
            }
        }
        let mut outcome = Outcome {
            accepted: self.history.accepted(),
            refused: self.tally.refused.load(Ordering::Relaxed),
            collected: self.tally.collected.load(Ordering::Relaxed),
            renewed: self.tally.renewed.load(Ordering::Relaxed),
            removed_manifests: self.tally.removed_manifests.load(Ordering::Relaxed),
            crashed,
            violations: Vec::new(),
        };
        self.check(&mut outcome);
        if is_told {
            println!("{outcome:#?}");
        }
        outcome
    }

    fn pass_time(&self) {
        if self.random.once_in(6) {
            let part = self.random.below(200) as u32;
            self.clock.advance(GRACE * part / 1000);
        }
        if self.has_jumps && self.random.once_in(30) {
            let by = GRACE * (self.random.below(40) as u32) / 10;
            match self.random.once_in(2) {
                true => self.clock.set_back(by),
                false => self.clock.advance(by),
            }
        }
    }

    fn check(&self, outcome: &mut Outcome) {
        self.store.calm_down();
        let young = self.store.removed_young.load(Ordering::Relaxed);
        if young > 0 {
            let what = format!("{young} blobs were removed younger than the grace");
            outcome.violations.push(what);
        }
        let registry = self.registry();
        let looked = check::Look {
            store: &self.store,
            registry: &registry,
            content: &self.content,
            history: &self.history,
            is_untagged_kept: self.rules.untagged_after.is_none(),
        };
        finish(looked.accepted_stands(&mut outcome.violations));
        // Clocks may have been far ahead: nothing is leased for longer than this.
        self.clock.advance(GRACE * 400);
        let collected = finish(registry.collect(&self.rules, &()));
        assert!(
            collected.expect("collects").is_some(),
            "nobody holds the job"
        );
        let registry = self.registry();
        let looked = check::Look {
            registry: &registry,
            ..looked
        };
        finish(looked.accepted_stands(&mut outcome.violations));
        finish(looked.nothing_is_left(&mut outcome.violations));
    }
}

fn is_done(task: &mut Task) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    task.as_mut().poll(&mut context).is_ready()
}

/// Runs to its end what nothing holds up.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
