//! What clients and collectors do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use octoserve::app::{Chunk, CollectRules, ManifestPush, PushedTo, Registry, RegistryError};
use octoserve::domain::digest::Digest;
use octoserve::domain::name::{Reference, RepositoryName, Tag};
use octoserve::domain::precondition::Preconditions;

use crate::content::Content;
use crate::history::{Deed, History};
use crate::random::Random;

/// Counts of what came of it all.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) refused: AtomicUsize,
    pub(crate) collected: AtomicUsize,
    pub(crate) renewed: AtomicUsize,
    pub(crate) removed_manifests: AtomicUsize,
}

/// Somebody who does one thing on one replica.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) registry: Arc<Registry>,
    pub(crate) content: Arc<Content>,
    pub(crate) history: Arc<History>,
    pub(crate) random: Random,
    pub(crate) tally: Arc<Tally>,
    pub(crate) rules: CollectRules,
}

/// What a client gives up at.
struct Failed;

impl From<RegistryError> for Failed {
    fn from(_: RegistryError) -> Self {
        Self
    }
}

impl Actor {
    /// Does something.
    pub(crate) async fn act(self) {
        let repository = self.random.below(self.content.repositories.len());
        let tag = self.random.below(self.content.tags.len());
        let document = self.random.below(self.content.documents.len());
        // What fails here is what a client would be told, and try again or not.
        let _ = match self.random.below(20) {
            0..=6 => self.push(repository, document, Some(tag)).await,
            7..=8 => self.push(repository, document, None).await,
            9 => self.retag(repository, tag).await,
            10..=11 => self.delete_tag(repository, tag).await,
            12..=13 => self.delete(repository, document).await,
            14 => self.delete_blob(repository).await,
            15 => self.push_lonely_blob(repository).await,
            _ => self.collect().await,
        };
    }

    fn repository(&self, at: usize) -> &RepositoryName {
        self.content.repositories.get(at).expect("one of these")
    }

    fn tag(&self, at: usize) -> &Tag {
        self.content.tags.get(at).expect("one of these")
    }

    /// Pushes a manifest as clients do: what it refers to first, and all of it
    /// again if the registry says that something is missing.
    async fn push(
        &self,
        repository: usize,
        document: usize,
        tag: Option<usize>,
    ) -> Result<(), Failed> {
        for _ in 0..3 {
            let children = self.content.document(document).children.clone();
            for child in children {
                self.push_image(repository, child, None).await?;
            }
            match self.push_image(repository, document, tag).await {
                Err(Refusal::Missing) => self.tally.refused.fetch_add(1, Ordering::Relaxed),
                Err(Refusal::Other) => return Err(Failed),
                Ok(()) => return Ok(()),
            };
        }
        Err(Failed)
    }

    async fn push_image(
        &self,
        repository: usize,
        document: usize,
        tag: Option<usize>,
    ) -> Result<(), Refusal> {
        let blobs = self.content.document(document).blobs.clone();
        for digest in &blobs {
            // Some push only the manifest: somebody else may have pushed these.
            if !self.random.once_in(8) {
                self.push_blob(repository, digest).await?;
            }
        }
        self.put(repository, document, tag).await
    }

    async fn push_blob(&self, repository: usize, digest: &Digest) -> Result<(), Refusal> {
        let name = self.repository(repository);
        if !self.random.once_in(3) && self.registry.check_blob(name, digest).await.is_ok() {
            return Ok(());
        }
        if self.random.once_in(2) {
            let other = self.random.below(self.content.repositories.len());
            let from = self.random.once_in(2).then(|| self.repository(other));
            if self
                .registry
                .mount_blob(name, digest, from)
                .await?
                .is_some()
            {
                return Ok(());
            }
        }
        let chunk = self.whole(digest);
        self.registry.push_blob(name, digest, chunk).await?;
        Ok(())
    }

    fn whole(&self, digest: &Digest) -> Chunk {
        let content = self.content.blob(digest);
        Chunk {
            range: None,
            length: Some(content.len() as u64),
            body: Box::pin(futures_util::stream::iter([Ok(content)])),
        }
    }

    async fn put(
        &self,
        repository: usize,
        document: usize,
        tag: Option<usize>,
    ) -> Result<(), Refusal> {
        let pushed = self.history.begin(Deed::Push {
            repository,
            document,
        });
        let tagged = tag.map(|tag| {
            self.history.begin(Deed::Tag {
                repository,
                tag,
                document,
            })
        });
        let of = self.content.document(document);
        let target = match tag {
            Some(tag) => PushedTo::Tag(self.tag(tag).clone(), Preconditions::default()),
            None => PushedTo::Digest(of.digest, Vec::new()),
        };
        let push = ManifestPush {
            content: of.content.clone(),
            content_type: None,
            target,
        };
        self.registry
            .put_manifest(self.repository(repository), &push)
            .await?;
        pushed.accept();
        if let Some(tagged) = tagged {
            tagged.accept();
        }
        Ok(())
    }

    /// Pulls what a tag points to, and pushes it to another tag.
    async fn retag(&self, repository: usize, to: usize) -> Result<(), Failed> {
        let from = self.random.below(self.content.tags.len());
        let reference = Reference::Tag(self.tag(from).clone());
        let name = self.repository(repository);
        let found = self.registry.find_manifest(name, &reference).await?;
        let content: Bytes = self.registry.manifest_content(&found).await?;
        let mut documents = self.content.documents.iter();
        let document = documents.position(|document| document.content == content);
        let put = self.put(repository, document.expect("one of these"), Some(to));
        put.await.map_err(|_| Failed)
    }

    async fn delete_tag(&self, repository: usize, tag: usize) -> Result<(), Failed> {
        let deed = self.history.begin(Deed::DeleteTag { repository, tag });
        let name = self.repository(repository);
        self.registry.delete_tag(name, self.tag(tag)).await?;
        deed.accept();
        Ok(())
    }

    async fn delete(&self, repository: usize, document: usize) -> Result<(), Failed> {
        let deed = self.history.begin(Deed::Delete {
            repository,
            document,
        });
        let digest = self.content.document(document).digest;
        let name = self.repository(repository);
        self.registry.delete_manifest(name, &digest).await?;
        deed.accept();
        Ok(())
    }

    async fn delete_blob(&self, repository: usize) -> Result<(), Failed> {
        let (digest, _) = self.random.of(&self.content.blobs);
        let digest = *digest;
        let deed = self.history.begin(Deed::DeleteBlob { repository, digest });
        let name = self.repository(repository);
        self.registry.delete_blob(name, &digest).await?;
        deed.accept();
        Ok(())
    }

    async fn push_lonely_blob(&self, repository: usize) -> Result<(), Failed> {
        let (digest, _) = self.random.of(&self.content.blobs);
        self.push_blob(repository, digest).await.map_err(|_| Failed)
    }

    async fn collect(&self) -> Result<(), Failed> {
        if let Some(collected) = self.registry.collect(&self.rules, &()).await? {
            for (total, one) in [
                (&self.tally.collected, collected.removed_blobs),
                (&self.tally.renewed, collected.renewed_blobs),
                (&self.tally.removed_manifests, collected.removed_manifests),
            ] {
                total.fetch_add(one as usize, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Why a push was not accepted.
enum Refusal {
    /// Something it refers to is missing.
    Missing,
    Other,
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::ManifestBlobUnknown(_) => Self::Missing,
            _ => Self::Other,
        }
    }
}

impl From<Refusal> for Failed {
    fn from(_: Refusal) -> Self {
        Self
    }
}
