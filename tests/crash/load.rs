//! Clients that push, retag and delete, and know what has to be there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use octoserve::domain::digest::Digest;
use octoserve::domain::media_type::OCI_MANIFEST;
use octoserve::domain::name::{RepositoryName, Tag};

use crate::content::{Document, bytes, digest, repository, tag};
use crate::server::Answer;
use crate::stored::Stored;

/// How a client gets its answers.
pub(crate) trait Ask {
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> io::Result<Answer>;
}

/// One client, which pushes what nobody else pushes, to tags of its own and to
/// one that it shares.
pub(crate) struct Client {
    number: u64,
    repository: RepositoryName,
    turn: u64,
    /// Blobs that were acknowledged.
    blobs: BTreeSet<Digest>,
    /// Manifests that were acknowledged and have not been asked to go.
    manifests: BTreeSet<Digest>,
    /// Each tag of its own, and what it may point to.
    tags: BTreeMap<Tag, BTreeSet<Option<Digest>>>,
}

impl Client {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            repository: repository("library/busy"),
            turn: 0,
            blobs: BTreeSet::new(),
            manifests: BTreeSet::new(),
            tags: BTreeMap::new(),
        }
    }

    /// How often it has pushed an image, or tried.
    pub(crate) const fn turns(&self) -> u64 {
        self.turn
    }

    /// Pushes an image, and now and then deletes a tag, a manifest or a blob.
    pub(crate) fn take_turn(&mut self, server: &mut dyn Ask) -> io::Result<()> {
        self.turn += 1;
        let seed = self.number * 1_000_000 + self.turn * 10;
        let layers: Vec<Bytes> = (0..3).map(|layer| self.layer(seed + layer)).collect();
        for (position, layer) in layers.iter().enumerate() {
            match position {
                0 => self.push_in_chunks(server, layer)?,
                _ => self.push_whole(server, layer)?,
            }
        }
        let image = Document::image(&layers);
        let own = tag(&format!("client-{}-{}", self.number, self.turn % 3));
        self.push_manifest(server, &image, &own)?;
        let path = format!("/v2/{}/manifests/shared", self.repository);
        self.must(server.ask("PUT", &path, OCI_MANIFEST, &image.content)?, 201);
        match self.turn % 5 {
            1 => self.delete_tag(server, &own),
            2 => self.delete_manifest(server, &own),
            3 => self.push_and_delete_blob(server, seed + 5),
            _ => Ok(()),
        }
    }

    /// What of what it knows is not so.
    pub(crate) fn missed(&self, stored: &Stored) -> Vec<String> {
        let mut missed = Vec::new();
        let of_this = |digest: &Digest| (self.repository.clone(), *digest);
        for blob in &self.blobs {
            if !stored.claims.contains_key(&of_this(blob)) {
                missed.push(format!("blob {blob} was acknowledged"));
            }
        }
        for manifest in &self.manifests {
            if !stored.revisions.contains_key(&of_this(manifest)) {
                missed.push(format!("manifest {manifest} was acknowledged"));
            }
        }
        for (tag, possible) in &self.tags {
            let is = stored.tags.get(&(self.repository.clone(), tag.clone()));
            if !possible.contains(&is.copied()) {
                missed.push(format!("tag {tag} is {is:?} and not of {possible:?}"));
            }
        }
        missed
    }

    fn layer(&self, seed: u64) -> Bytes {
        let length = match self.turn % 7 {
            0 => 1_500_000,
            _ => 2_000,
        };
        let mut layer = bytes(1, length).to_vec();
        layer.splice(..8, seed.to_le_bytes());
        layer.into()
    }

    fn must(&self, answer: Answer, status: u16) -> Answer {
        let turn = (self.number, self.turn);
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{turn:?}: {body}");
        answer
    }

    fn begin(&self, server: &mut dyn Ask) -> io::Result<String> {
        let path = format!("/v2/{}/blobs/uploads/", self.repository);
        let answer = self.must(server.ask("POST", &path, "", b"")?, 202);
        Ok(answer.header("location").expect("a location").to_owned())
    }

    fn push_in_chunks(&mut self, server: &mut dyn Ask, content: &Bytes) -> io::Result<()> {
        let mut location = self.begin(server)?;
        for chunk in content.chunks(content.len() / 2 + 1) {
            let answer = server.ask("PATCH", &location, "application/octet-stream", chunk)?;
            let answer = self.must(answer, 202);
            answer
                .header("location")
                .expect("a location")
                .clone_into(&mut location);
        }
        let digest = digest(content);
        let path = format!("{location}?digest={digest}");
        self.must(
            server.ask("PUT", &path, "application/octet-stream", b"")?,
            201,
        );
        self.blobs.insert(digest);
        Ok(())
    }

    fn push_whole(&mut self, server: &mut dyn Ask, content: &Bytes) -> io::Result<()> {
        let digest = digest(content);
        let path = format!("{}?digest={digest}", self.begin(server)?);
        self.must(
            server.ask("PUT", &path, "application/octet-stream", content)?,
            201,
        );
        self.blobs.insert(digest);
        Ok(())
    }

    fn push_manifest(
        &mut self,
        server: &mut dyn Ask,
        image: &Document,
        tag: &Tag,
    ) -> io::Result<()> {
        let digest = image.digest();
        // From here on it may be either, and is what it was asked to be once
        // that is acknowledged.
        let possible = self.tags.entry(tag.clone()).or_default();
        if possible.is_empty() {
            possible.insert(None);
        }
        possible.insert(Some(digest));
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        self.must(server.ask("PUT", &path, OCI_MANIFEST, &image.content)?, 201);
        self.manifests.insert(digest);
        self.tags
            .insert(tag.clone(), BTreeSet::from([Some(digest)]));
        Ok(())
    }

    fn delete_tag(&mut self, server: &mut dyn Ask, tag: &Tag) -> io::Result<()> {
        if let Some(possible) = self.tags.get_mut(tag) {
            possible.insert(None);
        }
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        self.must(server.ask("DELETE", &path, "", b"")?, 202);
        self.tags.insert(tag.clone(), BTreeSet::from([None]));
        Ok(())
    }

    /// Deletes the manifest that a tag of its own points to.
    fn delete_manifest(&mut self, server: &mut dyn Ask, tag: &Tag) -> io::Result<()> {
        let Some(digest) = self
            .tags
            .get(tag)
            .and_then(|possible| possible.first().copied()?)
        else {
            return Ok(());
        };
        self.manifests.remove(&digest);
        // Any of its tags may point to it.
        for possible in self.tags.values_mut() {
            if possible.contains(&Some(digest)) {
                possible.insert(None);
            }
        }
        let path = format!("/v2/{}/manifests/{digest}", self.repository);
        self.must(server.ask("DELETE", &path, "", b"")?, 202);
        for possible in self.tags.values_mut() {
            possible.remove(&Some(digest));
        }
        Ok(())
    }

    fn push_and_delete_blob(&mut self, server: &mut dyn Ask, seed: u64) -> io::Result<()> {
        let content = self.layer(seed);
        self.push_whole(server, &content)?;
        let digest = digest(&content);
        self.blobs.remove(&digest);
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        self.must(server.ask("DELETE", &path, "", b"")?, 202);
        Ok(())
    }
}
