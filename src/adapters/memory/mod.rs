//! A store that lasts as long as the process: for tests, and for caches that
//! may be thrown away.

mod blobs;
mod records;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use crate::domain::digest::Digest;
use crate::domain::record_key::RecordKey;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::Clock;
use crate::ports::blob_store::BlobVersion;

/// A store in memory. Clones share what is stored.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<Digest, StoredBlob>,
    /// How often a blob has been stored or renewed.
    changes: u128,
    uploads: HashMap<UploadId, StoredUpload>,
    records: BTreeMap<RecordKey, Bytes>,
}

struct StoredBlob {
    content: Bytes,
    leased: SystemTime,
    version: BlobVersion,
}

struct StoredUpload {
    session: UploadSession,
    data: Vec<u8>,
    last_used: SystemTime,
    appending: bool,
}

impl MemoryStore {
    /// An empty store that tells the age of what it holds by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    // Each change of the state is one statement, so a panic elsewhere while the
    // mutex was held has left it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fresh_version(&mut self) -> BlobVersion {
        self.changes += 1;
        BlobVersion::new(self.changes.to_be_bytes())
    }
}
