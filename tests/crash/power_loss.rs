//! What is on the disk if the power goes: the system calls of every use case,
//! played back on disks that forget as much as they may.
//!
//! A disk has what was synced. Of what was not, it may have any part, and two
//! kinds of disks between them show what goes wrong:
//!
//! - one that keeps its names in order, as local file systems do with their
//!   journals: if it has one change of names it has those before it, and a sync
//!   of anything makes all names so far durable, but of the bytes only those
//!   that were synced;
//! - one that keeps nothing but what it was told to keep: the bytes of a synced
//!   file, and the names in a synced directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use octoserve::app::RegistryError;

use crate::at_system_calls::{Ground, copied, in_memory};
use crate::child::Ending;
use crate::facts::{facts, lost_or_invented};
use crate::registry::{Ports, run};
use crate::stored::{Files, Stored, files_below};
use crate::tracing::{Action, Observer, Verdict, perform, perform_below};
use crate::use_cases::UseCase;

/// An action that has succeeded, and what was in the file it has changed.
type Step = (Action, Vec<u8>);

/// Writes down what a child does.
struct Recorder {
    root: PathBuf,
    steps: Vec<Step>,
    /// Whether a sync of all of the file system is possible.
    syncs_all: bool,
}

impl Recorder {
    fn new(root: &Path, syncs_all: bool) -> Self {
        Self {
            root: root.to_owned(),
            steps: Vec::new(),
            syncs_all,
        }
    }
}

impl Observer for Recorder {
    fn before(&mut self, action: &Action) -> Verdict {
        match action {
            Action::SyncAll if !self.syncs_all => Verdict::Fail(Errno::EIO),
            _ => Verdict::Make,
        }
    }

    fn after(&mut self, action: &Action) {
        let content = match action {
            Action::Write(path) => {
                let path = self.root.join(path.trim_start_matches('/'));
                std::fs::read(path).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        self.steps.push((action.clone(), content));
    }
}

/// A file, whatever it is called.
#[derive(Clone, Default)]
struct File {
    written: Vec<u8>,
    /// What of it the disk has for sure.
    synced: Vec<u8>,
}

type Names = BTreeMap<String, usize>;

/// A disk while a use case runs.
struct Disk {
    files: Vec<File>,
    names: Names,
    directories: BTreeSet<String>,
    /// The names after each change of them that is not durable yet; the first
    /// are those that are.
    history: Vec<Names>,
    /// Of each directory, the names in it that it was last told to keep.
    kept: BTreeMap<String, BTreeMap<String, Entry>>,
}

#[derive(Clone, PartialEq)]
enum Entry {
    File(usize),
    Directory,
}

impl Disk {
    fn new(initial: &Files, directories: BTreeSet<String>) -> Self {
        let mut disk = Self {
            files: Vec::new(),
            names: Names::new(),
            directories,
            history: Vec::new(),
            kept: BTreeMap::new(),
        };
        for (path, content) in initial {
            let file = File {
                written: content.clone(),
                synced: content.clone(),
            };
            disk.files.push(file);
            disk.names.insert(path.clone(), disk.files.len() - 1);
        }
        disk.sync_all();
        disk
    }

    fn make(&mut self, (action, content): &Step) {
        match action {
            Action::Create(path) => {
                self.files.push(File::default());
                self.names.insert(path.clone(), self.files.len() - 1);
            }
            Action::Write(path) => {
                // What has no name any more is nobody's.
                if let Some(file) = self.file(path) {
                    file.written.clone_from(content);
                }
                return;
            }
            Action::Touch(_) | Action::TryLock(_) => return,
            Action::MakeDirectory(path) => {
                self.directories.insert(path.clone());
            }
            Action::RemoveDirectory(path) => {
                self.directories.remove(path);
            }
            Action::Rename(from, to) => {
                let file = self.names.remove(from).expect("it is there");
                self.names.insert(to.clone(), file);
            }
            Action::Remove(path) => {
                self.names.remove(path);
            }
            Action::SyncFile(path) => {
                if let Some(file) = self.file(path) {
                    file.synced.clone_from(&file.written);
                }
                self.history.clear();
            }
            Action::SyncDirectory(path) => {
                let entries = self.entries(path);
                self.kept.insert(path.clone(), entries);
                self.history.clear();
            }
            Action::SyncAll => {
                self.sync_all();
                return;
            }
        }
        self.history.push(self.names.clone());
    }

    fn sync_all(&mut self) {
        for file in &mut self.files {
            file.synced.clone_from(&file.written);
        }
        let directories = self.directories.iter().cloned();
        self.kept = directories
            .map(|path| (path.clone(), self.entries(&path)))
            .collect();
        self.history = vec![self.names.clone()];
    }

    fn file(&mut self, path: &str) -> Option<&mut File> {
        let file = self.names.get(path)?;
        self.files.get_mut(*file)
    }

    fn entries(&self, directory: &str) -> BTreeMap<String, Entry> {
        let name_in = |path: &String| {
            let name = path.strip_prefix(directory)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        let files = self.names.iter();
        let files = files.filter_map(|(path, file)| Some((name_in(path)?, Entry::File(*file))));
        let directories = self.directories.iter();
        let directories = directories.filter_map(|path| Some((name_in(path)?, Entry::Directory)));
        files.chain(directories).collect()
    }

    /// What it may have if it keeps its names in order.
    fn in_order(&self) -> impl Iterator<Item = Files> {
        let with_bytes = |names: &Names, all: bool| -> Files {
            let content = |file: &usize| match all {
                true => self.files[*file].written.clone(),
                false => self.files[*file].synced.clone(),
            };
            let files = names.iter();
            files
                .map(|(path, file)| (path.clone(), content(file)))
                .collect()
        };
        self.history
            .iter()
            .flat_map(move |names| [with_bytes(names, false), with_bytes(names, true)])
    }

    /// What it has at the least.
    fn at_least(&self) -> Files {
        let mut files = Files::new();
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            for (name, entry) in self.kept.get(&directory).into_iter().flatten() {
                let path = format!("{directory}/{name}");
                match entry {
                    Entry::File(file) => {
                        files.insert(path, self.files[*file].synced.clone());
                    }
                    Entry::Directory => directories.push(path),
                }
            }
        }
        files
    }
}

#[test]
fn the_power_may_go_after_every_system_call() {
    for use_case in UseCase::ALL {
        lose_power_everywhere(use_case, true);
    }
}

#[test]
fn the_power_may_go_where_files_are_synced_one_by_one() {
    for use_case in UseCase::ALL {
        lose_power_everywhere(use_case, false);
    }
}

fn lose_power_everywhere(use_case: UseCase, syncs_all: bool) {
    let ground = Ground::of(use_case);
    let directory = copied(ground.directory.path());
    let root = directory.path();
    let mut disk = Disk::new(&files_below(root), directories_below(root));
    let mut recorder = Recorder::new(root, syncs_all);
    let ending = perform(use_case, root, &mut recorder);
    assert_eq!(ending, Ending::Acknowledged, "{use_case:?}");
    for (number, step) in recorder.steps.iter().enumerate() {
        disk.make(step);
        let context = format!("{use_case:?}, power lost after step {number}, {:?}", step.0);
        for files in disk.in_order().chain([disk.at_least()]) {
            let stored = Stored::in_files(&files);
            assert_eq!(stored.faults(), [] as [String; 0], "{context}");
            let strange = lost_or_invented(&ground.before, &ground.after, &facts(&stored));
            assert_eq!(strange, [] as [String; 0], "{context}");
        }
    }
    let context = format!("{use_case:?}, power lost once it was acknowledged");
    for files in disk.in_order().chain([disk.at_least()]) {
        let stored = Stored::in_files(&files);
        assert_eq!(stored.faults(), [] as [String; 0], "{context}");
        assert_eq!(facts(&stored), ground.after, "{context}");
    }
}

#[test]
fn a_blob_that_was_lost_and_is_pushed_again_is_not_lost_again() {
    let use_case = UseCase::PushBlobThatIsThere;
    let ground = Ground::of(use_case);
    let root = ground.directory.path();
    let whole = Stored::in_files(&files_below(root));
    for shard in std::fs::read_dir(root.join("blobs/sha256")).expect("a directory") {
        std::fs::remove_dir_all(shard.expect("an entry").path()).expect("it goes");
    }
    let mut disk = Disk::new(&files_below(root), directories_below(root));
    let mut recorder = Recorder::new(root, true);
    let ending = perform(use_case, root, &mut recorder);
    assert_eq!(ending, Ending::Acknowledged);
    for step in &recorder.steps {
        disk.make(step);
    }
    let stored = Stored::in_files(&disk.at_least());
    let (digest, content) = stored.blobs.first_key_value().expect("what was pushed");
    assert_eq!(whole.blobs.get(digest), Some(content));
}

#[test]
fn a_store_that_was_made_where_there_was_nothing_is_there() {
    let use_case = UseCase::FirstPush;
    let ground = Ground::of(use_case);
    let directory = in_memory();
    let below = "/some/where/else";
    let root = directory.path().join(below.trim_start_matches('/'));
    let mut recorder = Recorder::new(directory.path(), false);
    let ending = perform_below(use_case, directory.path(), &root, &mut recorder);
    assert_eq!(ending, Ending::Acknowledged);
    let mut disk = Disk::new(&Files::new(), BTreeSet::from([String::new()]));
    for step in &recorder.steps {
        disk.make(step);
    }
    let files = disk.at_least().into_iter();
    let files: Files = files
        .filter_map(|(path, content)| Some((path.strip_prefix(below)?.to_owned(), content)))
        .collect();
    assert_eq!(facts(&Stored::in_files(&files)), ground.after);
}

#[test]
fn an_upload_is_hashed_anew_once_the_machine_has_run_anew() {
    let use_case = UseCase::FinishWithoutChunk;
    let ground = Ground::of(use_case);
    let root = ground.directory.path();
    let upload = std::fs::read_dir(root.join("uploads")).expect("a directory");
    let upload = upload.map(|entry| entry.expect("an entry").path());
    let upload = upload.last().expect("the upload that was prepared");
    // What a disk may make of bytes that were not synced: the length is right,
    // and the hash that was put aside is older than the bytes by nothing.
    let data = std::fs::read(upload.join("data")).expect("the data");
    std::fs::write(upload.join("data"), vec![0; data.len()]).expect("writes");
    let hash = std::fs::read_to_string(upload.join("hash")).expect("the hash");
    let mut hash: serde_json::Value = serde_json::from_str(&hash).expect("JSON");
    hash["boot"] = "another run".into();
    std::fs::write(upload.join("hash"), hash.to_string()).expect("writes");
    let registry = Ports::filesystem(root, true).registry(1000);
    let refused = run(use_case.perform(&registry)).expect_err("these are other bytes");
    assert!(matches!(refused, RegistryError::DigestMismatch { .. }));
}

/// The directories below one, and itself.
fn directories_below(root: &Path) -> BTreeSet<String> {
    fn walk(directory: &Path, name: String, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                let name = format!("{name}/{}", entry.file_name().to_string_lossy());
                walk(&entry.path(), name, found);
            }
        }
        found.insert(name);
    }
    let mut found = BTreeSet::new();
    walk(root, String::new(), &mut found);
    found
}
