//! Fresh identifiers.

use uuid::Uuid;

/// Hands out identifiers. Whatever needs a fresh one asks here, so that a test
/// can replay a run.
pub trait Identifiers: Send + Sync {
    /// An identifier that no other call has returned or will return, in any
    /// process.
    fn fresh(&self) -> Uuid;
}
