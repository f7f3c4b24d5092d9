//! The world as a test decides it: what time it is, and which identifiers are
//! handed out, so that a run can be replayed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use octoserve::ports::{Clock, Identifiers};
use uuid::Uuid;

/// A clock that stands still until it is told to go on.
pub(crate) struct ManualClock(Mutex<SystemTime>);

impl ManualClock {
    /// A clock that shows some moment in 2026.
    pub(crate) fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Self(Mutex::new(start))
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system's clock, set ahead: for a store whose own clock cannot be set.
#[derive(Default)]
pub(crate) struct ShiftedClock(Mutex<Duration>);

impl ShiftedClock {
    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out 1, 2, 3, …, as UUIDs.
#[derive(Default)]
pub(crate) struct SequentialIdentifiers(AtomicU64);

impl Identifiers for SequentialIdentifiers {
    fn fresh(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1)
    }
}
