//! After a request was dropped half way and the process restarted: what it
//! leaves is a state that it may leave, and the model takes that up.

use bytes::Bytes;
use octoserve::app::RegistryError;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::{Reference, RepositoryName, Tag};
use octoserve::domain::referrers::ReferrersRequest;

use super::documents::Manifest;
use super::model::{Model, SaidChunk};
use super::world::World;

/// A session has a part of the chunk: some bytes from its beginning.
pub(super) fn append(world: &World, model: &mut Model, position: usize, chunk: &SaidChunk) {
    let received = received(world, model, position).expect("the session is still there");
    let upload = &mut model.uploads[position];
    take_up(&mut upload.data, &chunk.pieces.bytes(), received);
}

fn received(world: &World, model: &Model, position: usize) -> Result<usize, RegistryError> {
    let upload = &model.uploads[position];
    let received = world.ask(async |registry| {
        registry
            .upload_received(&upload.repository, upload.id)
            .await
    });
    received.map(|received| usize::try_from(received).expect("small"))
}

fn take_up(data: &mut Vec<u8>, sent: &[u8], received: usize) {
    let more = received
        .checked_sub(data.len())
        .expect("nothing that was acknowledged is lost");
    let more = sent
        .get(..more)
        .expect("nothing that was not sent is there");
    data.extend_from_slice(more);
}

/// The session stands as after [`append`], or the blob is stored.
pub(super) fn finish(
    world: &World,
    model: &mut Model,
    position: usize,
    chunk: &SaidChunk,
    digest: &Digest,
    expected: Option<Bytes>,
) {
    let name = model.uploads[position].repository.clone();
    let may_be_stored = expected.is_some();
    let length = expected.as_ref().map(|bytes| bytes.len() as u64);
    blob(world, model, &name, digest, expected);
    match received(world, model, position) {
        // Between the two steps the data has left the session.
        Ok(0) if may_be_stored && world.stored_size(digest) == length => {
            model.uploads[position].data.clear();
        }
        Ok(received) => {
            let upload = &mut model.uploads[position];
            take_up(&mut upload.data, &chunk.pieces.bytes(), received);
        }
        Err(RegistryError::UploadUnknown) => {
            assert!(
                may_be_stored && model.is_whole(digest),
                "the upload is lost"
            );
            model.uploads.remove(position);
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// The blob is as it was, or stored (as `expected`), or stored and claimed.
pub(super) fn blob(
    world: &World,
    model: &mut Model,
    name: &RepositoryName,
    digest: &Digest,
    expected: Option<Bytes>,
) {
    let Some(bytes) = expected else {
        return;
    };
    if !model.is_whole(digest) && world.stored_size(digest) == Some(bytes.len() as u64) {
        model.store(*digest, bytes);
    }
    let claimed = world
        .ask(async |registry| registry.find_blob(name, digest).await)
        .is_ok();
    if claimed && !model.repository(name).claims.contains(digest) {
        assert!(
            model.is_whole(digest),
            "it was claimed before it was stored"
        );
        model.claim(name, *digest);
    }
}

pub(super) fn cancel(world: &World, model: &mut Model, position: usize, was_right: bool) {
    match received(world, model, position) {
        Ok(received) => assert_eq!(received, model.uploads[position].data.len()),
        Err(RegistryError::UploadUnknown) => {
            assert!(was_right, "it was cancelled from another repository");
            model.uploads.remove(position);
        }
        Err(error) => panic!("{error:?}"),
    }
}

pub(super) fn delete_blob(
    world: &World,
    model: &mut Model,
    name: &RepositoryName,
    digest: &Digest,
) {
    let found = world.ask(async |registry| registry.find_blob(name, digest).await);
    if matches!(found, Err(RegistryError::BlobUnknown(_))) {
        model.repository_mut(name).claims.remove(digest);
    }
}

/// Content, revision, referrer and tags: a later one is there only if those
/// before it are.
pub(super) fn put_manifest(
    world: &World,
    model: &mut Model,
    name: &RepositoryName,
    digest: &Digest,
    manifest: &Manifest,
    tags: &[Tag],
    accepted: bool,
) {
    if !accepted {
        return;
    }
    if world.stored_size(digest) == Some(manifest.bytes.len() as u64) {
        model.store(*digest, manifest.bytes.clone());
    }
    let by_digest = Reference::Digest(*digest);
    let stands = world
        .ask(async |registry| registry.find_manifest(name, &by_digest).await)
        .is_ok();
    if stands {
        assert!(
            model.is_whole(digest),
            "it was recorded before it was stored"
        );
        let is_listed = is_listed(world, name, digest, manifest);
        let repository = model.repository_mut(name);
        let was_there = repository
            .manifests
            .insert(*digest, manifest.clone())
            .is_some();
        if is_listed {
            repository.unlisted.remove(digest);
        } else {
            let was_listed = was_there && !repository.unlisted.contains(digest);
            assert!(!was_listed, "a push took it off the list of its subject");
            repository.unlisted.insert(*digest);
        }
    } else {
        model.repository_mut(name).may_be_listed = true;
    }
    for tag in tags {
        let by_tag = Reference::Tag(tag.clone());
        let found = world.ask(async |registry| registry.find_manifest(name, &by_tag).await);
        let found = found.ok().map(|found| *found.digest());
        if found == Some(*digest) {
            assert!(stands, "a tag points to nothing");
            let repository = model.repository_mut(name);
            let is_listed = !repository.unlisted.contains(digest);
            assert!(is_listed, "it was tagged before it was listed");
            repository.tags.insert(tag.clone(), *digest);
        }
    }
}

/// Whether a manifest is in the list of its subject, if it has one.
fn is_listed(world: &World, name: &RepositoryName, digest: &Digest, manifest: &Manifest) -> bool {
    let request = ReferrersRequest {
        artifact_type: None,
        after: None,
        limit: None,
    };
    manifest.subject.is_none_or(|subject| {
        let listed = world
            .ask(async |registry| registry.referrers(name, &subject, &request).await)
            .expect("the store works");
        let mut digests = listed.descriptors.iter().map(|listed| listed.digest);
        digests.any(|listed| listed == *digest)
    })
}

pub(super) fn delete_tag(world: &World, model: &mut Model, name: &RepositoryName, tag: &Tag) {
    let by_tag = Reference::Tag(tag.clone());
    let found = world.ask(async |registry| registry.find_manifest(name, &by_tag).await);
    if matches!(found, Err(RegistryError::ManifestUnknown(_))) {
        model.repository_mut(name).tags.remove(tag);
    }
}

/// Whoever was not answered asks again, and then it is deleted whole.
pub(super) fn delete_manifest(
    world: &World,
    model: &mut Model,
    name: &RepositoryName,
    digest: &Digest,
) {
    let again = world.ask(async |registry| registry.delete_manifest(name, digest).await);
    let was_there = model.delete_manifest(name, digest);
    match again {
        Ok(()) => assert!(was_there),
        Err(RegistryError::ManifestUnknown(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}
