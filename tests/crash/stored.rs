//! What a store holds, read past every cache, and whether it is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use octoserve::domain::descriptor::Descriptor;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::{RepositoryName, Tag};
use octoserve::domain::record::{
    Claim, JobRecord, ReferrerRecord, RepositoryRecord, Revision, TagRecord, TaggedHint, decode,
};
use octoserve::domain::record_key::{RecordKey, RecordSet};
use serde::de::DeserializeOwned;

use crate::registry::Ports;
use crate::use_cases;

/// The files of a directory tree by their paths below its root, each component
/// after a `/`.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Content as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) size: u64,
    /// Whether it has the digest that it is stored under.
    pub(crate) is_whole: bool,
}

/// All that a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) blobs: BTreeMap<Digest, Content>,
    pub(crate) repositories: BTreeSet<RepositoryName>,
    pub(crate) claims: BTreeMap<(RepositoryName, Digest), u64>,
    pub(crate) revisions: BTreeMap<(RepositoryName, Digest), Revision>,
    pub(crate) referrers: BTreeMap<(RepositoryName, Digest, Digest), Descriptor>,
    pub(crate) hints: BTreeSet<(RepositoryName, Digest, Tag)>,
    pub(crate) tags: BTreeMap<(RepositoryName, Tag), Digest>,
    /// What does not read back, or is called as nothing of ours is.
    pub(crate) unreadable: Vec<String>,
}

/// Every file below a directory.
pub(crate) fn files_below(root: &Path) -> Files {
    fn walk(directory: &Path, name: &str, files: &mut Files) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("a type").is_dir() {
                walk(&entry.path(), &name, files);
            } else {
                files.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    let mut files = Files::new();
    walk(root, "", &mut files);
    files
}

impl Stored {
    /// Reads a directory tree as its documentation describes it, without the
    /// adapter.
    pub(crate) fn in_files(files: &Files) -> Self {
        let mut stored = Self::default();
        for (path, content) in files {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let read = match parts.as_slice() {
                ["uploads" | "staging" | "locks", ..] => Some(()),
                ["blobs", algorithm, _, hex] => stored.read_blob(algorithm, hex, content),
                ["jobs", _] => decode::<JobRecord>(content).ok().map(|_| ()),
                ["repositories", name] => stored.read_repository(name, content),
                ["manifests", name @ .., part, a, b] if part.starts_with('_') => {
                    stored.read_record(&name.join("/"), part, &[a, b], content)
                }
                ["manifests", name @ .., part, a, b, c] if part.starts_with('_') => {
                    stored.read_record(&name.join("/"), part, &[a, b, c], content)
                }
                ["manifests", name @ .., "_tags", tag] => {
                    stored.read_record(&name.join("/"), "_tags", &[tag], content)
                }
                _ => None,
            };
            if read.is_none() {
                stored.unreadable.push(path.clone());
            }
        }
        stored
    }

    fn read_blob(&mut self, algorithm: &str, hex: &str, content: &[u8]) -> Option<()> {
        let digest: Digest = format!("{algorithm}:{hex}").parse().ok()?;
        self.blobs.insert(digest, Content::of(&digest, content));
        Some(())
    }

    fn read_repository(&mut self, name: &str, content: &[u8]) -> Option<()> {
        decode::<RepositoryRecord>(content).ok()?;
        self.repositories
            .insert(name.replace('+', "/").parse().ok()?);
        Some(())
    }

    fn read_record(
        &mut self,
        repository: &str,
        part: &str,
        rest: &[&str],
        content: &[u8],
    ) -> Option<()> {
        let name: RepositoryName = repository.parse().ok()?;
        let digest = |algorithm: &str, hex: &str| format!("{algorithm}:{hex}").parse().ok();
        match (part, rest) {
            ("_blobs", [algorithm, hex]) => {
                let claim: Claim = decode(content).ok()?;
                self.claims
                    .insert((name, digest(algorithm, hex)?), claim.size);
            }
            ("_revisions", [algorithm, hex]) => {
                let revision: Revision = decode(content).ok()?;
                self.revisions
                    .insert((name, digest(algorithm, hex)?), revision);
            }
            ("_referrers", [algorithm, hex, referrer]) => {
                let record: ReferrerRecord = decode(content).ok()?;
                let key = (name, digest(algorithm, hex)?, referrer.parse().ok()?);
                self.referrers.insert(key, record.descriptor);
            }
            ("_tagged", [algorithm, hex, tag]) => {
                decode::<TaggedHint>(content).ok()?;
                self.hints
                    .insert((name, digest(algorithm, hex)?, tag.parse().ok()?));
            }
            ("_tags", [tag]) => {
                let record: TagRecord = decode(content).ok()?;
                self.tags.insert((name, tag.parse().ok()?), record.digest);
            }
            _ => return None,
        }
        Some(())
    }

    /// Reads what use cases may have stored, through the ports.
    pub(crate) async fn behind(ports: &Ports) -> Self {
        let mut stored = Self::default();
        for digest in use_cases::digests() {
            let content = ports.blobs.read(digest, u64::MAX).await.expect("reads");
            if let Some(content) = content {
                stored.blobs.insert(*digest, Content::of(digest, &content));
            }
        }
        let mut keys = listed(ports, &RecordSet::Repositories).await;
        for name in use_cases::repositories() {
            for set in [
                RecordSet::Claims(name.clone()),
                RecordSet::Revisions(name.clone()),
                RecordSet::Tags(name.clone()),
            ] {
                keys.extend(listed(ports, &set).await);
            }
            for digest in use_cases::digests() {
                let referrers = RecordSet::Referrers(name.clone(), *digest);
                keys.extend(listed(ports, &referrers).await);
                let hints = RecordSet::Tagged(name.clone(), *digest);
                keys.extend(listed(ports, &hints).await);
            }
        }
        for key in keys {
            let record = ports.records.get(&key).await.expect("reads");
            if let Some(record) = record
                && stored.take(&key, &record.value).is_none()
            {
                stored.unreadable.push(format!("{key:?}"));
            }
        }
        stored
    }

    fn take(&mut self, key: &RecordKey, value: &[u8]) -> Option<()> {
        fn read<R: DeserializeOwned>(value: &[u8]) -> Option<R> {
            decode(value).ok()
        }
        match key.clone() {
            RecordKey::Job(_) => {
                read::<JobRecord>(value)?;
            }
            RecordKey::Repository(name) => {
                read::<RepositoryRecord>(value)?;
                self.repositories.insert(name);
            }
            RecordKey::Claim(name, digest) => {
                self.claims
                    .insert((name, digest), read::<Claim>(value)?.size);
            }
            RecordKey::Revision(name, digest) => {
                self.revisions.insert((name, digest), read(value)?);
            }
            RecordKey::Referrer(name, subject, digest) => {
                let record: ReferrerRecord = read(value)?;
                self.referrers
                    .insert((name, subject, digest), record.descriptor);
            }
            RecordKey::Tagged(name, digest, tag) => {
                read::<TaggedHint>(value)?;
                self.hints.insert((name, digest, tag));
            }
            RecordKey::Tag(name, tag) => {
                self.tags
                    .insert((name, tag), read::<TagRecord>(value)?.digest);
            }
        }
        Some(())
    }

    /// What is wrong with it; nothing, whenever whatever stops.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = Vec::new();
        let mut check = |is_so: bool, fault: &dyn Fn() -> String| {
            if !is_so {
                faults.push(fault());
            }
        };
        for path in &self.unreadable {
            check(false, &|| format!("{path} does not read"));
        }
        for ((name, digest), size) in &self.claims {
            check(self.is_whole(digest, *size), &|| {
                format!("{name} claims {digest}, which is not whole")
            });
        }
        for ((name, digest), revision) in &self.revisions {
            check(self.is_whole(digest, revision.size), &|| {
                format!("manifest {digest} of {name} is not whole")
            });
            check(self.repositories.contains(name), &|| {
                format!("{name} has manifests and is not in the catalog")
            });
            for blob in &revision.blobs {
                let is_claimed = self.claims.contains_key(&(name.clone(), *blob));
                check(is_claimed, &|| {
                    format!("manifest {digest} of {name} refers to blob {blob}, which is not there")
                });
            }
            for child in &revision.manifests {
                check(self.has_revision(name, child), &|| {
                    format!("index {digest} of {name} refers to {child}, which is not there")
                });
            }
        }
        for (name, subject, digest) in self.referrers.keys() {
            let revision = self.revisions.get(&(name.clone(), *digest));
            let is_about_it = revision.is_some_and(|revision| revision.subject == Some(*subject));
            check(is_about_it, &|| {
                format!("{name} lists {digest} as a referrer of {subject}, which it is not")
            });
        }
        for ((name, tag), digest) in &self.tags {
            check(self.has_revision(name, digest), &|| {
                format!("tag {tag} of {name} points to {digest}, which is not there")
            });
            let hint = (name.clone(), *digest, tag.clone());
            check(self.hints.contains(&hint), &|| {
                format!("tag {tag} of {name} points to {digest} without a hint")
            });
        }
        faults
    }

    fn is_whole(&self, digest: &Digest, size: u64) -> bool {
        let content = self.blobs.get(digest);
        content.is_some_and(|content| content.is_whole && content.size == size)
    }

    fn has_revision(&self, name: &RepositoryName, digest: &Digest) -> bool {
        self.revisions.contains_key(&(name.clone(), *digest))
    }
}

impl Content {
    fn of(digest: &Digest, content: &[u8]) -> Self {
        Self {
            size: content.len() as u64,
            is_whole: Digest::of(digest.algorithm(), content) == *digest,
        }
    }
}

async fn listed(ports: &Ports, set: &RecordSet) -> Vec<RecordKey> {
    ports
        .records
        .list(set, None, usize::MAX)
        .await
        .expect("lists")
}

/// What is left in a tree of requests that have ended: uploads and files on
/// their way.
pub(crate) fn leftovers(files: &Files) -> Vec<&str> {
    let paths = files.keys().map(String::as_str);
    paths
        .filter(|path| path.starts_with("/uploads/") || path.starts_with("/staging/"))
        .collect()
}
