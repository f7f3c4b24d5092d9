//! The files of an upload session.
//!
//! `session.json` says what was said when it began, and is locked by whoever
//! appends; a session is there as long as this file is. `data` is what has been
//! received, so its length is the offset: nothing else needs to agree with it.
//! `hash` is a hash of some prefix of the data, put aside so that the next
//! chunk need not read the data again. It may lag behind, be missing or be
//! damaged: then the data is read from where it ends, or from the start. It is
//! of what was written, which is what the file has as long as the machine runs;
//! after a loss of power the file may have less, or zeros, of the same length.
//! So it says in which run of the machine it was made, and means nothing in
//! another one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durability::{failed, if_found};
use crate::domain::digest::Algorithm;
use crate::domain::hasher::{Hasher, SuspendedHasher};
use crate::domain::name::RepositoryName;
use crate::domain::record::{decode, encode};
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::{StoreError, StoreErrorKind};

/// `session.json`.
#[derive(Serialize, Deserialize)]
struct SessionFile {
    v: u32,
    repository: RepositoryName,
    algorithm: String,
    #[serde(with = "crate::domain::record::rfc3339")]
    started: SystemTime,
}

/// `hash`.
#[derive(Serialize, Deserialize)]
struct HashFile {
    /// The run of the machine that it was made in.
    boot: String,
    offset: u64,
    hasher: SuspendedHasher,
}

/// Names this run of the machine. Where the machine does not tell, each process
/// trusts only itself.
static BOOT: LazyLock<String> = LazyLock::new(|| {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(
        |_| Uuid::new_v4().to_string(),
        |boot| boot.trim_end().to_owned(),
    )
});

/// The directory of a session.
pub(super) struct SessionDirectory {
    pub(super) path: PathBuf,
}

impl SessionDirectory {
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn session(&self) -> PathBuf {
        self.path.join("session.json")
    }

    fn hash(&self) -> PathBuf {
        self.path.join("hash")
    }

    pub(super) fn create(&self, session: &UploadSession) -> Result<(), StoreError> {
        fs::create_dir(&self.path).map_err(failed("create", &self.path))?;
        let file = SessionFile {
            v: 1,
            repository: session.repository.clone(),
            algorithm: session.algorithm.as_str().to_owned(),
            started: session.started,
        };
        let path = self.session();
        let content = encode(&file).map_err(|error| {
            StoreError::new(StoreErrorKind::Permanent, "encode", path.display()).caused_by(error)
        })?;
        fs::write(&path, content).map_err(|error| {
            // Nobody knows this session. What cannot be removed is stale soon.
            let _ = self.remove();
            failed("write", &path)(error)
        })
    }

    /// What was said when the session began; `None` if there is none.
    pub(super) fn read(&self, id: UploadId) -> Result<Option<UploadSession>, StoreError> {
        let path = self.session();
        let content = if_found(fs::read(&path)).map_err(failed("read", &path))?;
        let Some(content) = content else {
            return Ok(None);
        };
        let damaged = || StoreError::new(StoreErrorKind::Damaged, "read", path.display());
        let file: SessionFile = decode(&content).map_err(|error| damaged().caused_by(error))?;
        let algorithm: Algorithm = file
            .algorithm
            .parse()
            .map_err(|error| damaged().caused_by(error))?;
        Ok(Some(UploadSession {
            id,
            repository: file.repository,
            algorithm,
            started: file.started,
        }))
    }

    /// How many bytes have been received.
    pub(super) fn received(&self) -> Result<u64, StoreError> {
        let path = self.data();
        let metadata = if_found(fs::metadata(&path)).map_err(failed("stat", &path))?;
        Ok(metadata.map_or(0, |metadata| metadata.len()))
    }

    /// Takes the session for appending.
    pub(super) fn take(&self) -> Result<Taken, StoreError> {
        let path = self.session();
        let lock = if_found(File::open(&path)).map_err(failed("open", &path))?;
        let Some(lock) = lock else {
            return Ok(Taken::Unknown);
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Taken::Busy),
            Err(error) => return Err(failed("lock", &path)(error.into())),
        }
        // Whoever held the lock before may have ended the session.
        if if_found(fs::metadata(&path))
            .map_err(failed("stat", &path))?
            .is_none()
        {
            return Ok(Taken::Unknown);
        }
        let path = self.data();
        let data = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let Some(data) = if_found(data).map_err(failed("open", &path))? else {
            return Ok(Taken::Unknown);
        };
        let received = data.metadata().map_err(failed("stat", &path))?.len();
        Ok(Taken::Taken(Upload {
            _lock: lock,
            data: Arc::new(data),
            received,
        }))
    }

    /// The hash of the first `received` bytes of the data: the one put aside,
    /// brought up to date by reading what came after it.
    pub(super) fn hasher(
        &self,
        data: &File,
        received: u64,
        algorithm: Algorithm,
    ) -> Result<Hasher, StoreError> {
        if received == 0 {
            return Ok(Hasher::new(algorithm));
        }
        let aside = fs::read(self.hash())
            .ok()
            .and_then(|content| decode::<HashFile>(&content).ok())
            .filter(|aside| aside.boot == *BOOT && aside.offset <= received)
            .and_then(|aside| Some((aside.offset, Hasher::resume(&aside.hasher)?)))
            .filter(|(_, hasher)| hasher.algorithm() == algorithm);
        let (mut hashed, mut hasher) = aside.unwrap_or((0, Hasher::new(algorithm)));
        let path = self.data();
        let mut buffer = vec![0; 256 * 1024];
        while hashed < received {
            let wanted = usize::try_from(received - hashed)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let buffer = buffer.get_mut(..wanted).unwrap_or_default();
            data.read_exact_at(buffer, hashed)
                .map_err(failed("read", &path))?;
            hasher.update(buffer);
            hashed += wanted as u64;
        }
        Ok(hasher)
    }

    /// Puts a hash of the first `offset` bytes aside; `false` if the session was
    /// cancelled meanwhile, so that it has no directory any more.
    pub(super) fn put_hash_aside(&self, offset: u64, hasher: &Hasher) -> Result<bool, StoreError> {
        let file = HashFile {
            boot: BOOT.clone(),
            offset,
            hasher: hasher.suspend(),
        };
        let path = self.hash();
        let content = encode(&file).map_err(|error| {
            StoreError::new(StoreErrorKind::Permanent, "encode", path.display()).caused_by(error)
        })?;
        // Torn by a crash or a full disk it does not parse, and is as good as
        // missing: no reason to refuse bytes that are there.
        match if_found(File::create(&path)) {
            Ok(Some(mut file)) => Ok(file.write_all(&content).is_ok() || self.path.exists()),
            Ok(None) => Ok(false),
            Err(_) => Ok(true),
        }
    }

    /// Ends the session; `false` if it had ended already.
    pub(super) fn remove(&self) -> Result<bool, StoreError> {
        let path = self.session();
        let removed = if_found(fs::remove_file(&path)).map_err(failed("remove", &path))?;
        // A request that still appends may put a file into the directory just
        // now. What stays is no session, and is swept when it is stale.
        if fs::remove_dir(&self.path).is_err() {
            let _ = fs::remove_dir_all(&self.path);
        }
        Ok(removed.is_some())
    }

    /// When something last happened to the session; `None` if there is none.
    pub(super) fn last_used(&self) -> Result<Option<SystemTime>, StoreError> {
        let modified = |path: &Path| {
            let metadata = if_found(fs::metadata(path)).map_err(failed("stat", path))?;
            let modified = metadata.map(|metadata| metadata.modified());
            modified.transpose().map_err(failed("stat", path))
        };
        Ok(modified(&self.path)?.max(modified(&self.data())?))
    }
}

/// What came of taking a session.
pub(super) enum Taken {
    Taken(Upload),
    /// Somebody else appends to it.
    Busy,
    Unknown,
}

/// A session that nobody else appends to while this exists.
pub(super) struct Upload {
    _lock: File,
    pub(super) data: Arc<File>,
    pub(super) received: u64,
}
