//! Collecting what nothing refers to, while the registry serves.
//!
//! Any number of processes may push, delete and collect on one store at the same
//! time. Nothing is locked, nobody waits, and no clock has to be right. All of
//! it is one pattern, in which each side first does its part and then looks at
//! the other's:
//!
//! | who removes | who relies on it |
//! |---|---|
//! | 1. notes the state it is in | 1. writes what relies on it |
//! | 2. looks for what relies on it | 2. renews it, so that it is in another state |
//! | 3. removes it if it is still in that state | 3. only now counts on it |
//!
//! If the look (2, left) saw what was written (1, right), the thing is kept. If
//! not, the write came after the look began, so the renewal came after the state
//! was noted: either it comes before the removal, which then fails, or it finds
//! the thing gone, and whoever relied on it starts over or is told. There is no
//! third way, however long either side is held up between two steps.
//!
//! **Blobs.** A blob's state is its version: storing it and renewing its lease
//! change it. The collector lists the blobs and notes the versions of those whose
//! lease is older than the grace period. Then it reads every revision of every
//! repository that has records, and keeps what they refer to: a
//! revision's own content, its blobs, and what it lists as an index, which may
//! be blobs or manifests. Then it removes the others, each if
//! its version is the one noted. A push of a manifest writes the revision, then
//! renews *every* blob that it refers to and its own content, and only then lists
//! and tags the manifest and answers (`references`). A blob that is gone by then
//! fails the push as a blob that was never there does, before any tag was moved;
//! a client pushes it and tries again. What remains of such a push is a manifest
//! by its digest that nobody was told of.
//!
//! So the grace period is not what makes this safe. It keeps pushes from failing:
//! a client that has pushed or found a blob (finishing an upload, mounting and
//! HEAD renew a lease older than half the grace period) has at least the other
//! half to push a manifest, if the clocks agree that far. With a grace period of
//! zero, or a clock that jumps, pushes may have to be repeated, and still no
//! manifest that was accepted lacks a blob.
//!
//! **Claims, hints, referrers, repositories** have a state that costs nothing
//! to leave alone: not condemned. Whoever removes one condemns it first, and
//! whoever relies on it only looks whether it is condemned and then writes it
//! anew. A claim goes when its blob is
//! gone. A push looks at its claims after it has renewed its blobs, so a claim
//! that is removed because the blob was gone is one that the push finds
//! condemned or missing, and writes anew.
//!
//! **Untagged manifests** are condemned in one run, and removed in another one
//! once the mark is old enough, if nothing needs them then: an index before what
//! it lists, and a subject before its referrers. A push
//! writes its own revision anew, and takes the mark from the manifests that it
//! refers to, once it exists itself. A run that finds a mark gone leaves alone
//! all that can be reached from there, and what it has not come to by then is
//! whole.
//!
//! **Failing** is never "unreferenced": a listing or a record that cannot be read,
//! or does not parse, ends the run, and what the run has not removed by then it
//! does not remove. Nor is an empty listing: blobs in a store in which no
//! repository has any record end the run, too, unless it is forced. Being stopped anywhere leaves a valid store. A blob that was
//! removed may leave claims behind; the run's own record says so to the next run,
//! which then looks at all claims.
//!
//! Two collectors at once do no harm, only work twice; a record that a run holds
//! for as long as it goes on keeps that rare.

mod candidates;
mod claims;
mod empty;
mod mark;
mod needs;
mod report;
mod untagged;
mod uploads;

use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};

use self::candidates::{Candidate, Candidates};
use super::error::RegistryError;
use super::jobs::HeldJob;
use super::registry::Registry;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::record_key::Job;
use crate::ports::blob_store::BlobRemoval;

pub use self::report::{CollectObserver, CollectRules, CollectStep, Collected};

/// How many entries of a listing are asked for at a time.
const PAGE: usize = 10_000;

/// How many storage calls are under way at the same time.
const CALLS: usize = 16;

impl Registry {
    /// Collects what nothing refers to; `None` if another process is at it.
    ///
    /// # Errors
    /// When the store fails or a record does not parse; what was found to be
    /// unneeded before that has been removed.
    pub async fn collect(
        &self,
        rules: &CollectRules,
        observer: &dyn CollectObserver,
    ) -> Result<Option<Collected>, RegistryError> {
        let job = match rules.dry_run {
            true => None,
            false => match self.begin_job(Job::Collect).await? {
                Some(job) => Some(job),
                None => return Ok(None),
            },
        };
        let check_all_claims = job.as_ref().is_some_and(HeldJob::follows_a_broken_run);
        let mut run = Run {
            registry: self,
            rules,
            observer,
            job,
            collected: Collected::default(),
        };
        let ended = run.run(check_all_claims).await;
        let released = match run.job {
            Some(job) => job.end(ended.is_ok()).await,
            None => Ok(()),
        };
        ended.and(released)?;
        Ok(Some(run.collected))
    }
}

/// Manifests that a dry run would have removed.
type Doomed = std::collections::HashSet<(RepositoryName, Digest)>;

/// One run of the collector.
struct Run<'a> {
    registry: &'a Registry,
    rules: &'a CollectRules,
    observer: &'a dyn CollectObserver,
    job: Option<HeldJob<'a>>,
    collected: Collected,
}

impl Run<'_> {
    async fn run(&mut self, check_all_claims: bool) -> Result<(), RegistryError> {
        self.sweep_uploads().await?;
        let doomed = self.remove_untagged().await?;
        self.collect_blobs(&doomed, check_all_claims).await?;
        self.forget_empty_repositories().await
    }

    /// Collects blobs, as many at a time as may be in memory, and the claims on
    /// them.
    async fn collect_blobs(
        &mut self,
        doomed: &Doomed,
        check_all_claims: bool,
    ) -> Result<(), RegistryError> {
        let mut after = None;
        let mut check_all_claims = check_all_claims;
        loop {
            let (mut candidates, last) = self.list_candidates(after).await?;
            let is_last = last.is_none();
            if candidates.count() > 0 || after.is_none() {
                // The first round reads the manifests in any case, so that what
                // does not parse is found before it matters.
                self.mark(&mut candidates, doomed).await?;
            }
            let removed = self.remove_unneeded(&candidates).await?;
            drop(candidates);
            if !removed.is_empty() || check_all_claims {
                self.remove_claims(&removed, check_all_claims).await?;
                check_all_claims = false;
            }
            if is_last {
                return Ok(());
            }
            after = last;
        }
    }

    /// Lists blobs until there are enough candidates; also returns after which
    /// blob to go on, if more follow.
    async fn list_candidates(
        &mut self,
        mut after: Option<Digest>,
    ) -> Result<(Candidates, Option<Digest>), RegistryError> {
        let mut candidates = Candidates::default();
        let page_size = PAGE.min(self.rules.most_candidates).max(1);
        loop {
            let now = self.registry.clock.now();
            let blobs = &self.registry.blobs;
            let page = blobs.list(after.as_ref(), page_size).await?;
            self.collected.blobs += page.len() as u64;
            self.collected.bytes += page.iter().map(|blob| blob.stat.size).sum::<u64>();
            self.progress(CollectStep::Blobs, self.collected.blobs, None)
                .await?;
            let grace = self.rules.grace;
            // A lease of the future is that of a clock that was ahead: its age
            // will be known.
            let is_old =
                |leased: SystemTime| now.duration_since(leased).is_ok_and(|age| age >= grace);
            let last = page.last().map(|blob| blob.digest);
            let is_last = page.len() < page_size;
            candidates.add_page(page.into_iter().filter(|blob| is_old(blob.stat.leased)));
            if is_last {
                return Ok((candidates, None));
            }
            if candidates.count() >= self.rules.most_candidates {
                return Ok((candidates, last));
            }
            after = last;
        }
    }

    /// Removes the candidates that nothing refers to, unless they have been
    /// renewed; returns which, in the order of their digests.
    async fn remove_unneeded(
        &mut self,
        candidates: &Candidates,
    ) -> Result<Vec<Digest>, RegistryError> {
        let unneeded = candidates.unneeded();
        let count = unneeded.clone().count() as u64;
        let mut removed = Vec::new();
        let mut looked_at = 0;
        let registry = self.registry;
        let dry_run = self.rules.dry_run;
        let removals = unneeded.copied().map(|candidate| async move {
            let Candidate {
                digest, version, ..
            } = candidate;
            let removal = match dry_run {
                true => BlobRemoval::Removed,
                false => {
                    registry
                        .blobs
                        .remove_if_unchanged(&digest, &version)
                        .await?
                }
            };
            Ok::<_, RegistryError>((candidate, removal))
        });
        let mut removals = std::pin::pin!(stream::iter(removals).buffered(CALLS));
        while let Some((candidate, removal)) = removals.try_next().await? {
            match removal {
                BlobRemoval::Removed => {
                    registry.facts.forget_content(&candidate.digest);
                    self.collected.removed_blobs += 1;
                    self.collected.removed_bytes += candidate.size;
                    removed.push(candidate.digest);
                }
                // Removed by somebody else, who may have been stopped since.
                BlobRemoval::Absent => removed.push(candidate.digest),
                BlobRemoval::Changed => self.collected.renewed_blobs += 1,
            }
            looked_at += 1;
            self.progress(CollectStep::Removing, looked_at, Some(count))
                .await?;
        }
        Ok(removed)
    }

    /// Tells how far the run is, and keeps it from being taken for dead.
    async fn progress(
        &mut self,
        step: CollectStep,
        done: u64,
        of: Option<u64>,
    ) -> Result<(), RegistryError> {
        self.observer.progress(step, done, of);
        // A page of blobs is one call, and for a directory a look at each.
        const PER_PAGE: u32 = 100;
        let operations = if step == CollectStep::Blobs {
            PER_PAGE
        } else {
            1
        };
        self.observer.pace(operations).await;
        match &mut self.job {
            Some(job) => job.keep().await,
            None => Ok(()),
        }
    }
}
