//! Syncing for many at once.
//!
//! What a sync costs is mostly the disk's own flush, and the journal's commit
//! before it; both cover whatever was written before. So while one sync runs,
//! those who come wait, and the next one is for all of them. A batch of several
//! is one `syncfs`. That also writes what others have left unwritten on the
//! file system; if that was much, as its duration tells, the next batches are
//! synced file by file for a while.
//!
//! An error of a `syncfs` may be about a file of nobody's, and is told only once
//! though it be about a file of the next batch. Each file tells its own errors.
//! So after one everything is synced file by file, for good.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::durability::{failed, if_found};
use crate::ports::StoreError;

/// Something to put on the disk.
#[derive(Clone)]
pub(super) enum Unsynced {
    /// A file's bytes and its length. The path is for errors.
    File(Arc<File>, PathBuf),
    /// The names in a directory.
    Directory(PathBuf),
}

/// A batch of fewer is synced one by one.
const WORTH_SYNCFS: usize = 3;

/// A `syncfs` that took longer had more to write than what we wait for.
const SLOW: Duration = Duration::from_millis(250);

/// How long it is not used then.
const PAUSE: Duration = Duration::from_secs(5);

/// Gathers what is to be synced into batches.
pub(super) struct SyncQueue {
    root: File,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gathering: Arc<Batch>,
    waiting: Vec<Unsynced>,
    /// What nobody waits for, but whoever waits for anything relies on.
    added: Vec<Unsynced>,
    syncing: bool,
    together: Together,
}

/// Whether batches are synced by `syncfs`.
#[derive(Clone, Copy, Default)]
enum Together {
    #[default]
    Always,
    After(Instant),
    Never,
}

/// Those who wait for the same sync.
#[derive(Default)]
struct Batch {
    outcome: OnceLock<Result<(), StoreError>>,
    changed: Condvar,
}

impl SyncQueue {
    /// A queue for the file system that `root`, an open directory, lies on.
    pub(super) fn new(root: File) -> Self {
        Self {
            root,
            state: Mutex::default(),
        }
    }

    /// Has `items` synced with every batch until one succeeds.
    pub(super) fn add(&self, items: Vec<Unsynced>) {
        self.state().added.extend(items);
    }

    /// Returns when all of `items` are on the disk.
    pub(super) fn sync(&self, items: Vec<Unsynced>) -> Result<(), StoreError> {
        if items.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        state.waiting.extend(items);
        let batch = Arc::clone(&state.gathering);
        loop {
            if let Some(outcome) = batch.outcome.get() {
                return outcome.clone();
            }
            state = match state.syncing {
                false => self.sync_gathered(state),
                true => batch
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Syncs the batch that has gathered, and wakes those who wait for it and
    /// one of those who have come since, to sync the next one.
    fn sync_gathered<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let batch = std::mem::take(&mut state.gathering);
        let mut items = std::mem::take(&mut state.waiting);
        let added = std::mem::take(&mut state.added);
        items.extend(added.iter().cloned());
        state.syncing = true;
        let started = Instant::now();
        let may = match state.together {
            Together::Always => true,
            Together::After(pause) => started >= pause,
            Together::Never => false,
        };
        drop(state);
        let mut next = None;
        let outcome = if may && items.len() >= WORTH_SYNCFS {
            let together = rustix::fs::syncfs(&self.root);
            if together.is_err() {
                next = Some(Together::Never);
            } else if started.elapsed() > SLOW {
                next = Some(Together::After(Instant::now() + PAUSE));
            }
            together.or_else(|_| sync_one_by_one(&items))
        } else {
            sync_one_by_one(&items)
        };
        let mut state = self.state();
        state.together = next.unwrap_or(state.together);
        state.syncing = false;
        if outcome.is_err() {
            state.added.extend(added);
        }
        // Nobody else has this batch's outcome to tell.
        let _ = batch.outcome.set(outcome);
        batch.changed.notify_all();
        state.gathering.changed.notify_one();
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs in the given order, each directory once: where it is named last, so
/// that it never comes before what its names rely on.
fn sync_one_by_one(items: &[Unsynced]) -> Result<(), StoreError> {
    let mut last: HashMap<&Path, usize> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        if let Unsynced::Directory(path) = item {
            last.insert(path, position);
        }
    }
    for (position, item) in items.iter().enumerate() {
        match item {
            Unsynced::File(file, path) => file.sync_data().map_err(failed("sync", path))?,
            Unsynced::Directory(path) if last.get(path.as_path()) == Some(&position) => {
                let (path, directory) = nearest_directory(path)?;
                directory.sync_all().map_err(failed("sync", path))?;
            }
            Unsynced::Directory(_) => {}
        }
    }
    Ok(())
}

/// Opens a directory, or the nearest one above it: one that was empty may have
/// been removed, and then it is its parent's names that have changed.
fn nearest_directory(path: &Path) -> Result<(&Path, File), StoreError> {
    for nearest in path.ancestors() {
        // What a relative path is relative to.
        let nearest = match nearest == Path::new("") {
            true => Path::new("."),
            false => nearest,
        };
        if let Some(directory) = if_found(File::open(nearest)).map_err(failed("open", nearest))? {
            return Ok((nearest, directory));
        }
    }
    let gone = std::io::ErrorKind::NotFound.into();
    Err(failed("open", path)(gone))
}
