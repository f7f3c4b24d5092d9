//! Where everything is: the only place that makes paths.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::domain::upload::UploadId;

/// The tree below a root directory.
pub(super) struct Layout {
    root: PathBuf,
}

/// A directory of records, and how the leaf of each comes from its file name.
pub(super) struct SetDirectory {
    pub(super) path: PathBuf,
    /// What every leaf starts with.
    pub(super) leaf_prefix: &'static str,
    /// What follows it.
    pub(super) read_name: fn(&str) -> Box<str>,
}

impl Layout {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directories that are there from the start.
    pub(super) fn fixed_directories(&self) -> impl Iterator<Item = PathBuf> {
        let names = [
            "blobs",
            "jobs",
            "manifests",
            "repositories",
            "uploads",
            "staging",
            "locks",
        ];
        names.into_iter().map(|name| self.root.join(name))
    }

    /// Where the blobs of an algorithm are, in directories that are called by
    /// the first digits of the digests in them.
    pub(super) fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        let mut path = self.blobs(digest.algorithm());
        path.push(hex.get(..2).unwrap_or_default());
        path.push(hex);
        path
    }

    /// A file that nobody else uses, to be renamed to its place.
    pub(super) fn staging(&self) -> PathBuf {
        self.staging_directory().join(Uuid::new_v4().to_string())
    }

    pub(super) fn staging_directory(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Where the records of repositories are.
    pub(super) fn repositories(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub(super) fn lock(&self, shard: usize) -> PathBuf {
        self.root.join("locks").join(format!("{shard:02x}"))
    }

    /// A path without the root: the same in every process, wherever each has
    /// the tree mounted.
    pub(super) fn below_root<'a>(&self, path: &'a Path) -> &'a [u8] {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .as_os_str()
            .as_bytes()
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(super) fn upload(&self, id: UploadId) -> PathBuf {
        self.root.join("uploads").join(id.to_string())
    }

    pub(super) fn record(&self, key: &RecordKey) -> PathBuf {
        match key {
            RecordKey::Job(job) => self.root.join("jobs").join(job.as_str()),
            RecordKey::Repository(name) => {
                let file = name.as_str().replace('/', REPOSITORY_SEPARATOR);
                self.root.join("repositories").join(file)
            }
            RecordKey::Claim(repository, digest) => {
                by_digest(self.repository(repository, "_blobs"), digest)
            }
            RecordKey::Revision(repository, digest) => {
                by_digest(self.repository(repository, "_revisions"), digest)
            }
            RecordKey::Referrer(repository, subject, digest) => {
                by_digest(self.repository(repository, "_referrers"), subject)
                    .join(digest.to_string())
            }
            RecordKey::Tagged(repository, digest, tag) => {
                by_digest(self.repository(repository, "_tagged"), digest).join(tag.as_str())
            }
            RecordKey::Tag(repository, tag) => {
                self.repository(repository, "_tags").join(tag.as_str())
            }
        }
    }

    /// The directories that hold a set, in the order of the leaves in them.
    pub(super) fn set(&self, set: &RecordSet) -> Vec<SetDirectory> {
        let one = |path| {
            vec![SetDirectory {
                path,
                leaf_prefix: "",
                read_name: |file| file.into(),
            }]
        };
        match set {
            RecordSet::Jobs => one(self.root.join("jobs")),
            RecordSet::Repositories => vec![SetDirectory {
                path: self.root.join("repositories"),
                leaf_prefix: "",
                read_name: |file| file.replace(REPOSITORY_SEPARATOR, "/").into(),
            }],
            RecordSet::Tags(repository) => one(self.repository(repository, "_tags")),
            RecordSet::Tagged(repository, digest) => {
                one(by_digest(self.repository(repository, "_tagged"), digest))
            }
            RecordSet::Referrers(repository, subject) => one(by_digest(
                self.repository(repository, "_referrers"),
                subject,
            )),
            RecordSet::Claims(repository) => by_algorithm(&self.repository(repository, "_blobs")),
            RecordSet::Revisions(repository) => {
                by_algorithm(&self.repository(repository, "_revisions"))
            }
        }
    }

    fn repository(&self, name: &RepositoryName, part: &str) -> PathBuf {
        let mut path = self.repositories();
        path.push(name.as_str());
        path.push(part);
        path
    }
}

/// Stands for `/` in the file names of repository records. No repository name
/// has it, and a name stays as long as it was, so it fits in one component.
const REPOSITORY_SEPARATOR: &str = "+";

fn by_digest(mut path: PathBuf, digest: &Digest) -> PathBuf {
    path.push(digest.algorithm().as_str());
    path.push(digest.to_hex());
    path
}

fn by_algorithm(path: &Path) -> Vec<SetDirectory> {
    let directory = |algorithm: Algorithm| SetDirectory {
        path: path.join(algorithm.as_str()),
        leaf_prefix: match algorithm {
            Algorithm::Sha256 => "sha256:",
            Algorithm::Sha512 => "sha512:",
        },
        read_name: |file| file.into(),
    };
    Algorithm::ALL.map(directory).into()
}
