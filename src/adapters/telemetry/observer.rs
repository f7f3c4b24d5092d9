//! What the HTTP adapter reports requests to.

use std::sync::Arc;

use super::metrics::Metrics;
use super::traces::Traces;

/// Who wants to know of requests. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    /// Counts them.
    pub metrics: Option<Arc<Metrics>>,
    /// Traces them.
    pub traces: Option<Arc<Traces>>,
    /// Whether their responses say how long they took.
    pub server_timing: bool,
}

impl Observer {
    /// Whether nobody wants to know.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.metrics.is_none() && self.traces.is_none() && !self.server_timing
    }
}
