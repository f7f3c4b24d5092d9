//! Which stores there are, by what the operator decides.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use octoserve::adapters::clock::SystemClock;
use octoserve::adapters::filesystem::FilesystemStore;
use octoserve::adapters::http::Health;
use octoserve::adapters::memory::MemoryStore;
use octoserve::adapters::opendal::{
    BucketOptions, Credentials, Encryption, OpendalOptions, OpendalStore, Timeouts, Verdict,
};
use octoserve::adapters::settings::{EncryptionChoice, S3Settings, StorageSettings, StoreSettings};
use octoserve::ports::{BlobStore, Clock, RecordStore, StoreError};
use tokio::runtime;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

/// How often the bucket is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(5);

pub(super) type Stores = (Arc<dyn BlobStore>, Arc<dyn RecordStore>);

/// The stores, and what time it is to them.
pub(super) struct Opened {
    pub(super) stores: Stores,
    pub(super) clock: Arc<dyn Clock>,
    /// The bucket, if they are in one.
    pub(super) bucket: Option<OpendalStore>,
}

/// Opens the stores. A bucket is tried out first.
pub(super) fn open(settings: &StorageSettings) -> Result<Opened, Box<dyn Error>> {
    let opened = open_again(settings)?;
    if let Some(bucket) = &opened.bucket {
        let mut refused = Vec::new();
        for verdict in try_out(bucket)? {
            match verdict.holds {
                true => info!(point = verdict.point, seen = verdict.seen, "bucket probe"),
                false => warn!(point = verdict.point, seen = verdict.seen, "bucket probe"),
            }
            if !verdict.holds && !verdict.is_optional {
                refused.push(format!("{}: {}", verdict.point, verdict.seen));
            }
        }
        if !refused.is_empty() {
            return Err(refusal(&refused).into());
        }
    }
    Ok(opened)
}

/// Opens stores that are known to do.
pub(super) fn open_again(settings: &StorageSettings) -> Result<Opened, StoreError> {
    Ok(match &settings.store {
        StoreSettings::Filesystem { path, fsync } => {
            let store = Arc::new(FilesystemStore::open(path, *fsync)?);
            Opened {
                stores: (Arc::clone(&store) as Arc<dyn BlobStore>, store),
                clock: Arc::new(SystemClock),
                bucket: None,
            }
        }
        StoreSettings::S3(bucket) => {
            let store = open_bucket(bucket, settings.cache_max_age)?;
            Opened {
                clock: store.clock(),
                stores: (Arc::new(store.clone()), Arc::new(store.clone())),
                bucket: Some(store),
            }
        }
        StoreSettings::Memory => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
            Opened {
                stores: (Arc::clone(&store) as Arc<dyn BlobStore>, store),
                clock,
                bucket: None,
            }
        }
    })
}

fn refusal(refused: &[String]) -> String {
    format!(
        "the bucket cannot be shared between processes: {}. Use a store that writes \
         conditionally, or set storage.s3.single_writer if this is the only process",
        refused.join("; ")
    )
}

/// Looks at the configured storage, and says of each point how it is.
///
/// # Errors
/// When it cannot be used at all.
pub(crate) fn examine(settings: &StorageSettings) -> Result<Vec<Verdict>, Box<dyn Error>> {
    match &settings.store {
        StoreSettings::S3(bucket) => {
            let store = open_bucket(bucket, settings.cache_max_age)?;
            Ok(try_out(&store)?)
        }
        StoreSettings::Filesystem { path, fsync } => {
            FilesystemStore::open(path, *fsync)?;
            Ok(vec![Verdict {
                point: "data directory",
                holds: true,
                is_optional: false,
                seen: format!("{} can be written, and locks in it hold", path.display()),
            }])
        }
        StoreSettings::Memory => Ok(Vec::new()),
    }
}

fn open_bucket(settings: &S3Settings, max_age: Duration) -> Result<OpendalStore, StoreError> {
    let credentials = settings.credentials.clone();
    let bucket = BucketOptions {
        endpoint: settings.endpoint.clone(),
        region: settings.region.clone(),
        bucket: settings.bucket.clone(),
        root: settings.root.clone(),
        virtual_host_style: settings.virtual_host_style,
        credentials: credentials.map(|(access_key_id, secret_access_key, session_token)| {
            Credentials {
                access_key_id,
                secret_access_key,
                session_token,
            }
        }),
        encryption: match settings.encryption {
            EncryptionChoice::None => None,
            EncryptionChoice::Aes256 => Some(Encryption::Aes256),
            EncryptionChoice::Kms => Some(Encryption::Kms(settings.kms_key_id.clone())),
        },
        checksums: settings.checksums,
    };
    let options = OpendalOptions {
        part_size: settings.part_size,
        concurrency: settings.concurrency,
        timeouts: Timeouts {
            connect: settings.connect_timeout,
            request: settings.request_timeout,
        },
        retries: settings.retries,
        redirect: settings.redirect,
        announce_after: settings.part_size as u64,
        pointer_max_age: max_age,
        single_writer: settings.single_writer,
    };
    OpendalStore::s3(&bucket, options)
}

fn try_out(store: &OpendalStore) -> Result<Vec<Verdict>, StoreError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(store.probe()),
        Err(error) => Err(StoreError::new(
            octoserve::ports::StoreErrorKind::Permanent,
            "start",
            "a runtime",
        )
        .caused_by(error)),
    }
}

/// Tells the health check, again and again, whether the bucket answers.
pub(super) async fn watch(bucket: OpendalStore, health: Health) {
    let mut ticks = interval(PING_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answers = true;
    loop {
        ticks.tick().await;
        let pinged = bucket.ping().await;
        if let (Err(error), true) = (&pinged, answers) {
            error!(error = error as &dyn Error, "the bucket does not answer");
        }
        if pinged.is_ok() && !answers {
            info!("the bucket answers again");
        }
        answers = pinged.is_ok();
        health.storage_answers(answers);
    }
}
