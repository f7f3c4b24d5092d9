//! The keys that records are stored under.

use super::digest::Digest;
use super::name::{RepositoryName, Tag};

/// What a record is about; the only way to name one.
///
/// The tree that the keys span, as every store lays it out:
///
/// ```text
/// jobs/<job>                                              Job
/// repositories/<repository>                               Repository
/// manifests/<repository>/
/// ├── _blobs/<algorithm>/<hex>                            Claim
/// ├── _referrers/<algorithm>/<hex>/<digest>               Referrer: subject, then the manifest
/// ├── _revisions/<algorithm>/<hex>                        Revision
/// ├── _tagged/<algorithm>/<hex>/<tag>                     Tagged
/// └── _tags/<tag>                                         Tag
/// ```
///
/// No component of a repository name starts with `_`, so the records of a
/// repository never meet those of another one whose name starts with its name.
/// And because each part is a parsed value, no key can leave the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// A process is at a job.
    Job(Job),
    /// A repository exists.
    Repository(RepositoryName),
    /// A repository may serve a blob.
    Claim(RepositoryName, Digest),
    /// The second manifest refers to the first, its subject.
    Referrer(RepositoryName, Digest, Digest),
    /// A repository holds a manifest.
    Revision(RepositoryName, Digest),
    /// A tag may point to this manifest.
    Tagged(RepositoryName, Digest, Tag),
    /// What a tag points to.
    Tag(RepositoryName, Tag),
}

impl RecordKey {
    /// The last part of the key, which tells it from the others of its set;
    /// sets are listed in the byte order of it.
    #[must_use]
    pub fn leaf(&self) -> String {
        match self {
            Self::Job(job) => job.as_str().to_owned(),
            Self::Repository(repository) => repository.to_string(),
            Self::Claim(_, digest) | Self::Revision(_, digest) | Self::Referrer(_, _, digest) => {
                digest.to_string()
            }
            Self::Tagged(_, _, tag) | Self::Tag(_, tag) => tag.to_string(),
        }
    }

    /// The set that the key is listed in.
    #[must_use]
    pub fn set(&self) -> RecordSet {
        match self.clone() {
            Self::Job(_) => RecordSet::Jobs,
            Self::Repository(_) => RecordSet::Repositories,
            Self::Claim(repository, _) => RecordSet::Claims(repository),
            Self::Referrer(repository, subject, _) => RecordSet::Referrers(repository, subject),
            Self::Revision(repository, _) => RecordSet::Revisions(repository),
            Self::Tagged(repository, digest, _) => RecordSet::Tagged(repository, digest),
            Self::Tag(repository, _) => RecordSet::Tags(repository),
        }
    }

    /// The repository that the record is in. The one that lists a repository is
    /// in none, and neither is a job.
    #[must_use]
    pub const fn within(&self) -> Option<&RepositoryName> {
        match self {
            Self::Job(_) | Self::Repository(_) => None,
            Self::Claim(repository, _)
            | Self::Referrer(repository, _, _)
            | Self::Revision(repository, _)
            | Self::Tagged(repository, _, _)
            | Self::Tag(repository, _) => Some(repository),
        }
    }

    /// What kind of record it is, in one word for logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Repository(_) => "repository",
            Self::Claim(..) => "claim",
            Self::Referrer(..) => "referrer",
            Self::Revision(..) => "revision",
            Self::Tagged(..) => "tagged",
            Self::Tag(..) => "tag",
        }
    }
}

/// Work on the whole store that one process at a time should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Removing what nothing refers to.
    Collect,
    /// Checking what is stored.
    Scrub,
}

impl Job {
    /// Every job, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Collect, Self::Scrub];

    /// What it is called.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Scrub => "scrub",
        }
    }
}

/// Keys that are listed together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordSet {
    /// Every job.
    Jobs,
    /// Every repository.
    Repositories,
    /// The blobs that a repository may serve.
    Claims(RepositoryName),
    /// The manifests in a repository that refer to a subject.
    Referrers(RepositoryName, Digest),
    /// The manifests of a repository.
    Revisions(RepositoryName),
    /// The tags that may point to a manifest.
    Tagged(RepositoryName, Digest),
    /// The tags of a repository.
    Tags(RepositoryName),
}

impl RecordSet {
    /// The key of this set whose leaf reads `leaf`, if that is a valid one.
    #[must_use]
    pub fn key(&self, leaf: &str) -> Option<RecordKey> {
        Some(match self.clone() {
            Self::Jobs => RecordKey::Job(Job::ALL.into_iter().find(|job| job.as_str() == leaf)?),
            Self::Repositories => RecordKey::Repository(leaf.parse().ok()?),
            Self::Claims(repository) => RecordKey::Claim(repository, leaf.parse().ok()?),
            Self::Referrers(repository, subject) => {
                RecordKey::Referrer(repository, subject, leaf.parse().ok()?)
            }
            Self::Revisions(repository) => RecordKey::Revision(repository, leaf.parse().ok()?),
            Self::Tagged(repository, digest) => {
                RecordKey::Tagged(repository, digest, leaf.parse().ok()?)
            }
            Self::Tags(repository) => RecordKey::Tag(repository, leaf.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Algorithm;

    #[test]
    fn a_key_is_found_in_its_set_by_its_leaf() {
        let repository: RepositoryName = "a/b".parse().expect("a name");
        let tag: Tag = "v1".parse().expect("a tag");
        let digest = Digest::of(Algorithm::Sha256, b"");
        for key in [
            RecordKey::Job(Job::Collect),
            RecordKey::Job(Job::Scrub),
            RecordKey::Repository(repository.clone()),
            RecordKey::Claim(repository.clone(), digest),
            RecordKey::Referrer(repository.clone(), digest, digest),
            RecordKey::Revision(repository.clone(), digest),
            RecordKey::Tagged(repository.clone(), digest, tag.clone()),
            RecordKey::Tag(repository.clone(), tag.clone()),
        ] {
            assert_eq!(key.set().key(&key.leaf()), Some(key));
        }
    }
}
