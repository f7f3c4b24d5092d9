//! Objects in a bucket: read, compared and written in one step, removed, listed.
//!
//! **Writes that are compared** are retried here and not by OpenDAL. Of a
//! request whose answer was lost nobody knows whether it was carried out; sent
//! again, it may meet the very object that it has written, and a refusal then
//! means nothing. So a refusal after such a failure is looked into: what is
//! there is ours if it has our bytes, and if it has others, somebody may have
//! replaced ours, so that all that can be said is that the outcome is unknown.
//!
//! **A miss** is only what the bucket calls a missing key. Any other 404, such
//! as that of a bucket that has disappeared or of a proxy, is an error.

use std::error::Error;
use std::fmt::{self, Display};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use opendal::layers::RetryLayer;
use opendal::options::{ReadOptions, ReaderOptions, WriteOptions};
use opendal::{Buffer, ErrorKind, HttpTransporter, OperationContext, Operator, Writer};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::OpendalOptions;
use super::bucket_clock::BucketClock;
use super::transport::{NOT_SENT, Transport};
use crate::ports::blob_store::ContentStream;
use crate::ports::{StoreError, StoreErrorKind};

/// The first pause before a request is made again; each next one is twice as
/// long, and all are cut by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Keys that are asked for in one list request, at most: what S3 gives.
const LARGEST_PAGE: usize = 1000;

/// A bucket, or what is under a prefix in it.
#[derive(Clone)]
pub(super) struct Bucket {
    /// Retries what may be done twice without harm.
    retrying: Operator,
    /// Does everything once.
    once: Operator,
    transport: HttpTransporter,
    retries: u32,
    single_writer: bool,
    requests: Arc<AtomicU64>,
    clock: Arc<BucketClock>,
}

/// An object as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) content: Bytes,
    /// Tells its content from any other that its key has had.
    pub(super) etag: String,
    /// When it was written, by the bucket's clock.
    pub(super) modified: Option<SystemTime>,
}

/// An object as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its key, below the bucket's prefix.
    pub(super) key: String,
    /// Its length in bytes.
    pub(super) size: u64,
    /// When it was written, by the bucket's clock.
    pub(super) modified: Option<SystemTime>,
}

/// What must be under a key for a write to go ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Absent,
    Matches(String),
}

/// How a write under a condition ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was made; the object is called so now.
    Written(String),
    /// Something else is there.
    Refused,
}

impl Bucket {
    /// A bucket behind an OpenDAL operator.
    pub(super) fn new(
        operator: Operator,
        options: &OpendalOptions,
    ) -> Result<Self, std::io::Error> {
        let retries = options.retries;
        let requests = Arc::new(AtomicU64::new(0));
        let clock = Arc::new(BucketClock::default());
        let transport =
            Transport::new(options.timeouts, Arc::clone(&clock), Arc::clone(&requests))?;
        let transport = HttpTransporter::new(transport);
        let context = OperationContext::new().with_http_transport(transport.clone());
        let once = operator.with_context(context);
        let retry = RetryLayer::new()
            .with_max_times(retries as usize)
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter();
        Ok(Self {
            retrying: once.clone().layer(retry),
            once,
            transport,
            retries,
            single_writer: options.single_writer,
            requests,
            clock,
        })
    }

    /// The time of day as the bucket has it.
    pub(super) fn clock(&self) -> Arc<BucketClock> {
        Arc::clone(&self.clock)
    }

    /// How many requests have been made.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Reads an object whole.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let read = async {
            let reader = self
                .retrying
                .reader_options(key, ReaderOptions::default())
                .await?;
            let mut stream = reader.into_stream(..).await?;
            let metadata = stream.metadata().await?;
            let content: Vec<Buffer> = stream.try_collect().await?;
            let content: Buffer = content.into_iter().flatten().collect();
            Ok((metadata, content))
        };
        match read.await {
            Ok((metadata, content)) => {
                let etag = metadata.etag().ok_or_else(|| no_etag(key))?.to_owned();
                Ok(Some(Object {
                    content: content.to_bytes(),
                    etag,
                    modified: metadata.last_modified().map(SystemTime::from),
                }))
            }
            Err(error) if is_missing_key(&error) => Ok(None),
            Err(error) => Err(failed("read", key)(error)),
        }
    }

    /// Streams a part of an object that is there.
    pub(super) fn stream(&self, key: String, start: u64, end: u64) -> ContentStream {
        let operator = self.once.clone();
        let opening = async move {
            let options = ReadOptions {
                range: (start..end).into(),
                ..ReadOptions::default()
            };
            let reader = operator
                .reader_options(&key, ReaderOptions::default())
                .await
                .map_err(failed("open", &key))?;
            let stream = reader
                .into_bytes_stream(options.range)
                .await
                .map_err(failed("open", &key))?;
            let failed = move |error: std::io::Error| read_failed(&key, error);
            Ok::<_, StoreError>(stream.map_err(failed))
        };
        Box::pin(futures_util::stream::once(opening).try_flatten())
    }

    /// Writes an object under a condition, in one step.
    pub(super) async fn put_if(
        &self,
        key: &str,
        content: &Bytes,
        condition: &Condition,
    ) -> Result<Put, StoreError> {
        if self.single_writer {
            return self.put_if_here(key, content, condition).await;
        }
        let mut options = WriteOptions::default();
        match condition {
            Condition::Absent => options.if_not_exists = true,
            Condition::Matches(etag) => options.if_match = Some(etag.clone()),
        }
        let mut outcome_unknown = false;
        let mut attempt = 0;
        loop {
            let body = Buffer::from(content.clone());
            let error = match self.once.write_options(key, body, options.clone()).await {
                Ok(metadata) => {
                    let etag = metadata.etag().ok_or_else(|| no_etag(key))?;
                    return Ok(Put::Written(etag.to_owned()));
                }
                Err(error) => error,
            };
            let refused = match error.kind() {
                ErrorKind::ConditionNotMatch => true,
                ErrorKind::NotFound => is_missing_key(&error),
                _ => false,
            };
            if refused {
                return match outcome_unknown {
                    false => Ok(Put::Refused),
                    true => self.look_into(key, content).await,
                };
            }
            outcome_unknown |= !is_surely_undone(&error);
            // Stores that keep objects as files say the strangest things of a key
            // whose directory is just being removed, and mean "try again".
            let is_final = matches!(
                error.kind(),
                ErrorKind::ConfigInvalid | ErrorKind::Unsupported
            );
            if is_final || attempt == self.retries {
                return Err(failed("write", key)(error));
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// The same, where this process is the only one and the bucket does not
    /// compare: the key is locked here from the look to the write.
    async fn put_if_here(
        &self,
        key: &str,
        content: &Bytes,
        condition: &Condition,
    ) -> Result<Put, StoreError> {
        let _locked = lock_of(key).lock().await;
        let there = self.get(key).await?;
        let holds = match (condition, &there) {
            (Condition::Absent, there) => there.is_none(),
            (Condition::Matches(etag), Some(there)) => there.etag == *etag,
            (Condition::Matches(_), None) => false,
        };
        if !holds {
            return Ok(Put::Refused);
        }
        let written = self.retrying.write(key, content.clone()).await;
        let metadata = written.map_err(failed("write", key))?;
        let etag = metadata.etag().ok_or_else(|| no_etag(key))?;
        Ok(Put::Written(etag.to_owned()))
    }

    /// Fetches bytes through a link; returns the status and how many came.
    pub(super) async fn fetch_part(
        &self,
        url: &str,
        start: u64,
        end: u64,
    ) -> Result<(u16, usize), StoreError> {
        let request = http::Request::get(url)
            .header(http::header::RANGE, format!("bytes={start}-{}", end - 1))
            .body(Buffer::new());
        let request = request.map_err(|error| {
            StoreError::new(StoreErrorKind::Permanent, "ask for", "a link").caused_by(error)
        })?;
        let response = self.transport.send(request).await;
        let response = response.map_err(failed("follow", "a link"))?;
        Ok((response.status().as_u16(), response.body().len()))
    }

    /// What became of a write that was perhaps made before it was refused.
    async fn look_into(&self, key: &str, content: &Bytes) -> Result<Put, StoreError> {
        match self.get(key).await? {
            Some(object) if object.content == *content => Ok(Put::Written(object.etag)),
            _ => Err(StoreError::new(
                StoreErrorKind::Temporary,
                "tell whether it has written",
                key,
            )),
        }
    }

    /// Writes an object under a key that nobody else knows.
    pub(super) async fn put_fresh(&self, key: &str, content: Buffer) -> Result<(), StoreError> {
        let written = self.retrying.write(key, content).await;
        written.map(drop).map_err(failed("write", key))
    }

    /// Writes a large object under a key that nobody else knows, piece by piece
    /// of at least 5 MiB but for the last; `concurrency` of them at once.
    pub(super) async fn writer(&self, key: &str, concurrency: usize) -> Result<Writer, StoreError> {
        let options = WriteOptions {
            concurrent: concurrency,
            ..WriteOptions::default()
        };
        let writer = self.retrying.writer_options(key, options).await;
        writer.map_err(failed("begin to write", key))
    }

    /// Removes an object whose key may be free and taken anew in a moment, so
    /// it is asked for once: sent again after an answer that was lost, the
    /// request might remove what somebody else has written there meanwhile.
    pub(super) async fn delete_once(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.once.delete(key).await;
        deleted.map_err(failed("remove", key))
    }

    /// Removes an object under a key that is never used again; one that is not
    /// there is removed already.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.retrying.delete(key).await;
        deleted.map_err(failed("remove", key))
    }

    /// Lists the objects whose keys begin with `prefix`, which ends with `/`,
    /// in the order of their keys, those after `start_after` only. `wanted`
    /// says how many the caller is likely to take.
    pub(super) async fn list(
        &self,
        prefix: &str,
        start_after: Option<String>,
        wanted: usize,
    ) -> Result<
        impl futures_util::Stream<Item = Result<Listed, StoreError>> + Send + Unpin + use<>,
        StoreError,
    > {
        let options = opendal::options::ListOptions {
            recursive: true,
            start_after,
            limit: Some(wanted.clamp(1, LARGEST_PAGE)),
            ..Default::default()
        };
        let prefix = prefix.to_owned();
        let lister = self
            .retrying
            .lister_options(&prefix, options)
            .await
            .map_err(failed("list", &prefix))?;
        Ok(lister
            .map_err(move |error| failed("list", &prefix)(error))
            .map_ok(|entry| {
                let (key, metadata) = entry.into_parts();
                Listed {
                    key,
                    size: metadata.content_length(),
                    modified: metadata.last_modified().map(SystemTime::from),
                }
            })
            .boxed())
    }

    /// Lists what is directly under `prefix`, which ends with `/`: objects, and
    /// directories, whose keys end with `/`.
    pub(super) async fn directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let entries = self.retrying.list(prefix).await;
        let entries = entries.map_err(failed("list", prefix))?;
        let names = entries.into_iter().map(|entry| entry.path().to_owned());
        Ok(names
            .filter(|name| name.ends_with('/') && name != prefix)
            .collect())
    }

    /// A URL under which anybody may read an object until it expires.
    pub(super) async fn presign(&self, key: &str, expiry: Duration) -> Result<String, StoreError> {
        let request = self.once.presign_read(key, expiry).await;
        let request = request.map_err(failed("sign a link to", key))?;
        Ok(request.uri().to_string())
    }
}

/// The locks of a process that is the only writer, whatever buckets it has open.
static LOCKS: [Mutex<()>; 64] = [const { Mutex::const_new(()) }; 64];

fn lock_of(key: &str) -> &'static Mutex<()> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let [first, rest @ ..] = &LOCKS;
    let shard = usize::try_from(hasher.finish() % LOCKS.len() as u64).unwrap_or(0);
    rest.get(shard).unwrap_or(first)
}

/// Waits before another attempt, a random part of what it may be.
pub(super) async fn pause(attempt: u32) {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << attempt.min(8))
        .min(LONGEST_PAUSE);
    let [chance, ..] = Uuid::new_v4().into_bytes();
    tokio::time::sleep(longest.mul_f64(0.5 + f64::from(chance) / 512.0)).await;
}

/// Turns OpenDAL's errors into the ports'.
///
/// Whatever a bucket says that is not an answer may be over in a moment: it is
/// slow, its credentials are being renewed, it is being restored. So all of it
/// is temporary, but for a full one.
pub(super) fn failed(
    operation: &'static str,
    key: impl Display,
) -> impl FnOnce(opendal::Error) -> StoreError {
    move |error| {
        let kind = match is_full(&error) {
            true => StoreErrorKind::Full,
            false if is_missing_key(&error) => StoreErrorKind::Damaged,
            false => StoreErrorKind::Temporary,
        };
        StoreError::new(kind, operation, key).caused_by(Said(error))
    }
}

/// What the bucket said, without the headers that came with it.
#[derive(Debug)]
struct Said(opendal::Error);

impl Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        write!(formatter, "{}", error.message())?;
        match error.source() {
            Some(source) => write!(formatter, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for Said {}

/// What a stream of OpenDAL's says, which wraps its errors.
fn read_failed(key: &str, error: std::io::Error) -> StoreError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<opendal::Error>());
    let kind = match inner {
        Some(inner) if is_missing_key(inner) => StoreErrorKind::Damaged,
        _ => StoreErrorKind::Temporary,
    };
    StoreError::new(kind, "read", key).caused_by(error)
}

fn is_missing_key(error: &opendal::Error) -> bool {
    error.kind() == ErrorKind::NotFound && error.message().contains("NoSuchKey")
}

fn is_full(error: &opendal::Error) -> bool {
    ["QuotaExceeded", "StorageFull", "InsufficientCapacity"]
        .into_iter()
        .any(|code| error.message().contains(code))
}

/// Whether a request that failed was certainly not carried out.
fn is_surely_undone(error: &opendal::Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Conflict)
        || error.message() == NOT_SENT
}

fn no_etag(key: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Permanent, "learn the entity tag of", key)
}
