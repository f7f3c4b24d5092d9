//! Removing a record that somebody may be about to rely on.

use super::error::RegistryError;
use super::registry::Registry;
use crate::domain::record::{Condemnable, Condemned, Nonce, decode, encode};
use crate::domain::record_key::RecordKey;
use crate::ports::record_store::{Expected, RecordWrite, RemoveOutcome, WriteOutcome};

impl Registry {
    /// Removes a record unless `is_needed`, which is asked once the record is
    /// condemned; whether it was removed.
    ///
    /// Who relies on the record first does what makes it needed, then looks
    /// whether it stands, and writes it anew if it does not. So if `is_needed`
    /// did not see that, the record had been condemned before whoever relies on
    /// it looked, and will have been written anew: then the removal, which is of
    /// the condemned record only, either fails or came before that.
    ///
    /// Stopping anywhere leaves the record or not; a mark that stays behind
    /// means nothing, and is removed with the record the next time.
    pub(super) async fn retire<R: Condemnable>(
        &self,
        key: &RecordKey,
        is_needed: impl Future<Output = Result<bool, RegistryError>> + Send,
    ) -> Result<bool, RegistryError> {
        let Some(stored) = self.records.get(key).await? else {
            return Ok(false);
        };
        let mut record: R =
            decode(&stored.value).map_err(|error| RegistryError::damaged_record(key, error))?;
        record.condemn(Some(Condemned {
            since: self.clock.now(),
            nonce: Nonce(self.identifiers.fresh()),
        }));
        let write = RecordWrite {
            key: key.clone(),
            value: encode(&record)?,
            expected: Expected::Matches(stored.version),
        };
        let condemned = write.value.clone();
        if self.records.write(&[write]).await? != WriteOutcome::Written {
            return Ok(false);
        }
        let stored = self.records.get(key).await?;
        let Some(stored) = stored.filter(|stored| stored.value == condemned) else {
            return Ok(false);
        };
        if is_needed.await? {
            return Ok(false);
        }
        let expected = Expected::Matches(stored.version);
        Ok(self.records.remove(key, &expected).await? == RemoveOutcome::Removed)
    }

    /// Whether a record is there and nobody is about to remove it.
    pub(super) async fn stands<R: Condemnable>(
        &self,
        key: &RecordKey,
    ) -> Result<bool, RegistryError> {
        let record: Option<R> = self.record(key).await?;
        Ok(record.is_some_and(|record| record.condemned().is_none()))
    }
}
