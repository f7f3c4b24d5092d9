//! Looking at the store itself, after a run.

use std::collections::HashSet;

use octoserve::app::Registry;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::{Reference, RepositoryName};
use octoserve::domain::record::{Revision, TagRecord, decode};
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::ports::{BlobStore, RecordStore};

use crate::content::{Content, Document};
use crate::history::{Deed, History};
use crate::store::Stormy;

#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) store: &'a Stormy,
    pub(crate) registry: &'a Registry,
    pub(crate) content: &'a Content,
    pub(crate) history: &'a History,
    /// Whether manifests stay that no tag needs.
    pub(crate) is_untagged_kept: bool,
}

impl Look<'_> {
    fn repository(&self, at: usize) -> &RepositoryName {
        self.content.repositories.get(at).expect("one of these")
    }

    /// Everything that was accepted, and that nobody undid, is there and whole.
    pub(crate) async fn accepted_stands(&self, violations: &mut Vec<String>) {
        for deed in self.history.lasting(|other, deed| self.undoes(other, deed)) {
            match deed {
                Deed::Tag {
                    repository,
                    tag,
                    document,
                } => {
                    let name = self.repository(repository);
                    let tag = self.content.tags.get(tag).expect("one of these");
                    let of = self.content.document(document);
                    let key = RecordKey::Tag(name.clone(), tag.clone());
                    let stored = self.store.get(&key).await.expect("reads");
                    let record: Option<TagRecord> =
                        stored.map(|stored| decode(&stored.value).expect("a tag"));
                    if record.map(|record| record.digest) != Some(of.digest) {
                        violations.push(format!("{name}:{tag} lacks its tag record"));
                    }
                    let hint = RecordKey::Tagged(name.clone(), of.digest, tag.clone());
                    if self.is_absent(&hint).await {
                        violations.push(format!("{name}:{tag} lacks its hint"));
                    }
                    self.stands(repository, of, violations).await;
                }
                Deed::Push {
                    repository,
                    document,
                } if self.is_untagged_kept => {
                    let of = self.content.document(document);
                    self.stands(repository, of, violations).await;
                }
                _ => {}
            }
        }
    }

    /// Whether one deed may have undone another.
    fn undoes(&self, other: Deed, deed: Deed) -> bool {
        match (other, deed) {
            (
                Deed::Tag {
                    repository: there,
                    tag: moved,
                    ..
                }
                | Deed::DeleteTag {
                    repository: there,
                    tag: moved,
                },
                Deed::Tag {
                    repository, tag, ..
                },
            ) => there == repository && moved == tag,
            (
                Deed::Delete {
                    repository: there,
                    document: deleted,
                },
                Deed::Tag {
                    repository,
                    document,
                    ..
                }
                | Deed::Push {
                    repository,
                    document,
                },
            ) => there == repository && self.includes(document, deleted),
            (
                Deed::DeleteBlob {
                    repository: there,
                    digest,
                },
                Deed::Tag {
                    repository,
                    document,
                    ..
                }
                | Deed::Push {
                    repository,
                    document,
                },
            ) => {
                let of = self.content.document(document);
                let children = of.children.iter().map(|at| self.content.document(*at));
                let mut all = children.chain([of]);
                there == repository && all.any(|of| of.blobs.contains(&digest))
            }
            _ => false,
        }
    }

    fn includes(&self, document: usize, other: usize) -> bool {
        document == other || self.content.document(document).children.contains(&other)
    }

    async fn is_absent(&self, key: &RecordKey) -> bool {
        self.store.get(key).await.expect("reads").is_none()
    }

    /// A manifest can be pulled, with all that it refers to.
    async fn stands(&self, repository: usize, of: &Document, violations: &mut Vec<String>) {
        let name = self.repository(repository);
        self.is_whole(name, of, &of.blobs, violations).await;
        for child in of.children.iter().map(|at| self.content.document(*at)) {
            // An index is accepted with a child of which somebody had deleted a
            // blob before.
            let mut blobs = child.blobs.clone();
            blobs.retain(|digest| {
                let digest = *digest;
                !self.history.has(Deed::DeleteBlob { repository, digest })
            });
            self.is_whole(name, child, &blobs, violations).await;
        }
        if self.is_absent(&RecordKey::Repository(name.clone())).await {
            violations.push(format!("the catalog lacks {name}"));
        }
        if let Some(subject) = of.subject {
            let subject = self.content.document(subject).digest;
            let key = RecordKey::Referrer(name.clone(), subject, of.digest);
            if self.is_absent(&key).await {
                violations.push(format!("{subject} lacks its referrer {}", of.digest));
            }
        }
    }

    async fn is_whole(
        &self,
        name: &RepositoryName,
        of: &Document,
        blobs: &[Digest],
        violations: &mut Vec<String>,
    ) {
        let reference = Reference::Digest(of.digest);
        let found = match self.registry.find_manifest(name, &reference).await {
            Ok(found) => found,
            Err(error) => {
                violations.push(format!("{name} lacks manifest {}: {error}", of.digest));
                return;
            }
        };
        match self.registry.manifest_content(&found).await {
            Ok(content) if content == of.content => {}
            other => violations.push(format!("{} lacks its content: {other:?}", of.digest)),
        }
        for digest in blobs {
            let found = self.registry.find_blob(name, digest).await;
            let is_there = match found {
                Ok(blob) => self.registry.open_blob(&blob, None).await.is_ok(),
                Err(_) => false,
            };
            if !is_there {
                violations.push(format!("{name}@{} lacks blob {digest}", of.digest));
            }
        }
    }

    /// After a quiet cycle, every blob is one that some manifest refers to.
    pub(crate) async fn nothing_is_left(&self, violations: &mut Vec<String>) {
        let mut referenced: HashSet<Digest> = HashSet::new();
        for name in &self.content.repositories {
            let set = RecordSet::Revisions(name.clone());
            let keys = RecordStore::list(self.store, &set, None, usize::MAX).await;
            for key in keys.expect("lists") {
                let stored = self.store.get(&key).await.expect("reads");
                let stored = stored.expect("nobody else is there");
                let revision: Revision = decode(&stored.value).expect("a revision");
                // What an index lists may be a blob, whether or not it is a
                // manifest that was deleted.
                referenced.extend(revision.blobs.iter().chain(&revision.manifests));
                if let RecordKey::Revision(_, digest) = key {
                    referenced.insert(digest);
                }
            }
        }
        let blobs = BlobStore::list(self.store, None, usize::MAX).await;
        for blob in blobs.expect("lists") {
            if !referenced.contains(&blob.digest) {
                violations.push(format!("nothing refers to blob {}", blob.digest));
            }
        }
    }
}
