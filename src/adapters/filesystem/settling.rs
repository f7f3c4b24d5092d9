//! When the times of a file can be trusted to tell two states of it apart.

use std::time::{Duration, SystemTime};

/// How coarse a file system's times may be. Two changes within this time may
/// leave the same times behind, and the second one would go unnoticed.
const GRANULARITY: Duration = Duration::from_millis(50);

/// Whether something that last changed at `changed` had been left alone for
/// long enough when it was looked at: any later change shows in its times.
pub(super) fn has_settled(changed: SystemTime, looked_at: SystemTime) -> bool {
    looked_at
        .duration_since(changed)
        .is_ok_and(|age| age > GRANULARITY)
}
