//! Work that leaves room for others: so many operations a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A wait shorter than this is put off: timers are no finer.
const SHORTEST: Duration = Duration::from_millis(5);

/// Holds work up so that it makes so many operations a second on average.
pub struct Pace {
    each: Duration,
    due: Mutex<Instant>,
}

impl Pace {
    /// `operations` a second; 0 is taken for 1.
    #[must_use]
    pub fn new(operations: u32) -> Self {
        Self {
            each: Duration::from_secs(1) / operations.max(1),
            due: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many operations more may have been made.
    pub async fn wait(&self, operations: u32) {
        let wait = self.wait_at(Instant::now(), operations);
        if wait >= SHORTEST {
            tokio::time::sleep(wait).await;
        }
    }

    /// How far these operations are ahead. Time in which nothing was done is
    /// not made up for.
    fn wait_at(&self, now: Instant, operations: u32) -> Duration {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = (*due).max(now) + self.each * operations;
        due.duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_spread_over_time() {
        let pace = Pace::new(100);
        let start = Instant::now() + Duration::from_secs(10);
        assert_eq!(pace.wait_at(start, 1), Duration::from_millis(10));
        assert_eq!(pace.wait_at(start, 10), Duration::from_millis(110));
        let later = start + Duration::from_millis(60);
        assert_eq!(pace.wait_at(later, 1), Duration::from_millis(60));
    }

    #[test]
    fn idle_time_is_not_made_up_for() {
        let pace = Pace::new(100);
        let start = Instant::now() + Duration::from_secs(10);
        pace.wait_at(start, 1);
        let much_later = start + Duration::from_secs(100);
        assert_eq!(pace.wait_at(much_later, 5), Duration::from_millis(50));
    }
}
