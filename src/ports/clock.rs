//! The time of day.

use std::time::SystemTime;

/// Tells the time. Whatever depends on time asks here, so that a test can say
/// what time it is.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> SystemTime;
}
