//! How a store says that it failed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What kind of failure it was, which decides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no room left, or no quota.
    Full,
    /// The store could not be reached or was too slow; the same call may work
    /// in a moment.
    Temporary,
    /// What is stored is not what was written.
    Damaged,
    /// Anything else: a permission, a broken disk, a bug.
    Permanent,
}

/// A storage call that failed: the failure's kind, and for the log what was
/// attempted on what.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    context: String,
    // Shared, so that every request that waited for one failed call can tell.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure of `operation` on `context`.
    #[must_use]
    pub fn new(kind: StoreErrorKind, operation: &'static str, context: impl fmt::Display) -> Self {
        Self {
            kind,
            operation,
            context: context.to_string(),
            source: None,
        }
    }

    /// The same failure, with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure it was.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "could not {} {}", self.operation, self.context)?;
        match &self.source {
            Some(source) => write!(formatter, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for StoreError {}
