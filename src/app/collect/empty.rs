//! Taking repositories without manifests off the catalog, should a delete have
//! been stopped before it did.

use super::{PAGE, Run};
use crate::app::error::RegistryError;
use crate::domain::record_key::{RecordKey, RecordSet};

impl Run<'_> {
    pub(super) async fn forget_empty_repositories(&mut self) -> Result<(), RegistryError> {
        if self.rules.dry_run {
            return Ok(());
        }
        let registry = self.registry;
        let mut after: Option<String> = None;
        loop {
            let set = RecordSet::Repositories;
            let keys = registry.records.list(&set, after.as_deref(), PAGE).await?;
            for key in &keys {
                if let RecordKey::Repository(repository) = key {
                    let forgotten = registry.forget_empty_repository(repository).await?;
                    self.collected.removed_repositories += u64::from(forgotten);
                }
            }
            if keys.len() < PAGE {
                return Ok(());
            }
            after = keys.last().map(RecordKey::leaf);
        }
    }
}
