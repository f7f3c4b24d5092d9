//! Everything that can be asked of a registry, compared with the model.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use octoserve::app::RegistryError;
use octoserve::domain::descriptor::Descriptor;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::{Reference, RepositoryName, Tag};
use octoserve::domain::page::PageRequest;
use octoserve::domain::range::ByteRange;
use octoserve::domain::referrers::ReferrersRequest;
use octoserve::ports::blob_store::BlobSource;

use super::documents::{CONTENTS, REPOSITORIES, TAGS, nothing};
use super::model::{Damage, Model, Stored};
use super::perform::{described, same};
use super::world::World;

/// Asks for everything.
pub(super) fn everything(world: &mut World, model: &Model) {
    for name in REPOSITORIES.iter() {
        for content in CONTENTS.iter() {
            for sha512 in [false, true] {
                blob(world, model, name, &content.digest(sha512));
            }
        }
        blob(world, model, name, &nothing());
        manifests(world, model, name);
        pages(world, model, name, 100);
    }
    for upload in &model.uploads {
        let received = world.ask(async |registry| {
            registry
                .upload_received(&upload.repository, upload.id)
                .await
        });
        same(received, Ok(upload.data.len() as u64));
    }
    for (digest, stored) in &model.stored {
        let size = stored.bytes.len() as u64;
        let expected = match stored.damage {
            Damage::None => Some(size),
            Damage::Cut => Some(size - 1),
            Damage::Gone => None,
        };
        assert_eq!(world.stored_size(digest), expected, "{digest}");
    }
    tree(world, model);
}

fn blob(world: &World, model: &Model, name: &RepositoryName, digest: &Digest) {
    let claimed = model.repository(name).claims.contains(digest);
    let found = world.ask(async |registry| registry.find_blob(name, digest).await);
    let checked = world.ask(async |registry| registry.check_blob(name, digest).await);
    let Some(stored) = model.stored.get(digest).filter(|_| claimed) else {
        same(found, Err(RegistryError::BlobUnknown(*digest)));
        return same(checked, Err(RegistryError::BlobUnknown(*digest)));
    };
    let size = stored.bytes.len() as u64;
    let found = found.expect("it is claimed");
    assert_eq!(described(&found), (*digest, size));
    let damaged = RegistryError::BlobDamaged(*digest);
    same(
        checked.map(|blob| described(&blob)),
        match stored.damage {
            Damage::None => Ok((*digest, size)),
            Damage::Cut | Damage::Gone => Err(damaged),
        },
    );
    let part = ByteRange {
        start: size / 3,
        end: size / 3 + 1,
    };
    for range in [None, Some(part)] {
        let opened = world.ask(async |registry| registry.open_blob(&found, range).await);
        content(
            opened.map(read),
            stored,
            range,
            RegistryError::BlobDamaged(*digest),
        );
    }
}

/// What is read is what was pushed, or an error that says that it is damaged.
fn content(
    read: Result<Bytes, RegistryError>,
    stored: &Stored,
    range: Option<ByteRange>,
    damaged: RegistryError,
) {
    let whole = &stored.bytes;
    let expected = range.map_or(whole.clone(), |range| {
        let end = whole.len().min(range.end as usize);
        whole.slice(end.min(range.start as usize)..end)
    });
    match read {
        // Of what is damaged a copy may still be in memory.
        Ok(bytes) => assert!(
            bytes == expected,
            "{} bytes are not those that were pushed",
            bytes.len()
        ),
        Err(error) => {
            assert_ne!(stored.damage, Damage::None, "{error:?}");
            same::<()>(Err(error), Err(damaged));
        }
    }
}

fn read(source: BlobSource) -> Bytes {
    match source {
        BlobSource::Memory(bytes) => bytes,
        BlobSource::File(file, range) => {
            let mut bytes = vec![0; range.length() as usize];
            file.read_exact_at(&mut bytes, range.start)
                .expect("the range is in the file");
            bytes.into()
        }
        BlobSource::Remote(..) | BlobSource::Redirect(_) => {
            panic!("neither store has its bytes elsewhere")
        }
    }
}

fn manifests(world: &World, model: &Model, name: &RepositoryName) {
    let repository = model.repository(name);
    let mut references: BTreeSet<Digest> = model.stored.keys().copied().collect();
    references.insert(nothing());
    let by_digest = references
        .into_iter()
        .map(|digest| (Reference::Digest(digest), Some(digest)));
    let by_tag = TAGS.iter().map(|tag| {
        (
            Reference::Tag(tag.clone()),
            repository.tags.get(tag).copied(),
        )
    });
    for (reference, digest) in by_digest.chain(by_tag) {
        let expected = digest.and_then(|digest| Some((digest, repository.manifests.get(&digest)?)));
        let found = world.ask(async |registry| registry.find_manifest(name, &reference).await);
        let Some((digest, manifest)) = expected else {
            same(found, Err(RegistryError::ManifestUnknown(reference)));
            continue;
        };
        let found = found.expect("it is there");
        assert_eq!(*found.digest(), digest);
        assert_eq!(*found.media_type(), manifest.media_type);
        assert_eq!(found.size(), manifest.bytes.len() as u64);
        let read = world.ask(async |registry| registry.manifest_content(&found).await);
        content(
            read,
            &model.stored[&digest],
            None,
            RegistryError::ManifestDamaged(digest),
        );
    }
    let subjects: BTreeSet<Digest> = model
        .made
        .iter()
        .filter_map(|manifest| manifest.subject)
        .collect();
    for subject in subjects.iter().chain([&nothing()]) {
        for artifact_type in [None, Some("application/vnd.example.a")] {
            for limit in [None, Some(1)] {
                referrers(world, model, name, subject, artifact_type, limit);
            }
        }
    }
}

fn referrers(
    world: &World,
    model: &Model,
    name: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    limit: Option<usize>,
) {
    let repository = model.repository(name);
    let mut expected: Vec<Descriptor> = repository
        .manifests
        .iter()
        .filter(|(digest, manifest)| {
            manifest.subject == Some(*subject) && !repository.unlisted.contains(digest)
        })
        .map(|(digest, manifest)| Descriptor {
            media_type: manifest.media_type.clone(),
            digest: *digest,
            size: manifest.bytes.len() as u64,
            artifact_type: manifest.artifact_type.clone(),
            annotations: None,
        })
        .filter(|descriptor| {
            artifact_type.is_none_or(|wanted| descriptor.artifact_type.as_deref() == Some(wanted))
        })
        .collect();
    expected.sort_by_key(|descriptor| descriptor.digest.to_string());
    let mut request = ReferrersRequest {
        artifact_type: artifact_type.map(ToOwned::to_owned),
        after: None,
        limit,
    };
    let mut listed = Vec::new();
    loop {
        let page = world.ask(async |registry| registry.referrers(name, subject, &request).await);
        let page = page.expect("the store works");
        assert!(limit.is_none_or(|limit| page.descriptors.len() <= limit));
        listed.extend(page.descriptors);
        assert!(
            listed.len() <= expected.len(),
            "{listed:?} are listed, not {expected:?}"
        );
        match page.next_after {
            Some(after) => request.after = Some(after.to_string()),
            None => break,
        }
    }
    assert_eq!(listed, expected, "referrers of {subject}");
}

/// Reads the tags of a repository, and the catalog, in pages of `limit`.
pub(super) fn pages(world: &World, model: &Model, name: &RepositoryName, limit: usize) {
    let repository = model.repository(name);
    let exists = !repository.manifests.is_empty();
    let expected: Vec<&Tag> = repository.tags.keys().collect();
    let mut listed: Vec<Tag> = Vec::new();
    let mut request = PageRequest {
        limit: Some(limit),
        after: None,
    };
    loop {
        let page = match world.ask(async |registry| registry.tags(name, &request).await) {
            Ok(page) => page,
            Err(error) => {
                assert!(!exists, "{error:?}");
                same::<()>(Err(error), Err(RegistryError::NameUnknown(name.clone())));
                break;
            }
        };
        assert!(exists || repository.may_be_listed, "{name} does not exist");
        assert!(page.entries.len() <= limit);
        let more = page.more;
        listed.extend(page.entries);
        match listed.last() {
            Some(last) if more => request.after = Some(last.to_string()),
            _ => break,
        }
    }
    if limit > 0 {
        assert!(
            listed.iter().eq(expected.iter().copied()),
            "{listed:?} are listed, not {expected:?}"
        );
    } else {
        assert!(listed.is_empty());
    }

    let mut listed = Vec::new();
    let mut request = PageRequest {
        limit: Some(limit.max(1)),
        after: None,
    };
    loop {
        let page = world
            .ask(async |registry| registry.repositories(&request).await)
            .expect("the store works");
        let more = page.more;
        listed.extend(page.entries);
        match listed.last() {
            Some(last) if more => request.after = Some(last.to_string()),
            _ => break,
        }
    }
    assert!(
        listed.is_sorted() && listed.len() <= REPOSITORIES.len(),
        "{listed:?}"
    );
    for (name, repository) in &model.repositories {
        let is_listed = listed.contains(name);
        let exists = !repository.manifests.is_empty();
        assert!(
            is_listed == exists || is_listed && repository.may_be_listed,
            "{name} is listed: {is_listed}"
        );
    }
}

/// The data directory holds what the model holds, one copy of each, and nothing
/// is left in it of what failed.
fn tree(world: &World, model: &Model) {
    let (Some(root), Some(files)) = (world.directory(), world.files()) else {
        return;
    };
    let there = model
        .stored
        .iter()
        .filter(|(_, stored)| stored.damage != Damage::Gone);
    let mut expected = BTreeSet::new();
    for (digest, stored) in there {
        let file = world.file_of(digest).expect("a directory");
        let length = stored.bytes.len() - usize::from(stored.damage == Damage::Cut);
        assert!(
            files
                .get(&file)
                .is_some_and(|bytes| stored.bytes[..length] == **bytes),
            "{digest} should have {length} bytes in its file, which has {:?}",
            files.get(&file).map(Vec::len)
        );
        expected.insert(file);
    }
    let surplus: Vec<_> = files
        .keys()
        .filter(|file| !expected.contains(*file))
        .collect();
    assert!(
        surplus.is_empty(),
        "{surplus:?} are of nothing that was pushed"
    );
    let names = |directory: &str| {
        let entries = fs::read_dir(root.join(directory)).expect("a directory");
        entries.map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("ASCII")
        })
    };
    assert_eq!(
        names("staging").collect::<Vec<_>>(),
        [""; 0],
        "staged files are left"
    );
    let sessions: BTreeSet<String> = names("uploads").collect();
    let open: BTreeSet<String> = model
        .uploads
        .iter()
        .map(|upload| upload.id.to_string())
        .collect();
    assert!(
        sessions == open || model.has_orphans && sessions.is_superset(&open),
        "{sessions:?} are left"
    );
}
