//! Records that do not read back are errors, and never taken for absent.

use std::fs;
use std::path::{Path, PathBuf};

use octoserve::app::{Registry, RegistryError};
use octoserve::domain::name::Reference;
use octoserve::domain::referrers::ReferrersRequest;
use octoserve::ports::StoreErrorKind;
use tempfile::TempDir;

use crate::content::{digest, tag};
use crate::registry::{Ports, run};
use crate::stored::{Stored, files_below};
use crate::use_cases::{PREPARED, UseCase, home, layers, new, referrer};

/// What a broken disk, or a hand that slipped, makes of a file.
const DAMAGES: [fn(&Path); 4] = [
    |file| fs::write(file, "").expect("writes"),
    |file| fs::write(file, [0; 64]).expect("writes"),
    |file| {
        let content = fs::read(file).expect("reads");
        fs::write(file, &content[..content.len() / 2]).expect("writes");
    },
    |file| {
        fs::remove_file(file).expect("removes");
        fs::create_dir(file).expect("a directory");
    },
];

/// Looks for what a record is about.
type Look = fn(&Registry) -> Result<(), RegistryError>;

fn check(part: &str, look: Look) {
    for damage in DAMAGES {
        let directory = TempDir::new().expect("a temporary directory");
        let root = directory.path();
        let registry = Ports::filesystem(root, false).registry(PREPARED);
        let ground = UseCase::DeleteReferrer;
        run(ground.prepare(&registry)).expect("the ground of the use case");
        run(UseCase::PushReferrer.perform(&registry)).expect("is pushed");
        look(&registry).expect("it is there");
        for file in records(root, part) {
            damage(&file);
        }
        // Neither a process that knew the record nor one that did not.
        for registry in [registry, Ports::filesystem(root, false).registry(1000)] {
            match look(&registry) {
                Err(RegistryError::Storage(error)) => {
                    let kind = error.kind();
                    let expected = [StoreErrorKind::Damaged, StoreErrorKind::Permanent];
                    assert!(expected.contains(&kind), "{part}: {error}");
                }
                other => panic!("{part}: {other:?}"),
            }
        }
    }
}

/// The record files of one kind.
fn records(root: &Path, part: &str) -> Vec<PathBuf> {
    let files = files_below(root).into_keys();
    let below = format!("/{part}/");
    let of_this_kind: Vec<PathBuf> = files
        .filter(|path| path.contains(&below))
        .map(|path| root.join(path.trim_start_matches('/')))
        .collect();
    assert!(!of_this_kind.is_empty(), "there are {part}");
    of_this_kind
}

#[test]
fn a_tag_that_does_not_read_is_an_error() {
    check("_tags", |registry| {
        let reference = Reference::Tag(tag("v1"));
        run(registry.find_manifest(&home(), &reference)).map(drop)
    });
}

#[test]
fn a_revision_that_does_not_read_is_an_error() {
    check("_revisions", |registry| {
        let reference = Reference::Digest(referrer().digest());
        run(registry.find_manifest(&home(), &reference)).map(drop)
    });
}

#[test]
fn a_claim_that_does_not_read_is_an_error_until_the_blob_is_pushed_again() {
    check("_blobs", |registry| {
        let digest = digest(&layers()[0]);
        run(registry.find_blob(&home(), &digest)).map(drop)
    });
    let directory = TempDir::new().expect("a temporary directory");
    let registry = Ports::filesystem(directory.path(), false).registry(PREPARED);
    run(UseCase::FirstPush.perform(&registry)).expect("is pushed");
    let whole = Stored::in_files(&files_below(directory.path()));
    for file in records(directory.path(), "_blobs") {
        fs::write(file, "").expect("writes");
    }
    run(UseCase::FirstPush.perform(&registry)).expect("is pushed again");
    let repaired = Stored::in_files(&files_below(directory.path()));
    assert_eq!(repaired.faults(), [] as [String; 0]);
    assert_eq!(repaired.claims, whole.claims);
}

#[test]
fn a_referrer_that_does_not_read_is_an_error() {
    check("_referrers", |registry| {
        let request = ReferrersRequest::default();
        let subject = new().digest();
        run(registry.referrers(&home(), &subject, &request)).map(drop)
    });
}
