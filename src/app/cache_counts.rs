//! How often a cache knew what was looked up in it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Look-ups of one kind of fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// The cache knew it.
    pub hits: u64,
    /// The store had to be asked.
    pub misses: u64,
}

/// Look-ups in the registry's cache since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Whether a repository may serve a blob.
    pub claims: Lookups,
    /// Whether a repository holds a manifest.
    pub revisions: Lookups,
    /// Small content.
    pub contents: Lookups,
}

/// Counts look-ups of one kind of fact.
#[derive(Default)]
pub(super) struct LookupCounter {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl LookupCounter {
    pub(super) fn count(&self, known: bool) {
        let counter = match known {
            true => &self.hits,
            false => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lookups(&self) -> Lookups {
        Lookups {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}
