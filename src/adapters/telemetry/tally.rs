//! What a request has taken so far: of the stores, and of its body.
//!
//! The ports say nothing of requests, so a request that is watched leaves its
//! tally with the thread for as long as it runs there.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::metrics::Metrics;

/// The storage operations of one request, and the bytes of its body.
#[derive(Debug, Default)]
pub struct Tally {
    operations: AtomicU64,
    nanoseconds: AtomicU64,
    received: AtomicU64,
    /// Whether the operations are to be traced.
    is_traced: bool,
    metrics: Option<Arc<Metrics>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Tally>>> = const { RefCell::new(None) };
}

impl Tally {
    /// A tally of a request that is traced, or is not. The bytes of its body
    /// are counted in `metrics` as they come.
    #[must_use]
    pub fn new(is_traced: bool, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            is_traced,
            metrics,
            ..Self::default()
        }
    }

    /// Bytes of the request's body came.
    pub fn receive(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        if let Some(metrics) = &self.metrics {
            metrics.received(bytes);
        }
    }

    /// How many bytes of its body came.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// How long they took together, even those that ran at the same time.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    /// Does some of the request's work.
    pub fn in_scope<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        /// Puts back what was there before, also if the work panics.
        struct Restore(Option<Arc<Tally>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(Arc::clone(self))));
        work()
    }

    /// That of the request whose work this is.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub(super) const fn is_traced(&self) -> bool {
        self.is_traced
    }

    pub(super) fn add(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}
