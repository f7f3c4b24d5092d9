//! Removing manifests that nothing needs any more.
//!
//! A manifest is needed if a tag points to it, or if a needed manifest is an
//! index of which it is part, or its subject, or a referrer of it. One that is
//! not needed is condemned by the first run that sees it, and removed by a later
//! one when the mark is old enough. What a manifest that is not removed refers
//! to is not removed either, needed or not.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::needs::{Manifests, Read, needers_first, reachable};
use super::{CALLS, CollectStep, Doomed, PAGE, Run};
use crate::app::error::RegistryError;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::record::{Condemned, Nonce, TagRecord, decode, encode};
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{Expected, RecordWrite, RemoveOutcome, StoredRecord, Version};

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
        ripe.retain(|digest, _| manifests.contains_key(digest) && !kept.contains(digest));
        for (digest, manifest) in &manifests {
            if ripe.contains_key(digest) {
                continue;
            }
            let is_condemned = manifest.revision.condemned.is_some();
            if !needed.contains(digest) {
                self.collected.waiting_manifests += 1;
                if !is_condemned && !self.rules.dry_run {
                    self.condemn(repository, digest, manifest).await?;
                }
            } else if is_condemned && !self.rules.dry_run {
                registry.pardon_revision(repository, digest).await?;
            }
            self.progress(CollectStep::Untagged, *read, None).await?;
        }
        if self.rules.dry_run {
            self.collected.removed_manifests += ripe.len() as u64;
            doomed.extend(ripe.into_keys().map(|digest| (repository.clone(), digest)));
            return Ok(());
        }
        self.remove_ripe(repository, &manifests, &ripe, *read).await
    }

    /// Removes manifests that are in the state noted, each before what it needs.
    ///
    /// A push takes the mark only from what its manifest refers to itself. What
    /// that needs in turn is still there, since it would have gone later; and
    /// once a manifest is found to be in another state, all that it leads to
    /// stays.
    async fn remove_ripe(
        &mut self,
        repository: &RepositoryName,
        manifests: &Manifests,
        ripe: &HashMap<Digest, Version>,
        read: u64,
    ) -> Result<(), RegistryError> {
        let mut spared: HashSet<Digest> = HashSet::new();
        for digest in needers_first(manifests, |digest| ripe.contains_key(digest)) {
            let Some(version) = ripe.get(&digest).filter(|_| !spared.contains(&digest)) else {
                continue;
            };
            let expected = Expected::Matches(version.clone());
            let removed = self
                .registry
                .delete_revision(repository, &digest, &expected)
                .await?;
            match removed {
                RemoveOutcome::Removed => self.collected.removed_manifests += 1,
                RemoveOutcome::Absent => {}
                RemoveOutcome::Conflict => spared.extend(reachable(manifests, [digest])),
            }
            self.progress(CollectStep::Untagged, read, None).await?;
        }
        Ok(())
    }

    /// Marks a manifest, unless it has been written since it was read.
    async fn condemn(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        manifest: &Read,
    ) -> Result<(), RegistryError> {
        let mut revision = manifest.revision.clone();
        revision.condemned = Some(Condemned {
            since: self.registry.clock.now(),
            nonce: Nonce(self.registry.identifiers.fresh()),
        });
        let write = RecordWrite {
            key: RecordKey::Revision(repository.clone(), *digest),
            value: encode(&revision)?,
            expected: Expected::Matches(manifest.version.clone()),
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
