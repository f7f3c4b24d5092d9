//! Removing manifests that nothing needs any more.
//!
//! A manifest is needed if a tag points to it, or if a needed manifest is an
//! index of which it is part, or its subject, or a referrer of it. One that is
//! not needed is condemned by the first run that sees it, and removed by a later
//! one when the mark is old enough. What a manifest that is not removed refers
//! to is not removed either, needed or not.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{CALLS, CollectStep, Doomed, PAGE, Run};
use crate::app::error::RegistryError;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::record::{Condemned, Nonce, Revision, TagRecord, decode, encode};
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{Expected, RecordWrite, RemoveOutcome, StoredRecord, Version};

/// A manifest as it was read.
struct Read {
    version: Version,
    revision: Revision,
}

/// The manifests of a repository.
type Manifests = HashMap<Digest, Read>;

impl Run<'_> {
    /// Removes what can be removed, and condemns what is not needed. Returns
    /// what a dry run would have removed.
    pub(super) async fn remove_untagged(&mut self) -> Result<Doomed, RegistryError> {
        let mut doomed = Doomed::new();
        if self.rules.untagged_after.is_none() {
            return Ok(doomed);
        }
        let mut after: Option<RepositoryName> = None;
        let mut read = 0;
        loop {
            let records = &self.registry.records;
            let repositories = records.repositories(after.as_ref(), PAGE).await?;
            for repository in &repositories {
                self.remove_untagged_in(repository, &mut doomed, &mut read)
                    .await?;
            }
            if repositories.len() < PAGE {
                return Ok(doomed);
            }
            after = repositories.last().cloned();
        }
    }

    async fn remove_untagged_in(
        &mut self,
        repository: &RepositoryName,
        doomed: &mut Doomed,
        read: &mut u64,
    ) -> Result<(), RegistryError> {
        let registry = self.registry;
        let Some(after) = self.rules.untagged_after else {
            return Ok(());
        };
        // First the states, then the look for what needs them: see the module
        // above for why in this order.
        let now = registry.clock.now();
        let mut ripe: HashMap<Digest, Version> = HashMap::new();
        for (digest, Read { version, revision }) in self.manifests_of(repository, read).await? {
            let age = |mark: Condemned| now.duration_since(mark.since).ok();
            if revision
                .condemned
                .and_then(age)
                .is_some_and(|age| age >= after)
            {
                ripe.insert(digest, version);
            }
        }
        let tagged = self.tagged_in(repository).await?;
        let manifests = self.manifests_of(repository, read).await?;
        let needed = reachable(&manifests, tagged.iter().copied());
        let unripe = manifests.keys().filter(|digest| !ripe.contains_key(digest));
        let kept = reachable(&manifests, tagged.iter().chain(unripe).copied());
        for (digest, Read { version, revision }) in manifests {
            let is_needed = needed.contains(&digest);
            if let Some(version) = ripe.get(&digest).filter(|_| !kept.contains(&digest)) {
                if self.rules.dry_run {
                    self.collected.removed_manifests += 1;
                    doomed.insert((repository.clone(), digest));
                    continue;
                }
                let expected = Expected::Matches(version.clone());
                let removed = registry.delete_revision(repository, &digest, &expected);
                let removed = removed.await? == RemoveOutcome::Removed;
                self.collected.removed_manifests += u64::from(removed);
            } else if !is_needed {
                self.collected.waiting_manifests += 1;
                if revision.condemned.is_none() && !self.rules.dry_run {
                    self.condemn(repository, &digest, version, revision).await?;
                }
            } else if revision.condemned.is_some() && !self.rules.dry_run {
                registry.pardon_revision(repository, &digest).await?;
            }
            self.progress(CollectStep::Untagged, *read, None).await?;
        }
        Ok(())
    }

    /// Marks a manifest, unless it has been written since it was read.
    async fn condemn(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        version: Version,
        mut revision: Revision,
    ) -> Result<(), RegistryError> {
        revision.condemned = Some(Condemned {
            since: self.registry.clock.now(),
            nonce: Nonce(self.registry.identifiers.fresh()),
        });
        let write = RecordWrite {
            key: RecordKey::Revision(repository.clone(), *digest),
            value: encode(&revision)?,
            expected: Expected::Matches(version),
        };
        self.registry.records.write(&[write]).await?;
        Ok(())
    }

    async fn manifests_of(
        &mut self,
        repository: &RepositoryName,
        read: &mut u64,
    ) -> Result<Manifests, RegistryError> {
        let mut manifests = Manifests::new();
        let set = RecordSet::Revisions(repository.clone());
        for (key, StoredRecord { value, version }) in self.records_of(&set).await? {
            let revision =
                decode(&value).map_err(|error| RegistryError::damaged_record(&key, error))?;
            if let RecordKey::Revision(_, digest) = key {
                manifests.insert(digest, Read { version, revision });
            }
            *read += 1;
            self.progress(CollectStep::Untagged, *read, None).await?;
        }
        Ok(manifests)
    }

    /// The manifests that tags of a repository point to.
    async fn tagged_in(
        &mut self,
        repository: &RepositoryName,
    ) -> Result<HashSet<Digest>, RegistryError> {
        let mut tagged = HashSet::new();
        let set = RecordSet::Tags(repository.clone());
        for (key, stored) in self.records_of(&set).await? {
            let record: TagRecord = decode(&stored.value)
                .map_err(|error| RegistryError::damaged_record(&key, error))?;
            tagged.insert(record.digest);
        }
        Ok(tagged)
    }

    /// Every record of a set.
    async fn records_of(
        &self,
        set: &RecordSet,
    ) -> Result<Vec<(RecordKey, StoredRecord)>, RegistryError> {
        let registry = self.registry;
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let keys = registry.records.list(set, after.as_deref(), PAGE).await?;
            let count = keys.len();
            after = keys.last().map(RecordKey::leaf);
            let reads = keys.into_iter().map(|key| async move {
                let stored = registry.records.get(&key).await?;
                Ok::<_, RegistryError>(stored.map(|stored| (key, stored)))
            });
            let mut reads = std::pin::pin!(stream::iter(reads).buffered(CALLS));
            while let Some(record) = reads.try_next().await? {
                all.extend(record);
            }
            if count < PAGE {
                return Ok(all);
            }
        }
    }
}

/// What can be reached from `roots` along what needs what.
fn reachable(manifests: &Manifests, roots: impl Iterator<Item = Digest>) -> HashSet<Digest> {
    let mut referrers: HashMap<Digest, Vec<Digest>> = HashMap::new();
    for (digest, Read { revision, .. }) in manifests {
        if let Some(subject) = revision.subject {
            referrers.entry(subject).or_default().push(*digest);
        }
    }
    let mut reached = HashSet::new();
    let mut next: Vec<Digest> = roots.collect();
    while let Some(digest) = next.pop() {
        if !reached.insert(digest) {
            continue;
        }
        if let Some(Read { revision, .. }) = manifests.get(&digest) {
            next.extend(revision.manifests.iter().chain(&revision.subject));
        }
        next.extend(referrers.get(&digest).into_iter().flatten());
    }
    reached
}
