//! Names for what the tests store.

use bytes::Bytes;
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::name::{RepositoryName, Tag};
use octoserve::domain::record_key::RecordKey;
use octoserve::domain::upload::{UploadId, UploadSession};
use octoserve::ports::Identifiers;

use crate::adapters::Adapter;
use crate::world::SequentialIdentifiers;

/// A repository by its name.
pub(crate) fn repository(name: &str) -> RepositoryName {
    name.parse().expect("a repository name")
}

/// The key of a tag.
pub(crate) fn tag(name: &str, tag: &str) -> RecordKey {
    let tag: Tag = tag.parse().expect("a tag");
    RecordKey::Tag(repository(name), tag)
}

/// The SHA-256 of some content.
pub(crate) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// The SHA-512 of some content.
pub(crate) fn sha512(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha512, content)
}

/// Content and its SHA-256.
pub(crate) fn blob(seed: u64, length: usize) -> (Bytes, Digest) {
    let content = crate::bodies::content(seed, length);
    let digest = sha256(&content);
    (content, digest)
}

/// `count` upload sessions that begin now and hash SHA-256.
pub(crate) fn sessions(adapter: &Adapter, count: usize) -> Vec<UploadSession> {
    let identifiers = SequentialIdentifiers::default();
    let session = || UploadSession {
        id: UploadId::new(identifiers.fresh()),
        repository: repository("library/alpine"),
        algorithm: Algorithm::Sha256,
        started: whole_milliseconds(adapter.now()),
    };
    std::iter::repeat_with(session).take(count).collect()
}

/// One such session.
pub(crate) fn session(adapter: &Adapter) -> UploadSession {
    sessions(adapter, 1).remove(0)
}

/// Stores keep times to the millisecond.
fn whole_milliseconds(time: std::time::SystemTime) -> std::time::SystemTime {
    let since = time
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    std::time::UNIX_EPOCH + std::time::Duration::from_millis(since.as_millis() as u64)
}
