//! A registry over a store whose age a test decides.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use octoserve::adapters::clock::SystemClock;
use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::adapters::memory::MemoryStore;
use octoserve::app::{
    Chunk, CollectRules, Collected, ManifestPush, PushedTo, Registry, RegistryRules,
};
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::name::RepositoryName;
use octoserve::domain::precondition::Preconditions;
use octoserve::ports::{BlobStore, Clock, RecordStore};
use tempfile::TempDir;

use crate::world::{ManualClock, SequentialIdentifiers};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A grace that is longer than any test.
pub(crate) const GRACE: Duration = Duration::from_secs(24 * 3600);

/// A store and registries on it.
pub(crate) struct Setup {
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) clock: Arc<dyn Clock>,
    identifiers: Arc<SequentialIdentifiers>,
    age: Box<dyn Fn(Duration)>,
    pub(crate) directory: Option<TempDir>,
}

impl Setup {
    pub(crate) fn memory() -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Self {
            blobs: Arc::clone(&store) as Arc<dyn BlobStore>,
            records: store,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            identifiers: Arc::default(),
            age: Box::new(move |by| clock.advance(by)),
            directory: None,
        }
    }

    pub(crate) fn filesystem() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let store = FilesystemStore::open(directory.path(), false).expect("the store opens");
        let store = Arc::new(store);
        let root = directory.path().to_owned();
        Self {
            blobs: Arc::clone(&store) as Arc<dyn BlobStore>,
            records: store,
            clock: Arc::new(SystemClock),
            identifiers: Arc::default(),
            age: Box::new(move |by| set_back(&root, by)),
            directory: Some(directory),
        }
    }

    /// A registry as one process has it open.
    pub(crate) fn registry(&self) -> Registry {
        self.registry_with(RegistryRules::default())
    }

    /// A registry with these rules, other than the grace.
    pub(crate) fn registry_with(&self, rules: RegistryRules) -> Registry {
        let rules = RegistryRules {
            grace: GRACE,
            ..rules
        };
        Registry::new(
            Arc::clone(&self.blobs),
            Arc::clone(&self.records),
            Arc::clone(&self.clock),
            Arc::clone(&self.identifiers) as _,
            rules,
        )
    }

    /// Makes all that is stored older.
    pub(crate) fn age(&self, by: Duration) {
        (self.age)(by);
    }

    pub(crate) async fn is_stored(&self, digest: &Digest) -> bool {
        self.blobs.stat(digest).await.expect("looks").is_some()
    }

    /// Collects as the rules say.
    pub(crate) async fn collect(&self, rules: &CollectRules) -> Collected {
        let collected = self.registry().collect(rules, &()).await;
        collected.expect("collects").expect("nobody else is at it")
    }
}

fn set_back(path: &Path, by: Duration) {
    let metadata = fs::metadata(path).expect("a file");
    if metadata.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            set_back(&entry.expect("an entry").path(), by);
        }
    }
    let modified = metadata.modified().expect("a modification time");
    let times = FileTimes::new().set_modified(modified - by);
    let file = File::open(path).expect("a file");
    file.set_times(times).expect("another time");
}

/// Makes a test on each store out of each `async fn name(setup: Setup)`.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::setup::Setup::memory()).await;
            })+
        }

        mod filesystem {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::setup::Setup::filesystem()).await;
            })+
        }
    };
}
pub(crate) use on_every_store;

pub(crate) fn name(name: &str) -> RepositoryName {
    name.parse().expect("a repository name")
}

pub(crate) fn rules() -> CollectRules {
    CollectRules {
        grace: GRACE,
        uploads_after: GRACE,
        ..CollectRules::default()
    }
}

/// A chunk that is all of this content.
pub(crate) fn whole(content: &str) -> Chunk {
    let content = Bytes::copy_from_slice(content.as_bytes());
    Chunk {
        range: None,
        length: Some(content.len() as u64),
        body: Box::pin(futures_util::stream::iter([Ok(content)])),
    }
}

pub(crate) async fn push_blob(registry: &Registry, repository: &str, content: &str) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    let repository = name(repository);
    let pushed = registry.push_blob(&repository, &digest, whole(content));
    pushed.await.expect("pushes");
    digest
}

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// A manifest that has been pushed.
pub(crate) struct Pushed {
    pub(crate) digest: Digest,
    pub(crate) content: String,
    pub(crate) blobs: Vec<Digest>,
}

/// Pushes an image of these contents, to a tag if one is given.
pub(crate) async fn push_image(
    registry: &Registry,
    repository: &str,
    tag: Option<&str>,
    contents: &[&str],
    subject: Option<&Pushed>,
) -> Pushed {
    let mut blobs = Vec::new();
    let mut entries = Vec::new();
    for content in contents {
        let digest = push_blob(registry, repository, content).await;
        entries.push(descriptor("text/plain", &digest, content.len()));
        blobs.push(digest);
    }
    let (config, layers) = entries.split_first().expect("a config");
    let subject = subject.map(|subject| {
        let descriptor = descriptor(IMAGE, &subject.digest, subject.content.len());
        format!(r#","subject":{descriptor}"#)
    });
    let content = format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{config},"layers":[{}]{}}}"#,
        layers.join(","),
        subject.unwrap_or_default(),
    );
    let digest = put(registry, repository, tag, &content).await;
    Pushed {
        digest,
        content,
        blobs,
    }
}

/// Pushes an index of images.
pub(crate) async fn push_index(
    registry: &Registry,
    repository: &str,
    tag: Option<&str>,
    children: &[&Pushed],
) -> Pushed {
    let entries: Vec<String> = children
        .iter()
        .map(|child| descriptor(IMAGE, &child.digest, child.content.len()))
        .collect();
    let content = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        entries.join(",")
    );
    let digest = put(registry, repository, tag, &content).await;
    Pushed {
        digest,
        content,
        blobs: Vec::new(),
    }
}

/// Pushes an index whose entries are blobs.
pub(crate) async fn push_index_of_blobs(
    registry: &Registry,
    repository: &str,
    blobs: &[&Digest],
) -> Digest {
    let entries: Vec<String> = blobs
        .iter()
        .map(|digest| descriptor("application/vnd.oci.image.layer.v1.tar", digest, 1))
        .collect();
    let content = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        entries.join(",")
    );
    put(registry, repository, None, &content).await
}

pub(crate) async fn put(
    registry: &Registry,
    repository: &str,
    tag: Option<&str>,
    content: &str,
) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    let target = match tag {
        Some(tag) => PushedTo::Tag(tag.parse().expect("a tag"), Preconditions::default()),
        None => PushedTo::Digest(digest, Vec::new()),
    };
    let push = ManifestPush {
        content: Bytes::copy_from_slice(content.as_bytes()),
        content_type: None,
        target,
    };
    let put = registry.put_manifest(&name(repository), &push).await;
    put.expect("accepts").digest
}
