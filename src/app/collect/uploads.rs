//! Abandoning uploads that nobody goes on with, and removing leftovers.

use super::{CollectStep, PAGE, Run};
use crate::app::error::RegistryError;

impl Run<'_> {
    pub(super) async fn sweep_uploads(&mut self) -> Result<(), RegistryError> {
        let registry = self.registry;
        let now = registry.clock.now();
        let Some(before) = now.checked_sub(self.rules.uploads_after) else {
            return Ok(());
        };
        // A dry run removes nothing, so it would see the same page again.
        let page = if self.rules.dry_run { usize::MAX } else { PAGE };
        loop {
            let stale = registry.blobs.stale_uploads(before, page).await?;
            let mut ended = 0;
            for id in &stale {
                // What is left of a session that had ended goes, too.
                let abandoned = self.rules.dry_run || registry.blobs.abandon(*id).await?;
                ended += u64::from(abandoned);
                self.progress(CollectStep::Uploads, ended, None).await?;
            }
            self.collected.removed_uploads += ended;
            if stale.len() < page || ended == 0 {
                break;
            }
        }
        loop {
            let leftovers = registry.blobs.leftovers(before, page).await?;
            let mut removed = 0;
            for leftover in &leftovers {
                if self.rules.dry_run || registry.blobs.remove_leftover(leftover).await? {
                    removed += 1;
                    self.collected.leftover_bytes += leftover.size;
                }
                self.progress(CollectStep::Uploads, removed, None).await?;
            }
            self.collected.removed_leftovers += removed;
            if leftovers.len() < page || removed == 0 {
                return Ok(());
            }
        }
    }
}
