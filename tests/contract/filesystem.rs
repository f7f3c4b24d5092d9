//! What only a directory tree can show: one copy, damage from outside, and what
//! is left lying about.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::domain::digest::Digest;
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::ports::blob_store::{BlobRemoval, BlobSource, FinishOutcome};
use octoserve::ports::record_store::{Expected, RecordWrite};
use octoserve::ports::{BlobStore, RecordStore};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};

use crate::adapters::{Adapter, run};
use crate::bodies::{LARGE, fed, whole};
use crate::names::{blob, repository, session, sha256, sha512, tag};

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

fn file_of(root: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.to_hex();
    let file = files(&root.join("blobs")).into_iter();
    let mut named = file.filter(|path| path.ends_with(&hex));
    let path = named.next().expect("the blob has a file");
    assert_eq!(named.next(), None, "the blob has one copy");
    path
}

async fn push(store: &dyn BlobStore, adapter: &Adapter, content: &Bytes, digest: &Digest) {
    let session = session(adapter);
    store.begin(&session).await.expect("begins");
    let finished = store
        .finish(session.id, Some(0), whole(content), digest)
        .await;
    assert!(matches!(
        finished.expect("finishes"),
        FinishOutcome::Finished(_)
    ));
}

#[test]
fn a_blob_is_one_file_that_is_called_by_its_digest() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 1000);
        store.put(&digest, content.clone()).await.expect("stores");
        push(&*store, &adapter, &content, &digest).await;
        push(&*adapter.blobs(), &adapter, &content, &digest).await;
        let path = file_of(&adapter.root(), &digest);
        let algorithm = adapter.root().join("blobs/sha256");
        assert!(path.starts_with(algorithm), "{}", path.display());
        assert_eq!(fs::read(path).expect("reads"), content);
    });
}

#[test]
fn a_damaged_blob_is_made_good_by_storing_it_again() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 1000);
        store.put(&digest, content.clone()).await.expect("stores");
        let path = file_of(&adapter.root(), &digest);
        for damage in [&b"rotten"[..], b"", &content[..999], &[7; 1000]] {
            fs::write(&path, damage).expect("damages");
            store.put(&digest, content.clone()).await.expect("stores");
            assert_eq!(fs::read(&path).expect("reads"), content);
            fs::write(&path, damage).expect("damages");
            push(&*store, &adapter, &content, &digest).await;
            assert_eq!(fs::read(&path).expect("reads"), content);
        }
    });
}

#[test]
fn the_hash_of_a_blob_is_that_of_the_bytes_as_they_are_stored_now() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 1000);
        store.put(&digest, content).await.expect("stores");
        let path = file_of(&adapter.root(), &digest);
        fs::write(&path, b"rotten").expect("damages");
        let hashed = store.hash(&digest).await.expect("reads").expect("a blob");
        assert_eq!(hashed.actual, sha256(b"rotten"));
        assert_eq!(hashed.stat.size, 6);
    });
}

#[test]
fn the_size_of_a_blob_is_that_of_the_bytes_as_they_are_stored_now() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 1000);
        store.put(&digest, content.clone()).await.expect("stores");
        let path = file_of(&adapter.root(), &digest);
        let file = File::options().write(true).open(&path).expect("opens");
        file.set_len(700).expect("truncates");
        let stat = store.stat(&digest).await.expect("looks").expect("a blob");
        assert_eq!(stat.size, 700);
        let opened = store.open(&digest, None).await.expect("opens");
        assert_eq!(opened.expect("a blob").size, 700);
        fs::remove_file(&path).expect("removes");
        assert_eq!(store.stat(&digest).await.expect("looks"), None);
        assert!(!store.touch(&digest).await.expect("looks"));
    });
}

#[test]
fn what_was_opened_stays_readable_when_the_blob_is_removed() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, LARGE);
        store.put(&digest, content.clone()).await.expect("stores");
        let opened = store.open(&digest, None).await.expect("opens");
        fs::remove_file(file_of(&adapter.root(), &digest)).expect("removes");
        let BlobSource::File(file, range) = opened.expect("a blob").source else {
            panic!("a blob of this store is a file");
        };
        assert_eq!(range.length(), LARGE as u64);
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut &*file, &mut read).expect("reads");
        assert!(content == read);
    });
}

/// Removing the bytes of a large file takes a while, in which nobody is to wait
/// for the lock that they share with other blobs.
#[test]
fn a_blob_that_is_removed_leaves_its_place_before_its_bytes_go() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 10);
        store.put(&digest, content).await.expect("stores");
        let version = store.stat(&digest).await.expect("looks");
        let version = version.expect("it is there").version;
        let path = file_of(&adapter.root(), &digest);
        let staging = adapter.root().join("staging");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("watches");
        let events = WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        for directory in [path.parent().expect("a directory"), &staging] {
            inotify::add_watch(&watch, directory, events).expect("watches");
        }
        let removed = store.remove_if_unchanged(&digest, &version).await;
        assert_eq!(removed.expect("removes"), BlobRemoval::Removed);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(watch, &mut buffer);
        let mut seen = Vec::new();
        while let Ok(event) = reader.next() {
            seen.push(event.events());
        }
        let expected = [
            ReadFlags::MOVED_FROM,
            ReadFlags::MOVED_TO,
            ReadFlags::DELETE,
        ];
        assert_eq!(seen, expected);
        assert_eq!(files(&staging), [""; 0].map(PathBuf::from));
    });
}

#[test]
fn a_blob_that_cannot_leave_its_place_first_is_removed_there() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 10);
        store.put(&digest, content).await.expect("stores");
        let version = store.stat(&digest).await.expect("looks");
        let version = version.expect("it is there").version;
        fs::remove_dir(adapter.root().join("staging")).expect("removes");
        let removed = store.remove_if_unchanged(&digest, &version).await;
        assert_eq!(removed.expect("removes"), BlobRemoval::Removed);
        assert_eq!(store.stat(&digest).await.expect("looks"), None);
    });
}

#[test]
fn a_hash_put_aside_that_is_damaged_or_gone_is_made_anew() {
    run(async {
        let adapter = Adapter::filesystem();
        let (content, digest) = blob(1, 2000);
        let (other, _) = blob(2, 2000);
        let store = adapter.blobs();
        let sessions = crate::names::sessions(&adapter, 5);
        let [foreign, sessions @ ..] = <[_; 5]>::try_from(sessions).expect("five sessions");
        let upload = |id: octoserve::domain::upload::UploadId| {
            adapter.root().join("uploads").join(id.to_string())
        };
        // The hash of an upload that had less, and other bytes at that.
        store.begin(&foreign).await.expect("begins");
        super::blob_store::appended(&*store, foreign.id, &other.slice(..500)).await;
        let lagging = fs::read(upload(foreign.id).join("hash"));
        for (session, damage) in sessions.iter().zip(["", "{", "torn", "gone"]) {
            store.begin(session).await.expect("begins");
            super::blob_store::appended(&*store, session.id, &content.slice(..1000)).await;
            let hash = upload(session.id).join("hash");
            // Where nothing was put aside there is nothing to damage.
            match (damage, fs::read(&hash)) {
                (_, Err(_)) => {}
                ("gone", Ok(_)) => fs::remove_file(&hash).expect("removes"),
                ("torn", Ok(whole)) => {
                    fs::write(&hash, &whole[..whole.len() / 2]).expect("damages");
                }
                (text, Ok(_)) => fs::write(&hash, text).expect("damages"),
            }
            let rest = whole(&content.slice(1000..));
            let finished = store.finish(session.id, Some(1000), rest, &digest).await;
            let finished = finished.expect("finishes");
            assert!(
                matches!(finished, FinishOutcome::Finished(_)),
                "{damage}: {finished:?}"
            );
        }
        assert!(lagging.is_ok(), "an append puts a hash aside");
    });
}

#[test]
fn nothing_is_left_behind() {
    run(async {
        let adapter = Adapter::filesystem();
        let opened = adapter.open();
        let store = &opened.blobs;
        let (content, digest) = blob(1, LARGE);
        store.put(&digest, content.clone()).await.expect("stores");
        push(&**store, &adapter, &content, &digest).await;
        // Finished as something else, broken off, abandoned.
        let session = session(&adapter);
        store.begin(&session).await.expect("begins");
        let wrong = sha512(b"wrong");
        let finished = store
            .finish(session.id, None, whole(&content), &wrong)
            .await;
        assert!(matches!(
            finished.expect("answers"),
            FinishOutcome::DigestDiffers { .. }
        ));
        let (feed, body) = fed();
        feed.send(&content);
        feed.fail(octoserve::ports::body::BodyError::Interrupted);
        store.append(session.id, None, body).await.expect("answers");
        assert!(store.abandon(session.id).await.expect("abandons"));
        // A conflict, and removals.
        let key = tag("a", "v1");
        for (value, expected) in [("one", Expected::Absent), ("two", Expected::Absent)] {
            let value = Bytes::from_static(value.as_bytes());
            let write = RecordWrite {
                key: key.clone(),
                value,
                expected,
            };
            opened.records.write(&[write]).await.expect("answers");
        }
        opened
            .records
            .remove(&key, &Expected::Any)
            .await
            .expect("removes");

        let root = adapter.root();
        for part in ["staging", "uploads", "manifests", "repositories"] {
            assert_eq!(files(&root.join(part)), [] as [PathBuf; 0], "in {part}");
        }
        assert_eq!(files(&root.join("blobs")), [file_of(&root, &digest)]);
    });
}

#[test]
fn files_of_somebody_else_are_no_records() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.records();
        let write = |key: RecordKey| RecordWrite {
            key,
            value: Bytes::from_static(b"value"),
            expected: Expected::Any,
        };
        let name = repository("a");
        let revision = RecordKey::Revision(name.clone(), sha256(b"one"));
        let writes = [
            write(RecordKey::Repository(name.clone())),
            write(revision.clone()),
            write(tag("a", "v1")),
        ];
        store.write(&writes).await.expect("writes");
        let root = adapter.root();
        for foreign in [
            "repositories/UPPER",
            "repositories/.nfs0001",
            "manifests/a/_tags/.hidden",
            "manifests/a/_tags/with space",
            "manifests/a/_revisions/sha256/short",
            "manifests/a/_revisions/README",
            "uploads/not-a-uuid",
            "uploads/00000000-0000-4000-8000-000000000000",
        ] {
            fs::create_dir_all(root.join(foreign).parent().expect("a parent")).expect("makes");
            fs::write(root.join(foreign), "foreign").expect("writes");
        }
        for store in [store, adapter.records()] {
            let list = async |set| store.list(&set, None, 10).await.expect("lists");
            assert_eq!(list(RecordSet::Repositories).await.len(), 1);
            assert_eq!(list(RecordSet::Tags(name.clone())).await, [tag("a", "v1")]);
            let revisions = list(RecordSet::Revisions(name.clone())).await;
            assert_eq!(revisions, std::slice::from_ref(&revision));
        }
        let before = adapter.now() + std::time::Duration::from_secs(3600);
        let stale = adapter
            .blobs()
            .stale_uploads(before, 10)
            .await
            .expect("lists");
        assert_eq!(stale, []);
    });
}

#[test]
fn a_file_that_never_got_to_its_place_is_a_leftover_once_it_is_old() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 10);
        store.put(&digest, content).await.expect("stores");
        let staging = adapter.root().join("staging");
        fs::write(staging.join("old"), "cut off").expect("writes");
        adapter.age(std::time::Duration::from_secs(3600));
        fs::write(staging.join("new"), "under way").expect("writes");

        let before = adapter.now() - std::time::Duration::from_secs(1800);
        let leftovers = store.leftovers(before, 10).await.expect("lists");
        let [leftover] = leftovers.as_slice() else {
            panic!("one is old: {leftovers:?}");
        };
        assert_eq!(leftover.size, 7);
        assert!(store.remove_leftover(leftover).await.expect("removes"));
        assert!(!store.remove_leftover(leftover).await.expect("looks"));
        assert_eq!(store.leftovers(before, 10).await.expect("lists"), []);
        assert_eq!(files(&staging), [staging.join("new")]);
        assert!(store.stat(&digest).await.expect("looks").is_some());
    });
}

#[test]
fn what_is_no_blob_is_not_listed_among_them() {
    run(async {
        let adapter = Adapter::filesystem();
        let store = adapter.blobs();
        let (content, digest) = blob(1, 10);
        store.put(&digest, content).await.expect("stores");
        let blobs = adapter.root().join("blobs/sha256");
        let other = sha256(b"in the wrong place").to_hex();
        for foreign in ["zz/foreign", "00/short", &format!("zz/{other}")] {
            let path = blobs.join(foreign);
            fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
            fs::write(path, "foreign").expect("writes");
        }
        let listed = store.list(None, 10).await.expect("lists");
        let listed: Vec<_> = listed.iter().map(|blob| blob.digest).collect();
        assert_eq!(listed, [digest]);
    });
}

#[test]
fn a_store_is_opened_where_there_is_nothing_yet() {
    run(async {
        let directory = tempfile::TempDir::new().expect("a temporary directory");
        let root = directory.path().join("some/where/else");
        let store = FilesystemStore::open(&root, true).expect("opens");
        let key = RecordKey::Repository(repository("a"));
        assert_eq!(store.get(&key).await.expect("reads"), None);
        // Empty directories may be tidied away by whoever looks after the disk;
        // they are made again.
        for part in ["manifests", "blobs"] {
            fs::remove_dir(root.join(part)).expect("an empty directory");
        }
        let store = FilesystemStore::open(&root, true).expect("opens");
        let (content, digest) = blob(1, 10);
        store.put(&digest, content).await.expect("stores");
    });
}

#[test]
fn a_store_that_cannot_be_opened_says_why() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("file");
    fs::write(&file, "a file, not a directory").expect("writes");
    let refused = FilesystemStore::open(&file, true);
    let message = refused
        .map(|_| ())
        .expect_err("it is no directory")
        .to_string();
    assert!(message.contains("file"), "{message}");
}

#[test]
fn a_relative_root_is_a_store() {
    // The default is ./data, so a root without a parent must do.
    let root = PathBuf::from(format!("contract-relative-{}", std::process::id()));
    let opened = FilesystemStore::open(&root, true).map(|_| ());
    fs::remove_dir_all(&root).expect("it was made");
    opened.expect("opens");
}
