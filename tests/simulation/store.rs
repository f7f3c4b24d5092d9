//! A store in memory on which every call may be held up, or fail, and a clock
//! that may jump.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use octoserve::adapters::memory::MemoryStore;
use octoserve::domain::digest::Digest;
use octoserve::domain::name::RepositoryName;
use octoserve::domain::range::ByteRange;
use octoserve::domain::record_key::{RecordKey, RecordSet};
use octoserve::domain::upload::{UploadId, UploadSession};
use octoserve::ports::blob_store::{
    AppendOutcome, BlobContent, BlobRemoval, BlobStat, BlobVersion, FinishOutcome, HashedBlob,
    Leftover, ListedBlob, UploadStatus,
};
use octoserve::ports::body::Body;
use octoserve::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, WriteOutcome,
};
use octoserve::ports::{BlobStore, Clock, RecordStore, StoreError, StoreErrorKind};

use crate::random::Random;

/// A protocol that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// Renewing a lease does nothing.
    NothingRenewed,
    /// A blob is removed whatever its version.
    VersionIgnored,
    /// A record is removed whatever its version.
    RecordVersionIgnored,
    /// Every blob is listed as if its lease were old.
    LeasesLookOld,
    /// Removing a blob does nothing.
    NothingRemoved,
}

/// A clock that a run moves, also backwards.
pub(crate) struct SteppingClock(Mutex<SystemTime>);

impl SteppingClock {
    pub(crate) fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Self(Mutex::new(start))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    pub(crate) fn set_back(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) -= by;
    }
}

impl Clock for SteppingClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a run treats storage calls.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    /// One call in so many fails; 0 for none.
    pub(crate) failures: usize,
    /// One call in so many is held up for long; 0 for none.
    pub(crate) delays: usize,
    /// What is removed must be as old as this when it is.
    pub(crate) youngest: Option<Duration>,
}

/// The store.
pub(crate) struct Stormy {
    inner: MemoryStore,
    clock: Arc<SteppingClock>,
    random: Random,
    weather: Weather,
    broken: Broken,
    is_calm: AtomicBool,
    /// How many blobs were removed younger than allowed.
    pub(crate) removed_young: AtomicUsize,
}

impl Stormy {
    pub(crate) fn new(
        clock: Arc<SteppingClock>,
        random: Random,
        weather: Weather,
        broken: Broken,
    ) -> Self {
        Self {
            inner: MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            random,
            weather,
            broken,
            is_calm: AtomicBool::new(false),
            removed_young: AtomicUsize::new(0),
        }
    }

    /// From now on every call succeeds at once.
    pub(crate) fn calm_down(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
    }

    async fn hold_up(&self) {
        if self.is_calm.load(Ordering::Relaxed) {
            return;
        }
        let mut turns = match self.random.once_in(self.weather.delays) {
            true => 5 + self.random.below(60),
            false => self.random.below(3),
        };
        poll_fn(|context| {
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn fail(&self) -> Result<(), StoreError> {
        if !self.is_calm.load(Ordering::Relaxed) && self.random.once_in(self.weather.failures) {
            let kind = StoreErrorKind::Temporary;
            return Err(StoreError::new(kind, "weather", "a storm"));
        }
        Ok(())
    }

    /// Makes a call: held up and perhaps failing before it takes effect, and
    /// after.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.hold_up().await;
        self.fail()?;
        let answer = call.await;
        self.hold_up().await;
        self.fail()?;
        answer
    }

    fn expected(&self, expected: &Expected) -> Expected {
        match (self.broken, expected) {
            (Broken::RecordVersionIgnored, Expected::Matches(_)) => Expected::Any,
            _ => expected.clone(),
        }
    }

    async fn remove(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let Some(stat) = self.inner.stat(digest).await? else {
            return Ok(BlobRemoval::Absent);
        };
        let version = match self.broken {
            Broken::NothingRemoved => return Ok(BlobRemoval::Removed),
            Broken::VersionIgnored => stat.version,
            _ => *version,
        };
        let removal = self.inner.remove_if_unchanged(digest, &version).await?;
        let age = self.clock.now().duration_since(stat.leased);
        if let Some(youngest) = self.weather.youngest
            && removal == BlobRemoval::Removed
            && age.unwrap_or_default() < youngest
        {
            self.removed_young.fetch_add(1, Ordering::Relaxed);
        }
        Ok(removal)
    }
}

#[async_trait]
impl BlobStore for Stormy {
    async fn stat(&self, digest: &Digest) -> Result<Option<BlobStat>, StoreError> {
        self.call(self.inner.stat(digest)).await
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<BlobContent>, StoreError> {
        self.call(self.inner.open(digest, range)).await
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        self.call(self.inner.read(digest, limit)).await
    }

    async fn hash(&self, digest: &Digest) -> Result<Option<HashedBlob>, StoreError> {
        self.call(self.inner.hash(digest)).await
    }

    async fn put(&self, digest: &Digest, content: Bytes) -> Result<BlobStat, StoreError> {
        self.call(self.inner.put(digest, content)).await
    }

    async fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        if self.broken == Broken::NothingRenewed {
            let stat = self.call(self.inner.stat(digest)).await?;
            return Ok(stat.is_some());
        }
        self.call(self.inner.touch(digest)).await
    }

    async fn list(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        let mut listed = self
            .call(BlobStore::list(&self.inner, after, limit))
            .await?;
        if self.broken == Broken::LeasesLookOld {
            for blob in &mut listed {
                blob.stat.leased = SystemTime::UNIX_EPOCH;
            }
        }
        Ok(listed)
    }

    async fn remove_if_unchanged(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        self.call(self.remove(digest, version)).await
    }

    async fn begin(&self, session: &UploadSession) -> Result<(), StoreError> {
        self.call(self.inner.begin(session)).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        self.call(self.inner.upload(id)).await
    }

    async fn append(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        self.call(self.inner.append(id, offset, body)).await
    }

    async fn finish(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        self.call(self.inner.finish(id, offset, body, digest)).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, StoreError> {
        self.call(self.inner.abandon(id)).await
    }

    async fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        self.call(self.inner.stale_uploads(before, limit)).await
    }

    async fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        self.call(self.inner.leftovers(before, limit)).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        self.call(self.inner.remove_leftover(leftover)).await
    }
}

#[async_trait]
impl RecordStore for Stormy {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.call(self.inner.get(key)).await
    }

    /// Each write is a call of its own: a series may be cut off anywhere.
    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        for (position, write) in writes.iter().enumerate() {
            let one = std::slice::from_ref(write);
            if self.call(self.inner.write(one)).await? != WriteOutcome::Written {
                return Ok(WriteOutcome::Conflict(position));
            }
        }
        Ok(WriteOutcome::Written)
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let expected = self.expected(expected);
        self.call(RecordStore::remove(&self.inner, key, &expected))
            .await
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.call(RecordStore::list(&self.inner, set, after, limit))
            .await
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        self.call(self.inner.repositories(after, limit)).await
    }
}
