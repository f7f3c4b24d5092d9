//! A store in a bucket, through OpenDAL, that any number of processes share.
//!
//! ```text
//! <root>/
//! ├── blobs/<algorithm>/<hex>            a pointer: where the bytes are, how many, in which parts;
//! │                                      small content is in the pointer itself
//! ├── data/<session>/<part>              bytes, written once and never moved
//! ├── manifests/<repository>/…           records, see `domain::record_key`
//! ├── repositories/<name, encoded>       one record per repository
//! └── uploads/<uuid>                     an upload session: offset, hash in the making, parts
//! ```
//!
//! **One thing is asked of the bucket**: that it writes an object only if the
//! key is free, or only if the object there is the one that was read, in one
//! step (`If-None-Match: *` and `If-Match` on PutObject). On it stands all that
//! processes agree on; there is no lock, no lease and no leader.
//!
//! **Bytes are never copied.** A body becomes an object of its own under a key
//! that nobody has had before; when it is known what it is, the pointer is
//! written, and that is the moment at which the blob exists.
//!
//! **Nothing that is compared is written twice with the same bytes**: an
//! object's entity tag is usually the hash of its bytes, so pointers and
//! sessions carry a fresh nonce each time, and so do the records that need it.
//!
//! **Nothing that is compared is simply removed.** Few stores remove on a
//! condition, so an object first becomes, by compare-and-swap, one that says
//! that it is gone; see `records` and `blobs`.
//!
//! **Time** is what the bucket says it is, so that replicas whose clocks differ
//! agree on what is old: see [`BucketClock`].

mod blobs;
mod bucket;
mod bucket_clock;
mod content;
mod framed;
mod layout;
mod leftovers;
mod pointer;
mod probe;
mod receive;
mod records;
mod session;
mod transport;
mod uploads;

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opendal::Operator;
use opendal::services::S3;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use self::bucket::{Bucket, Object};
use self::pointer::Pointer;
use self::session::Session;
use crate::domain::digest::Digest;
use crate::domain::record::RecordError;
use crate::domain::upload::UploadId;
use crate::ports::{Clock, StoreError, StoreErrorKind};

pub use self::bucket_clock::BucketClock;
pub use self::probe::Verdict;
pub use self::transport::Timeouts;

/// How long a request waits for others to be done with an object.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Pointers and sessions that are kept in memory, at most, of each.
const MOST_REMEMBERED: usize = 4096;

/// A bucket, and how to get at it.
#[derive(Clone, Debug)]
pub struct BucketOptions {
    /// The URL of the server; none is that of AWS for the region.
    pub endpoint: Option<String>,
    /// Where the bucket is; none is what `AWS_REGION` says, or `us-east-1`.
    pub region: Option<String>,
    /// Its name.
    pub bucket: String,
    /// What all keys begin with.
    pub root: String,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host_style: bool,
    /// Who asks, unless the surroundings say it.
    pub credentials: Option<Credentials>,
    /// How the server encrypts what it stores, if not as it does by itself.
    pub encryption: Option<Encryption>,
    /// Whether each request carries a CRC-32C of its body.
    pub checksums: bool,
}

/// How a server encrypts what it stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With a key of its own.
    Aes256,
    /// With a key of its key management service: this one, or its default.
    Kms(Option<String>),
}

/// An access key.
#[derive(Clone)]
pub struct Credentials {
    /// What it is called.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The token of a session, if it is of one.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// How a store deals with its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpendalOptions {
    /// The pieces that a large body is sent in, in bytes; S3 demands 5 MiB.
    pub part_size: usize,
    /// How many pieces of one body are under way at once.
    pub concurrency: usize,
    /// How long what may take.
    pub timeouts: Timeouts,
    /// How often a request is made again that failed for a moment.
    pub retries: u32,
    /// How long a link to a blob is good for; `None` streams blobs through.
    pub redirect: Option<Duration>,
    /// A body of so many bytes is announced to the other processes while it is
    /// being received.
    pub announce_after: u64,
    /// How long a pointer is remembered.
    pub pointer_max_age: Duration,
    /// This process is the only one: objects are compared here, not there.
    pub single_writer: bool,
}

impl Default for OpendalOptions {
    fn default() -> Self {
        Self {
            part_size: 5 << 20,
            concurrency: 1,
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                request: Duration::from_secs(15),
            },
            retries: 3,
            redirect: None,
            announce_after: 5 << 20,
            pointer_max_age: Duration::from_secs(1),
            single_writer: false,
        }
    }
}

/// A store in a bucket. Clones share what they remember.
#[derive(Clone)]
pub struct OpendalStore(Arc<Shared>);

struct Shared {
    bucket: Bucket,
    options: OpendalOptions,
    clock: Arc<dyn Clock>,
    pointers: Cache<Digest, (Arc<Pointer>, Instant)>,
    sessions: Cache<UploadId, (Session, String)>,
}

impl OpendalStore {
    /// A store in an S3 bucket. Nothing is asked of the bucket yet.
    ///
    /// # Errors
    /// When the options make no sense.
    pub fn s3(bucket: &BucketOptions, options: OpendalOptions) -> Result<Self, StoreError> {
        let region = bucket
            .region
            .clone()
            .or_else(|| std::env::var("AWS_REGION").ok())
            .or_else(|| std::env::var("AWS_DEFAULT_REGION").ok())
            .unwrap_or_else(|| "us-east-1".to_owned());
        let mut builder = S3::default()
            .bucket(&bucket.bucket)
            .region(&region)
            .root(&bucket.root);
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if bucket.virtual_host_style {
            builder = builder.enable_virtual_host_style();
        }
        if let Some(credentials) = &bucket.credentials {
            builder = builder
                .access_key_id(&credentials.access_key_id)
                .secret_access_key(&credentials.secret_access_key)
                .disable_config_load()
                .disable_ec2_metadata();
            if let Some(token) = &credentials.session_token {
                builder = builder.session_token(token);
            }
        }
        match &bucket.encryption {
            None => {}
            Some(Encryption::Aes256) => builder = builder.server_side_encryption_with_s3_key(),
            Some(Encryption::Kms(None)) => {
                builder = builder.server_side_encryption_with_aws_managed_kms_key();
            }
            Some(Encryption::Kms(Some(key))) => {
                builder = builder.server_side_encryption_with_customer_managed_kms_key(key);
            }
        }
        if bucket.checksums {
            builder = builder.checksum_algorithm("crc32c");
        }
        let operator =
            Operator::new(builder).map_err(|error| unusable(&bucket.bucket).caused_by(error))?;
        Self::new(operator, options).map_err(|error| unusable(&bucket.bucket).caused_by(error))
    }

    fn new(operator: Operator, options: OpendalOptions) -> Result<Self, io::Error> {
        let bucket = Bucket::new(operator, &options)?;
        Ok(Self(Arc::new(Shared {
            clock: bucket.clock(),
            bucket,
            options,
            pointers: Cache::new(MOST_REMEMBERED),
            sessions: Cache::new(MOST_REMEMBERED),
        })))
    }

    /// The same store, which tells the age of what it holds by another clock
    /// than the bucket's. Nothing is remembered yet.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            clock,
            bucket: self.0.bucket.clone(),
            options: self.0.options.clone(),
            pointers: Cache::new(MOST_REMEMBERED),
            sessions: Cache::new(MOST_REMEMBERED),
        }))
    }

    /// The time of day as the bucket has it.
    #[must_use]
    pub fn clock(&self) -> Arc<BucketClock> {
        self.0.bucket.clock()
    }

    /// How many requests have been made to the bucket.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.bucket.requests()
    }

    fn bucket(&self) -> &Bucket {
        &self.0.bucket
    }

    fn options(&self) -> &OpendalOptions {
        &self.0.options
    }

    /// Now, as precisely as it is kept.
    fn now(&self) -> SystemTime {
        pointer::whole_milliseconds(self.0.clock.now())
    }

    fn is_past(&self, time: SystemTime, age: Duration) -> bool {
        self.now().duration_since(time).is_ok_and(|past| past > age)
    }

    /// Whether an object was written longer ago, by the bucket's clock.
    fn is_older(&self, object: &Object, age: Duration) -> bool {
        let now = self.clock().now();
        object
            .modified
            .is_some_and(|modified| now.duration_since(modified).is_ok_and(|past| past > age))
    }

    fn remember_session(&self, session: Session, etag: String) {
        self.0.sessions.insert(session.begun.id, (session, etag));
    }

    /// A session as it was when it was last looked at; once.
    fn recall_session(&self, id: UploadId) -> Option<(Session, String)> {
        self.0.sessions.remove(&id).map(|(_, session)| session)
    }

    fn remember_pointer(&self, digest: &Digest, pointer: Arc<Pointer>) {
        let known = (pointer, Instant::now());
        self.0.pointers.insert(*digest, known);
    }

    fn recall_pointer(&self, digest: &Digest) -> Option<Arc<Pointer>> {
        let (pointer, learned) = self.0.pointers.get(digest)?;
        let is_fresh = learned.elapsed() <= self.0.options.pointer_max_age;
        is_fresh.then_some(pointer)
    }

    fn forget_pointer(&self, digest: &Digest) {
        self.0.pointers.remove(digest);
    }
}

/// How long a request goes on to look at an object that others change.
struct Patience<'a> {
    place: &'a str,
    end: Instant,
}

impl<'a> Patience<'a> {
    fn new(place: &'a str) -> Self {
        let end = Instant::now() + LONGEST_WAIT;
        Self { place, end }
    }

    fn spend(&mut self) -> Result<(), StoreError> {
        match Instant::now() < self.end {
            true => Ok(()),
            false => Err(StoreError::new(
                StoreErrorKind::Temporary,
                "outlast the other writers of",
                self.place,
            )),
        }
    }
}

fn unusable(bucket: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Permanent, "use the bucket", bucket)
}

fn unencodable(error: RecordError) -> StoreError {
    StoreError::new(StoreErrorKind::Permanent, "encode", "an object").caused_by(error)
}

fn damaged(key: impl Display) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, "understand", key)
}
