//! What the registry remembers of the store: facts that do not change.
//!
//! A claim, a revision, and content by its digest mean the same for as long as
//! they exist, so a pull may take them from memory. What can end is their
//! existence: a deletion through this process is seen at once, one through
//! another process when the fact is older than its largest age and is looked
//! up again. Tags change, so they are never kept here. Pushes and deletes
//! decide on what the store says, not on this.
//!
//! A fact is learned from what the store said, and by then it may have been
//! deleted. So whoever looks takes a [`Moment`] first, and a fact of a moment
//! after which anything was forgotten is not kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use super::cache_counts::{CacheCounts, LookupCounter};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::record::{Claim, Revision};

/// Content of at most so many bytes is worth keeping whole.
pub(super) const SMALL_CONTENT: u64 = 64 * 1024;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Claim(RepositoryName, Digest),
    Revision(RepositoryName, Digest),
    Content(Digest),
}

#[derive(Clone)]
enum Fact {
    Claim(Claim),
    Revision(Arc<Revision>),
    Content(Bytes),
}

#[derive(Clone)]
struct Entry {
    fact: Fact,
    learned: SystemTime,
}

#[derive(Clone)]
struct Bytesize;

impl Weighter<Key, Entry> for Bytesize {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        // A name and a digest, the cache's own bookkeeping, and the fact.
        const ENTRY: usize = 256;
        let name = match key {
            Key::Claim(repository, _) | Key::Revision(repository, _) => repository.as_str().len(),
            Key::Content(_) => 0,
        };
        let fact = match &entry.fact {
            Fact::Claim(_) => 0,
            Fact::Revision(revision) => {
                let digests = revision.blobs.len() + revision.manifests.len();
                size_of::<Revision>() + digests * size_of::<Digest>()
            }
            Fact::Content(content) => content.len(),
        };
        (ENTRY + name + fact) as u64
    }
}

/// A cache of facts, bounded in bytes and in age.
pub(super) struct Facts {
    cache: Option<Cache<Key, Entry, Bytesize>>,
    max_age: Duration,
    /// How often something was forgotten.
    forgotten: Mutex<u64>,
    claims: LookupCounter,
    revisions: LookupCounter,
    contents: LookupCounter,
}

/// When the store was asked.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    time: SystemTime,
    forgotten: u64,
}

impl Facts {
    /// Keeps up to `capacity` bytes; 0 keeps nothing.
    pub(super) fn new(capacity: u64, max_age: Duration) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(capacity)
            .estimated_items_capacity((capacity / 1024) as usize)
            .shards(4)
            .build();
        let cache = options.ok().filter(|_| capacity > 0).map(|options| {
            Cache::with_options(
                options,
                Bytesize,
                quick_cache::DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            )
        });
        Self {
            cache,
            max_age,
            forgotten: Mutex::new(0),
            claims: LookupCounter::default(),
            revisions: LookupCounter::default(),
            contents: LookupCounter::default(),
        }
    }

    /// The present moment, `now`: to be taken before the store is asked.
    pub(super) fn moment(&self, now: SystemTime) -> Moment {
        Moment {
            time: now,
            forgotten: *self.forgotten(),
        }
    }

    pub(super) fn claim(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: SystemTime,
    ) -> Option<Claim> {
        match self.get(&Key::Claim(repository.clone(), *digest), now)? {
            Fact::Claim(claim) => Some(claim),
            _ => None,
        }
    }

    pub(super) fn learn_claim(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        claim: &Claim,
        moment: Moment,
    ) {
        let key = Key::Claim(repository.clone(), *digest);
        self.insert(key, Fact::Claim(claim.clone()), moment);
    }

    pub(super) fn forget_claim(&self, repository: &RepositoryName, digest: &Digest) {
        self.remove(&Key::Claim(repository.clone(), *digest));
    }

    pub(super) fn revision(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: SystemTime,
    ) -> Option<Arc<Revision>> {
        match self.get(&Key::Revision(repository.clone(), *digest), now)? {
            Fact::Revision(revision) => Some(revision),
            _ => None,
        }
    }

    pub(super) fn learn_revision(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        revision: &Arc<Revision>,
        moment: Moment,
    ) {
        let key = Key::Revision(repository.clone(), *digest);
        self.insert(key, Fact::Revision(Arc::clone(revision)), moment);
    }

    pub(super) fn forget_revision(&self, repository: &RepositoryName, digest: &Digest) {
        self.remove(&Key::Revision(repository.clone(), *digest));
    }

    pub(super) fn content(&self, digest: &Digest, now: SystemTime) -> Option<Bytes> {
        match self.get(&Key::Content(*digest), now)? {
            Fact::Content(content) => Some(content),
            _ => None,
        }
    }

    pub(super) fn learn_content(&self, digest: &Digest, content: &Bytes, moment: Moment) {
        self.insert(
            Key::Content(*digest),
            Fact::Content(content.clone()),
            moment,
        );
    }

    pub(super) fn counts(&self) -> CacheCounts {
        CacheCounts {
            claims: self.claims.lookups(),
            revisions: self.revisions.lookups(),
            contents: self.contents.lookups(),
        }
    }

    pub(super) fn forget_content(&self, digest: &Digest) {
        self.remove(&Key::Content(*digest));
    }

    fn get(&self, key: &Key, now: SystemTime) -> Option<Fact> {
        let counter = match key {
            Key::Claim(..) => &self.claims,
            Key::Revision(..) => &self.revisions,
            Key::Content(_) => &self.contents,
        };
        let fact = self.find(key, now);
        counter.count(fact.is_some());
        fact
    }

    fn find(&self, key: &Key, now: SystemTime) -> Option<Fact> {
        let entry = self.cache.as_ref()?.get(key)?;
        // A clock that was set back makes a fact's age unknown: look it up.
        let age = now.duration_since(entry.learned).ok()?;
        (age <= self.max_age).then_some(entry.fact)
    }

    fn insert(&self, key: Key, fact: Fact, moment: Moment) {
        let Some(cache) = &self.cache else {
            return;
        };
        // Held until it is inserted, so that nothing is forgotten in between.
        let forgotten = self.forgotten();
        if *forgotten == moment.forgotten {
            let learned = moment.time;
            cache.insert(key, Entry { fact, learned });
        }
    }

    fn remove(&self, key: &Key) {
        let Some(cache) = &self.cache else {
            return;
        };
        let mut forgotten = self.forgotten();
        *forgotten += 1;
        cache.remove(key);
    }

    fn forgotten(&self) -> MutexGuard<'_, u64> {
        // A number is whole whatever panicked.
        self.forgotten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Algorithm;

    fn facts() -> (Facts, RepositoryName, Digest, SystemTime) {
        let facts = Facts::new(1 << 20, Duration::from_secs(1));
        let name = "a".parse().expect("a name");
        let digest = Digest::of(Algorithm::Sha256, b"");
        (facts, name, digest, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_fact_is_known_until_it_is_too_old() {
        let (facts, name, digest, now) = facts();
        let claim = Claim::new(3);
        facts.learn_claim(&name, &digest, &claim, facts.moment(now));
        let later = |millis| now + Duration::from_millis(millis);
        assert_eq!(facts.claim(&name, &digest, later(1000)), Some(claim));
        assert_eq!(facts.claim(&name, &digest, later(1001)), None);
    }

    #[test]
    fn what_was_seen_before_it_was_forgotten_is_not_learned() {
        let (facts, name, digest, now) = facts();
        let seen = facts.moment(now);
        facts.forget_claim(&name, &digest);
        facts.learn_claim(&name, &digest, &Claim::new(3), seen);
        assert_eq!(facts.claim(&name, &digest, now), None);
    }
}
