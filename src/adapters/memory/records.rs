//! Records in a sorted map.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, Version, WriteOutcome,
};
use crate::ports::{RecordStore, StoreError};

#[async_trait]
impl RecordStore for MemoryStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let value = self.state().records.get(key).cloned();
        Ok(value.map(|value| StoredRecord {
            version: Version::new(value.clone()),
            value,
        }))
    }

    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        for (position, write) in writes.iter().enumerate() {
            let mut state = self.state();
            if !is_expected(&state, &write.key, &write.expected) {
                return Ok(WriteOutcome::Conflict(position));
            }
            state.records.insert(write.key.clone(), write.value.clone());
        }
        Ok(WriteOutcome::Written)
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let mut state = self.state();
        if !state.records.contains_key(key) {
            return Ok(RemoveOutcome::Absent);
        }
        if !is_expected(&state, key, expected) {
            return Ok(RemoveOutcome::Conflict);
        }
        state.records.remove(key);
        Ok(RemoveOutcome::Removed)
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        let state = self.state();
        let of_this_set = state.records.keys().filter(|key| key.set() == *set);
        let following = of_this_set.filter(|key| after.is_none_or(|after| *key.leaf() > *after));
        Ok(following.take(limit).cloned().collect())
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let state = self.state();
        let names: BTreeSet<&RepositoryName> =
            state.records.keys().filter_map(RecordKey::within).collect();
        let following = names
            .into_iter()
            .filter(|name| after.is_none_or(|after| *name > after));
        Ok(following.take(limit).cloned().collect())
    }
}

fn is_expected(state: &State, key: &RecordKey, expected: &Expected) -> bool {
    let stored = state.records.get(key);
    match expected {
        Expected::Any => true,
        Expected::Absent => stored.is_none(),
        Expected::Matches(version) => stored.is_some_and(|value| *value == version.as_bytes()),
    }
}
