//! Making files that are there whole, and still there after a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sync_queue::{SyncQueue, Unsynced};
use crate::ports::{StoreError, StoreErrorKind};

/// Files larger than this are synced on their own: nobody else is to wait for
/// so much to be written.
const LARGE: u64 = 1024 * 1024;

/// Syncs to the disk, or not at all if the operator gave that up.
pub(super) struct Durability {
    queue: Option<SyncQueue>,
}

impl Durability {
    /// For a store in `root`, which is made if it is not there.
    pub(super) fn new(root: &Path, fsync: bool) -> Result<Self, StoreError> {
        let mut changed = Vec::new();
        ensure_directory(root, &mut changed)?;
        let directory = File::open(root).map_err(failed("open", root))?;
        let durability = Self {
            queue: fsync.then(|| SyncQueue::new(directory)),
        };
        durability.sync_with_the_next(changed);
        Ok(durability)
    }

    /// Puts a file's bytes, and its length, on the disk.
    pub(super) fn sync_file(&self, file: &Arc<File>, path: &Path) -> Result<(), StoreError> {
        let Some(queue) = &self.queue else {
            return Ok(());
        };
        let length = file.metadata().map_err(failed("stat", path))?.len();
        if length > LARGE {
            return file.sync_data().map_err(failed("sync", path));
        }
        queue.sync(vec![Unsynced::File(Arc::clone(file), path.to_owned())])
    }

    /// Puts all of `items` on the disk.
    pub(super) fn sync(&self, items: Vec<Unsynced>) -> Result<(), StoreError> {
        match &self.queue {
            Some(queue) => queue.sync(items),
            None => Ok(()),
        }
    }

    /// Has all of `items` put on the disk with whatever is synced next, so before
    /// anything is acknowledged, and does not wait for it.
    pub(super) fn sync_with_the_next(&self, items: Vec<Unsynced>) {
        if let Some(queue) = &self.queue {
            queue.add(items);
        }
    }

    /// Renames a file to its place, and makes the directory if it is not there,
    /// or goes away at the same moment because it was empty. As for
    /// [`ensure_directory`] with `changed`; the directory of
    /// `target` itself is not among them.
    pub(super) fn rename(
        &self,
        from: &Path,
        target: &Path,
        changed: &mut Vec<Unsynced>,
    ) -> Result<(), StoreError> {
        const ATTEMPTS: usize = 8;
        let mut attempt = 0;
        loop {
            match fs::rename(from, target) {
                Ok(()) => return Ok(()),
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && attempt < ATTEMPTS
                        && from.exists() =>
                {
                    attempt += 1;
                    if let Some(parent) = target.parent() {
                        ensure_directory(parent, changed)?;
                    }
                }
                Err(error) => return Err(failed("rename to", target)(error)),
            }
        }
    }
}

/// Makes a directory and those above it, and adds the directories that have
/// got a new name to `changed`.
pub(super) fn ensure_directory(path: &Path, changed: &mut Vec<Unsynced>) -> Result<(), StoreError> {
    match fs::create_dir(path) {
        Ok(()) => {
            changed.extend(
                path.parent()
                    .map(|parent| Unsynced::Directory(parent.into())),
            );
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else {
                return Err(failed("create", path)(error));
            };
            ensure_directory(parent, changed)?;
            ensure_directory(path, changed)
        }
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// A file on its way to its place. Dropped before it got there, it is removed.
pub(super) struct StagedFile {
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    placed: bool,
}

impl StagedFile {
    /// Writes `content` to a new file at `path`; not synced yet.
    pub(super) fn write(path: PathBuf, content: &[u8]) -> Result<Self, StoreError> {
        let file = File::create_new(&path).map_err(failed("create", &path))?;
        let staged = Self {
            path,
            file: Arc::new(file),
            placed: false,
        };
        (&*staged.file)
            .write_all(content)
            .map_err(failed("write", &staged.path))?;
        Ok(staged)
    }

    /// The file, to be synced.
    pub(super) fn unsynced(&self) -> Unsynced {
        Unsynced::File(Arc::clone(&self.file), self.path.clone())
    }

    /// Renames the file to its place, over whatever is there.
    pub(super) fn place(
        &mut self,
        target: &Path,
        durability: &Durability,
        changed: &mut Vec<Unsynced>,
    ) -> Result<(), StoreError> {
        durability.rename(&self.path, target, changed)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.placed {
            // What is left behind here is swept by age like any other leftover.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The storage error for a failed call on a path.
pub(super) fn failed<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + use<'a> {
    move |error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            io::ErrorKind::Interrupted
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::TimedOut
            | io::ErrorKind::WouldBlock => StoreErrorKind::Temporary,
            _ if is_out_of_files(&error) => StoreErrorKind::Temporary,
            _ => StoreErrorKind::Permanent,
        };
        StoreError::new(kind, operation, path.display()).caused_by(error)
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    let code = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    matches!(
        code,
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
    )
}

/// `None` where nothing is there.
pub(super) fn if_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
