//! Work that one process at a time should do on a store.
//!
//! A job's record says who is at it and until when; whoever is at it puts that
//! off as it goes on, and a process that died loses it. Clocks may differ, so
//! two may be at it after all: no job relies on being alone.

use std::time::{Duration, SystemTime};

use super::error::RegistryError;
use super::registry::Registry;
use crate::domain::record::{JobRecord, Nonce, decode, encode};
use crate::domain::record_key::{Job, RecordKey};
use crate::ports::record_store::{Expected, RecordWrite, WriteOutcome};

/// How long a job is held without a sign of life.
const HELD: Duration = Duration::from_secs(120);

/// A job that this process is at.
pub(super) struct HeldJob<'a> {
    registry: &'a Registry,
    key: RecordKey,
    record: JobRecord,
    follows_a_broken_run: bool,
    /// Another process has taken over.
    is_lost: bool,
}

impl Registry {
    /// Begins a job; `None` if another process is at it.
    pub(super) async fn begin_job(&self, job: Job) -> Result<Option<HeldJob<'_>>, RegistryError> {
        let key = RecordKey::Job(job);
        let now = self.clock.now();
        let stored = self.records.get(&key).await?;
        let (expected, before) = match stored {
            None => (Expected::Absent, None),
            Some(stored) => {
                // What does not parse is no reason never to do the job again.
                let record: Option<JobRecord> = decode(&stored.value).ok();
                (Expected::Matches(stored.version), record)
            }
        };
        let holder = before.as_ref().and_then(|before| before.held_until);
        if holder.is_some_and(|until| until > now && is_near(now, until)) {
            return Ok(None);
        }
        let follows_a_broken_run = holder.is_some();
        let nonce = Nonce(self.identifiers.fresh());
        let record = JobRecord::held(nonce, now + HELD);
        let write = RecordWrite {
            key: key.clone(),
            value: encode(&record)?,
            expected,
        };
        match self.records.write(&[write]).await? {
            WriteOutcome::Conflict(_) => Ok(None),
            WriteOutcome::Written => Ok(Some(HeldJob {
                registry: self,
                key,
                record,
                follows_a_broken_run,
                is_lost: false,
            })),
        }
    }
}

/// Nobody holds a job for longer than [`HELD`]: an end further off was written
/// by a clock that was ahead.
fn is_near(now: SystemTime, until: SystemTime) -> bool {
    until.duration_since(now).is_ok_and(|rest| rest <= HELD)
}

impl HeldJob<'_> {
    /// Whether the run before this one did not get to its end.
    pub(super) const fn follows_a_broken_run(&self) -> bool {
        self.follows_a_broken_run
    }

    /// Gives a sign of life, if it is time to. Should another process have taken
    /// over, having seen none for too long, this one goes on without.
    pub(super) async fn keep(&mut self) -> Result<(), RegistryError> {
        let now = self.registry.clock.now();
        match self.record.held_until {
            Some(until) if until <= now + HELD / 2 || !is_near(now, until) => {
                self.replace(Some(now + HELD)).await
            }
            _ => Ok(()),
        }
    }

    /// Ends the job. Unless it got to its end, the next run is told so.
    pub(super) async fn end(mut self, is_whole: bool) -> Result<(), RegistryError> {
        let now = self.registry.clock.now();
        self.replace((!is_whole).then_some(now)).await
    }

    async fn replace(&mut self, held_until: Option<SystemTime>) -> Result<(), RegistryError> {
        if self.is_lost {
            return Ok(());
        }
        let current = encode(&self.record)?;
        let stored = self.registry.records.get(&self.key).await?;
        let Some(stored) = stored.filter(|stored| stored.value == current) else {
            self.is_lost = true;
            return Ok(());
        };
        self.record.held_until = held_until;
        let write = RecordWrite {
            key: self.key.clone(),
            value: encode(&self.record)?,
            expected: Expected::Matches(stored.version),
        };
        self.is_lost = self.registry.records.write(&[write]).await? != WriteOutcome::Written;
        Ok(())
    }
}
