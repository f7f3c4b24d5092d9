//! The few blobs and manifests that everybody pushes, so that they meet.

use bytes::Bytes;
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::name::{RepositoryName, Tag};

/// A manifest and what it refers to.
pub(crate) struct Document {
    pub(crate) content: Bytes,
    pub(crate) digest: Digest,
    pub(crate) blobs: Vec<Digest>,
    /// Positions in [`Content::documents`].
    pub(crate) children: Vec<usize>,
    pub(crate) subject: Option<usize>,
}

/// All that is pushed in a run.
pub(crate) struct Content {
    pub(crate) blobs: Vec<(Digest, Bytes)>,
    pub(crate) documents: Vec<Document>,
    pub(crate) repositories: Vec<RepositoryName>,
    pub(crate) tags: Vec<Tag>,
}

impl Content {
    pub(crate) fn new() -> Self {
        let blobs: Vec<(Digest, Bytes)> = (0..5)
            .map(|number| {
                let content = Bytes::from(format!("blob {number}"));
                (Digest::of(Algorithm::Sha256, &content), content)
            })
            .collect();
        let mut content = Self {
            blobs,
            documents: Vec::new(),
            repositories: ["a", "b/c"]
                .map(|name| name.parse().expect("a name"))
                .into(),
            tags: ["v1", "v2", "latest"]
                .map(|tag| tag.parse().expect("a tag"))
                .into(),
        };
        for blobs in [[0, 1], [0, 2], [3, 4], [1, 4]] {
            content.add_image(&blobs, None);
        }
        content.add_image(&[2, 3], Some(0));
        content.add_index(&[0, 1]);
        content.add_index(&[2, 3]);
        content
    }

    fn add_image(&mut self, blobs: &[usize], subject: Option<usize>) {
        let blobs: Vec<(Digest, usize)> = blobs
            .iter()
            .filter_map(|at| self.blobs.get(*at))
            .map(|(digest, content)| (*digest, content.len()))
            .collect();
        let entries: Vec<String> = blobs
            .iter()
            .map(|(digest, size)| descriptor("application/octet-stream", digest, *size))
            .collect();
        let (config, layers) = entries.split_first().expect("a config");
        let about = subject
            .and_then(|at| self.documents.get(at))
            .map(|document| {
                let descriptor = descriptor(IMAGE, &document.digest, document.content.len());
                format!(r#","subject":{descriptor}"#)
            })
            .unwrap_or_default();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{config},"layers":[{}]{about}}}"#,
            layers.join(",")
        );
        let blobs = blobs.into_iter().map(|(digest, _)| digest).collect();
        self.add(text, blobs, Vec::new(), subject);
    }

    fn add_index(&mut self, children: &[usize]) {
        let entries = children.iter().filter_map(|at| self.documents.get(*at));
        let entries: Vec<String> = entries
            .map(|child| descriptor(IMAGE, &child.digest, child.content.len()))
            .collect();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
            entries.join(",")
        );
        self.add(text, Vec::new(), children.to_vec(), None);
    }

    fn add(
        &mut self,
        text: String,
        blobs: Vec<Digest>,
        children: Vec<usize>,
        subject: Option<usize>,
    ) {
        let content = Bytes::from(text);
        self.documents.push(Document {
            digest: Digest::of(Algorithm::Sha256, &content),
            content,
            blobs,
            children,
            subject,
        });
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Bytes {
        let mut blobs = self.blobs.iter();
        let (_, content) = blobs.find(|(of, _)| of == digest).expect("one of these");
        content.clone()
    }

    pub(crate) fn document(&self, at: usize) -> &Document {
        self.documents.get(at).expect("one of these")
    }
}

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}
