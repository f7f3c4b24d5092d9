//! The one way from serving to not serving.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the server is stopping. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Drain {
    /// Begins to stop. It is the same to begin twice.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the server begins to stop.
    pub async fn started(&self) {
        // The sender outlives this receiver, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|draining| *draining).await;
    }
}
