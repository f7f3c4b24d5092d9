//! Each operation, asked of the registry and of the model.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use octoserve::app::{Chunk, ClaimedBlob, ManifestPush, PushedTo, Registry, RegistryError};
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::name::{Reference, RepositoryName, Tag};
use octoserve::domain::precondition::{EntityTags, Preconditions};
use octoserve::domain::upload::{ChunkRange, UploadId};
use octoserve::ports::Clock;

use super::body::Pieces;
use super::documents::{Manifest, Parts, content, nothing, repository, tag};
use super::instructions::{
    Announced, Chunk as PlannedChunk, Condition, Document, Kind, Length, Offset, Operation, Step,
    Target,
};
use super::model::{Damage, Model, SaidChunk, Upload};
use super::world::World;
use super::{interrupted, verify};

/// Runs a step.
pub(super) fn step(world: &mut World, model: &mut Model, step: Step) {
    let dropped = step.dropped_after;
    match step.operation {
        Operation::Begin {
            repository: name,
            sha512,
            content,
        } => {
            begin(
                world,
                model,
                dropped,
                &repository(name),
                algorithm(sha512),
                content,
            );
        }
        Operation::Append { upload, chunk } => append(world, model, dropped, upload, &chunk),
        Operation::Finish {
            upload,
            chunk,
            wrong_digest,
            sha512,
        } => {
            finish(world, model, dropped, upload, &chunk, wrong_digest, sha512);
        }
        Operation::Status {
            upload,
            repository: name,
        } => status(world, model, upload, &repository(name)),
        Operation::Cancel {
            upload,
            repository: name,
        } => cancel(world, model, dropped, upload, &repository(name)),
        Operation::Push {
            repository: name,
            content: number,
            sha512,
            chunk,
            wrong_digest,
        } => {
            let digest = if wrong_digest {
                nothing()
            } else {
                content(number).digest(sha512)
            };
            let chunk = said(&chunk, &content(number).bytes, 0);
            push(world, model, dropped, &repository(name), digest, &chunk);
        }
        Operation::Mount {
            repository: name,
            content: number,
            sha512,
            from,
        } => {
            let digest = content(number).digest(sha512);
            mount(
                world,
                model,
                dropped,
                &repository(name),
                digest,
                from.map(repository).as_ref(),
            );
        }
        Operation::DeleteBlob {
            repository: name,
            content: number,
            sha512,
        } => {
            delete_blob(
                world,
                model,
                dropped,
                &repository(name),
                content(number).digest(sha512),
            );
        }
        Operation::PutManifest {
            repository: name,
            document,
            target,
        } => {
            put_manifest(world, model, dropped, &repository(name), &document, &target);
        }
        Operation::DeleteTag {
            repository: name,
            tag: number,
        } => {
            delete_tag(world, model, dropped, &repository(name), &tag(number));
        }
        Operation::DeleteManifest {
            repository: name,
            manifest,
        } => {
            let digest = made(model, manifest, manifest % 8 == 7);
            delete_manifest(world, model, dropped, &repository(name), digest);
        }
        Operation::Page {
            repository: name,
            limit,
        } => verify::pages(world, model, &repository(name), limit),
        Operation::ExpireUploads => expire_uploads(world, model),
        Operation::Wait { hours } => world.clock.wait(hours),
        Operation::Damage {
            content: number,
            sha512,
            removed,
        } => {
            damage(world, model, content(number).digest(sha512), removed);
        }
        Operation::Verify => verify::everything(world, model),
        Operation::Restart => world.restart(),
    }
}

/// Panics unless registry and model say the same.
pub(super) fn same<T: Debug>(actual: Result<T, RegistryError>, expected: Result<T, RegistryError>) {
    // Errors have causes, which do not compare, but none that is expected.
    assert_eq!(format!("{actual:?}"), format!("{expected:?}"));
}

const fn algorithm(sha512: bool) -> Algorithm {
    match sha512 {
        false => Algorithm::Sha256,
        true => Algorithm::Sha512,
    }
}

/// The digest and the size of a blob, which is all of it that compares.
pub(super) fn described(blob: &ClaimedBlob) -> (Digest, u64) {
    (*blob.digest(), blob.size())
}

/// A manifest that was made before, or nothing if none was.
fn made(model: &Model, number: usize, sha512: bool) -> Digest {
    let manifest = model.made.get(number % model.made.len().max(1));
    manifest.map_or_else(nothing, |manifest| {
        Digest::of(algorithm(sha512), &manifest.bytes)
    })
}

/// The chunk that follows `received` bytes of `content`; with more bytes than
/// that has, zeros follow.
fn said(chunk: &PlannedChunk, content: &Bytes, received: usize) -> SaidChunk {
    let rest = content.slice(received.min(content.len())..);
    let bytes = match chunk.length {
        Length::Rest => rest,
        Length::Bytes(length) if length <= rest.len() => rest.slice(..length),
        Length::Bytes(length) => {
            let mut bytes = rest.to_vec();
            bytes.resize(length, 0);
            bytes.into()
        }
    };
    let length = bytes.len() as u64;
    let first = match chunk.offset {
        Offset::Unsaid => None,
        Offset::Right => Some(received as u64),
        Offset::Wrong => Some(received as u64 + 1),
    };
    SaidChunk {
        // No range says that there are no bytes.
        range: first
            .filter(|_| length > 0)
            .map(|first| ChunkRange { first, length }),
        length: match chunk.announced {
            Announced::Unsaid => None,
            Announced::Right => Some(length),
            Announced::Longer => Some(length + 5),
            Announced::Shorter => Some(length.saturating_sub(1)),
        },
        pieces: Pieces::new(&bytes, chunk.pieces, chunk.end),
    }
}

fn request(chunk: &SaidChunk) -> Chunk {
    Chunk {
        range: chunk.range,
        length: chunk.length,
        body: chunk.pieces.clone().body(),
    }
}

fn begin(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    algorithm: Algorithm,
    content: usize,
) {
    let question = async |registry: &Registry| registry.begin_upload(name, algorithm).await;
    match world.answer(dropped, question) {
        None => model.has_orphans = true,
        Some(answer) => model.uploads.push(Upload {
            id: answer.expect("a session begins"),
            repository: name.clone(),
            content,
            data: Vec::new(),
        }),
    }
}

/// The position of an open session, and how it stands.
fn open_upload(model: &Model, number: usize) -> Option<(usize, UploadId, RepositoryName)> {
    let position = number.checked_rem(model.uploads.len())?;
    let upload = &model.uploads[position];
    Some((position, upload.id, upload.repository.clone()))
}

fn append(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    number: usize,
    chunk: &PlannedChunk,
) {
    let Some((position, id, name)) = open_upload(model, number) else {
        return;
    };
    let upload = &model.uploads[position];
    let chunk = said(chunk, &content(upload.content).bytes, upload.data.len());
    let (data, expected) = model.append(&upload.data, &chunk);
    let question =
        async |registry: &Registry| registry.append_chunk(&name, id, request(&chunk)).await;
    match world.answer(dropped, question) {
        None => interrupted::append(world, model, position, &chunk),
        Some(answer) => {
            same(answer, expected);
            model.uploads[position].data = data;
        }
    }
}

fn finish(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    number: usize,
    chunk: &PlannedChunk,
    wrong_digest: bool,
    sha512: bool,
) {
    let Some((position, id, name)) = open_upload(model, number) else {
        return;
    };
    let upload = &model.uploads[position];
    let target = content(upload.content);
    let digest = if wrong_digest {
        nothing()
    } else {
        target.digest(sha512)
    };
    let chunk = said(chunk, &target.bytes, upload.data.len());
    let expected = model.finish(&upload.data, &chunk, &digest);
    let question = async |registry: &Registry| {
        registry
            .finish_upload(&name, id, request(&chunk), &digest)
            .await
    };
    let Some(answer) = world.answer(dropped, question) else {
        return interrupted::finish(world, model, position, &chunk, &digest, expected.ok());
    };
    let answer = answer.map(|blob| described(&blob));
    match expected {
        Ok(bytes) => {
            same(answer, Ok((digest, bytes.len() as u64)));
            model.uploads.remove(position);
            model.store(digest, bytes);
            model.claim(&name, digest);
        }
        Err((data, error)) => {
            same(answer, Err(error));
            model.uploads[position].data = data;
        }
    }
}

fn status(world: &World, model: &Model, number: usize, asked_in: &RepositoryName) {
    if let Some((position, id, name)) = open_upload(model, number) {
        let expected = match name == *asked_in {
            true => Ok(model.uploads[position].data.len() as u64),
            false => Err(RegistryError::UploadUnknown),
        };
        same(
            world.ask(async |registry| registry.upload_received(asked_in, id).await),
            expected,
        );
    }
}

fn cancel(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    number: usize,
    asked_in: &RepositoryName,
) {
    let Some((position, id, name)) = open_upload(model, number) else {
        return;
    };
    let expected = match name == *asked_in {
        true => Ok(()),
        false => Err(RegistryError::UploadUnknown),
    };
    let was_right = expected.is_ok();
    let question = async |registry: &Registry| registry.cancel_upload(asked_in, id).await;
    match world.answer(dropped, question) {
        None => interrupted::cancel(world, model, position, was_right),
        Some(answer) => {
            same(answer, expected);
            if was_right {
                model.uploads.remove(position);
                let gone = world.ask(async |registry| registry.upload_received(&name, id).await);
                same(gone, Err(RegistryError::UploadUnknown));
            }
        }
    }
}

fn push(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    digest: Digest,
    chunk: &SaidChunk,
) {
    let expected = model.finish(&[], chunk, &digest);
    let question =
        async |registry: &Registry| registry.push_blob(name, &digest, request(chunk)).await;
    let Some(answer) = world.answer(dropped, question) else {
        model.has_orphans = true;
        return interrupted::blob(world, model, name, &digest, expected.ok());
    };
    let answer = answer.map(|blob| described(&blob));
    match expected {
        Ok(bytes) => {
            same(answer, Ok((digest, bytes.len() as u64)));
            model.store(digest, bytes);
            model.claim(name, digest);
        }
        Err((_, error)) => same(answer, Err(error)),
    }
}

fn mount(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    digest: Digest,
    from: Option<&RepositoryName>,
) {
    let is_cut = model
        .stored
        .get(&digest)
        .is_some_and(|stored| stored.damage == Damage::Cut);
    if from.is_none() && is_cut {
        // Nobody has said how long it was, so it passes for whole.
        return;
    }
    let claimed = from.is_none_or(|from| model.repository(from).claims.contains(&digest));
    let mounted = claimed && model.is_whole(&digest);
    let question = async |registry: &Registry| registry.mount_blob(name, &digest, from).await;
    let Some(answer) = world.answer(dropped, question) else {
        let bytes = mounted.then(|| model.stored[&digest].bytes.clone());
        return interrupted::blob(world, model, name, &digest, bytes);
    };
    let answer = answer.map(|blob| blob.map(|blob| described(&blob)));
    same(
        answer,
        Ok(mounted.then(|| (digest, model.stored[&digest].bytes.len() as u64))),
    );
    if mounted {
        model.claim(name, digest);
    }
}

fn delete_blob(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    digest: Digest,
) {
    let question = async |registry: &Registry| registry.delete_blob(name, &digest).await;
    match world.answer(dropped, question) {
        None => interrupted::delete_blob(world, model, name, &digest),
        Some(answer) => {
            let was_there = model.repository_mut(name).claims.remove(&digest);
            same(
                answer,
                was_there
                    .then_some(())
                    .ok_or(RegistryError::BlobUnknown(digest)),
            );
        }
    }
}

fn put_manifest(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    document: &Document,
    target: &Target,
) {
    let manifest = make(model, document);
    let (push_target, digest, tags, refusal) = aim(model, name, target, &manifest);
    let refusal = model
        .fault_of(&manifest)
        .or(refusal)
        .or_else(|| model.missing_of(name, &manifest));
    let push = ManifestPush {
        content: manifest.bytes.clone(),
        content_type: Some(manifest.media_type.clone()),
        target: push_target,
    };
    let question = async |registry: &Registry| registry.put_manifest(name, &push).await;
    let Some(answer) = world.answer(dropped, question) else {
        let accepted = refusal.is_none();
        return interrupted::put_manifest(world, model, name, &digest, &manifest, &tags, accepted);
    };
    let answer = answer.map(|accepted| (accepted.digest, accepted.subject));
    match refusal {
        Some(error) => same(answer, Err(error)),
        None => {
            same(answer, Ok((digest, manifest.subject)));
            model.put_manifest(name, digest, &manifest, &tags);
        }
    }
}

/// Makes a manifest of what a program says, and of manifests made before.
fn make(model: &mut Model, document: &Document) -> Manifest {
    let parts = match &document.kind {
        Kind::Image {
            config,
            layers,
            foreign,
        } => Parts::Image {
            config: *config,
            layers: layers.clone(),
            foreign: *foreign,
        },
        Kind::Index { children } => Parts::Index {
            children: children
                .iter()
                .map(|child| made(model, *child, false))
                .collect(),
        },
    };
    let subject = document.subject.map(|subject| match subject % 4 {
        0 => nothing(),
        _ => made(model, subject, false),
    });
    let manifest = Manifest::new(&parts, subject, document.artifact_type, document.fault);
    if !model.made.iter().any(|known| known.bytes == manifest.bytes) {
        model.made.push(manifest.clone());
    }
    manifest
}

/// Where a manifest goes: as the registry is told, under which digest, with
/// which tags; and why that alone is refused, if it is.
fn aim(
    model: &Model,
    name: &RepositoryName,
    target: &Target,
    manifest: &Manifest,
) -> (PushedTo, Digest, Vec<Tag>, Option<RegistryError>) {
    match target {
        Target::Digest {
            sha512,
            wrong,
            tags,
        } => {
            let actual = Digest::of(algorithm(*sha512), &manifest.bytes);
            let mut named: Vec<Tag> = tags.iter().map(|number| tag(*number)).collect();
            named.dedup();
            let expected = if *wrong {
                wrong_digest(*sha512)
            } else {
                actual
            };
            let refusal =
                (expected != actual).then_some(RegistryError::DigestMismatch { expected, actual });
            (
                PushedTo::Digest(expected, named.clone()),
                actual,
                named,
                refusal,
            )
        }
        Target::Tag(number, condition) => {
            let tag = tag(*number);
            let digest = Digest::of(Algorithm::Sha256, &manifest.bytes);
            let current = model.repository(name).tags.get(&tag).copied();
            let exactly = |digest: Digest| Some(EntityTags::Listed(vec![digest.to_string()]));
            let (if_match, if_none_match, holds) = match condition {
                Condition::None => (None, None, true),
                Condition::Absent => (None, Some(EntityTags::Any), current.is_none()),
                Condition::Present => (Some(EntityTags::Any), None, current.is_some()),
                Condition::Current => (
                    exactly(current.unwrap_or_else(nothing)),
                    None,
                    current.is_some(),
                ),
                Condition::Other => (exactly(nothing()), None, false),
            };
            let preconditions = Preconditions {
                if_match,
                if_none_match,
            };
            let refusal = (!holds).then_some(RegistryError::PreconditionFailed);
            (
                PushedTo::Tag(tag.clone(), preconditions),
                digest,
                vec![tag],
                refusal,
            )
        }
    }
}

fn wrong_digest(sha512: bool) -> Digest {
    Digest::of(algorithm(sha512), b"some other manifest")
}

fn delete_tag(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    tag: &Tag,
) {
    let question = async |registry: &Registry| registry.delete_tag(name, tag).await;
    match world.answer(dropped, question) {
        None => interrupted::delete_tag(world, model, name, tag),
        Some(answer) => {
            let was_there = model.repository_mut(name).tags.remove(tag).is_some();
            let unknown = RegistryError::ManifestUnknown(Reference::Tag(tag.clone()));
            same(answer, was_there.then_some(()).ok_or(unknown));
        }
    }
}

fn delete_manifest(
    world: &mut World,
    model: &mut Model,
    dropped: Option<usize>,
    name: &RepositoryName,
    digest: Digest,
) {
    let question = async |registry: &Registry| registry.delete_manifest(name, &digest).await;
    match world.answer(dropped, question) {
        None => interrupted::delete_manifest(world, model, name, &digest),
        Some(answer) => {
            let was_there = model.delete_manifest(name, &digest);
            let unknown = RegistryError::ManifestUnknown(Reference::Digest(digest));
            same(answer, was_there.then_some(()).ok_or(unknown));
        }
    }
}

fn expire_uploads(world: &World, model: &mut Model) {
    let before = world.clock.now() + Duration::from_secs(3600);
    let expired = world
        .ask(async |registry| registry.expire_uploads(before).await)
        .expect("the store works");
    let known = model.uploads.len() as u64;
    assert!(
        expired == known || model.has_orphans && expired > known,
        "{expired} of {known} sessions expired"
    );
    model.uploads.clear();
    model.has_orphans = false;
}

/// Cuts or removes a file behind the registry's back.
fn damage(world: &World, model: &mut Model, digest: Digest, removed: bool) {
    let (Some(file), Some(stored)) = (world.file_of(&digest), model.stored.get_mut(&digest)) else {
        return;
    };
    if stored.bytes.is_empty() || stored.damage == Damage::Gone {
        return;
    }
    if removed {
        std::fs::remove_file(file).expect("it is there");
        stored.damage = Damage::Gone;
    } else {
        let file = std::fs::File::options()
            .write(true)
            .open(file)
            .expect("it is there");
        file.set_len(stored.bytes.len() as u64 - 1)
            .expect("it can be cut");
        stored.damage = Damage::Cut;
    }
}
