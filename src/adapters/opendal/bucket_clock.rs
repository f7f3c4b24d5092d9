//! The time of day as the bucket has it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::ports::Clock;

/// A difference below this may be the seconds that a `Date` header is cut to,
/// and the time that a response took.
const TOLERANCE_MILLIS: i64 = 2000;

/// This machine's clock, set by the clock that every replica sees: the `Date`
/// of the bucket's responses.
///
/// Leases are compared across replicas, so what counts is that all go by the
/// same clock, not that it is right.
#[derive(Debug, Default)]
pub struct BucketClock {
    /// By how much the bucket's clock is ahead of this machine's.
    ahead_millis: AtomicI64,
}

impl BucketClock {
    /// By how much the bucket's clock is ahead of this machine's, in
    /// milliseconds; 0 if they agree as far as can be told.
    #[must_use]
    pub fn ahead_millis(&self) -> i64 {
        self.ahead_millis.load(Ordering::Relaxed)
    }

    /// Takes note of a `Date` header that has just come.
    pub(super) fn saw(&self, date: &str) {
        let Ok(date) = httpdate::parse_http_date(date) else {
            return;
        };
        let ahead = difference_millis(date, SystemTime::now());
        if (ahead - self.ahead_millis()).abs() > TOLERANCE_MILLIS {
            let ahead = if ahead.abs() > TOLERANCE_MILLIS {
                ahead
            } else {
                0
            };
            self.ahead_millis.store(ahead, Ordering::Relaxed);
        }
    }
}

impl Clock for BucketClock {
    fn now(&self) -> SystemTime {
        let (now, ahead) = (SystemTime::now(), self.ahead_millis());
        let difference = Duration::from_millis(ahead.unsigned_abs());
        let set = match ahead >= 0 {
            true => now.checked_add(difference),
            false => now.checked_sub(difference),
        };
        set.unwrap_or(now)
    }
}

fn difference_millis(one: SystemTime, other: SystemTime) -> i64 {
    let millis = |difference: Duration| i64::try_from(difference.as_millis()).unwrap_or(i64::MAX);
    match one.duration_since(other) {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(time: SystemTime) -> i64 {
        difference_millis(SystemTime::now(), time)
    }

    #[test]
    fn the_clock_follows_the_dates_it_sees() {
        let clock = BucketClock::default();
        let hour = Duration::from_secs(3600);
        clock.saw(&httpdate::fmt_http_date(SystemTime::now() - hour));
        assert!((age(clock.now()) - 3_600_000).abs() < 5000);
        clock.saw(&httpdate::fmt_http_date(SystemTime::now() + hour));
        assert!((age(clock.now()) + 3_600_000).abs() < 5000);
        clock.saw("no date");
        assert!((age(clock.now()) + 3_600_000).abs() < 5000);
        clock.saw(&httpdate::fmt_http_date(SystemTime::now()));
        assert_eq!(clock.ahead_millis(), 0);
    }

    #[test]
    fn a_date_cut_to_seconds_changes_nothing() {
        let clock = BucketClock::default();
        let second = Duration::from_secs(1);
        clock.saw(&httpdate::fmt_http_date(SystemTime::now() - second));
        assert_eq!(clock.ahead_millis(), 0);
    }
}
