//! What an operator decides, from defaults, `config.json` and the environment.
//!
//! A [`Document`] is the configuration as it is written, and a [`Settings`] what
//! the server takes from it; a value of either type is valid. A later layer
//! overrides an earlier one key by key: defaults, then the file, then the variables
//! of the OpenTelemetry specification, then variables `OCTOSERVE_<SECTION>_<KEY>`.

mod document;
mod keys;
mod layers;
mod load;
mod s3;
mod standard;
mod telemetry;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use crate::app::AllowMissing;

pub use self::document::Document;
pub use self::load::{Loaded, SettingsErrors, load};
use self::values::{AllowMissing as AllowMissingChoice, StorageType};

pub use self::s3::{EncryptionChoice, S3Settings};
pub use self::telemetry::{
    Compression, MetricsSettings, Protocol, Sampler, TelemetrySettings, TraceSettings,
};
pub use self::values::LogFormat;

/// All of what an operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections.
    pub server: ServerSettings,
    /// Where content is kept.
    pub storage: StorageSettings,
    /// What a manifest may refer to without its being there.
    pub allow_missing: AllowMissing,
    /// The largest manifest, in bytes.
    pub largest_manifest: u64,
    /// The largest blob, in bytes, if there is a bound.
    pub largest_blob: Option<u64>,
    /// Upload sessions.
    pub uploads: UploadSettings,
    /// Collection.
    pub collect: CollectSettings,
    /// The log.
    pub logging: LoggingSettings,
    /// Traces and metrics.
    pub telemetry: TelemetrySettings,
}

/// How connections are served.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The name or address to listen on.
    pub address: String,
    /// The port to listen on; 0 lets the kernel choose one.
    pub port: u16,
    /// How long the body of a request may make no progress.
    pub read_timeout: Duration,
    /// How long a peer may read nothing of what is sent to it.
    pub write_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// How long the head of a request, or a TLS handshake, may take.
    pub header_timeout: Duration,
    /// How long requests in flight may take after the signal to stop.
    pub drain_timeout: Duration,
    /// How many threads serve connections; none is one per core.
    pub workers: Option<usize>,
    /// The largest head of a request, in bytes.
    pub largest_head: usize,
    /// How many connections may be open; none is as many as descriptors allow.
    pub connections: Option<usize>,
    /// The certificate to serve TLS with.
    pub tls: Option<TlsFiles>,
}

/// Where a certificate and its key are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by what signed it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where content is kept, and what is remembered of it.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// The store.
    pub store: StoreSettings,
    /// How many bytes of records and small content are kept in memory.
    pub cache_size: u64,
    /// How long a deletion by another process may go unnoticed.
    pub cache_max_age: Duration,
}

/// Which store there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// A directory.
    Filesystem {
        /// The directory.
        path: PathBuf,
        /// Whether an acknowledged write survives the loss of power.
        fsync: bool,
    },
    /// A bucket.
    S3(Box<S3Settings>),
    /// Memory, for as long as the process runs.
    Memory,
}

/// How long upload sessions are kept.
#[derive(Clone, Debug)]
pub struct UploadSettings {
    /// After how long without progress a session is abandoned.
    pub expire_after: Duration,
    /// How often expired sessions are looked for.
    pub sweep_interval: Duration,
}

/// How what nothing refers to is collected.
#[derive(Clone, Debug)]
pub struct CollectSettings {
    /// How long content that nothing refers to is safe from collection.
    pub grace: Duration,
    /// How often the server collects; never if there is none.
    pub interval: Option<Duration>,
    /// How long manifests are kept that nothing needs; forever if there is none.
    pub untagged_after: Option<Duration>,
    /// How many storage operations a second collecting may make beside serving,
    /// if there is a bound.
    pub operations_per_second: Option<u32>,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LoggingSettings {
    /// Which events.
    pub filter: Targets,
    /// In which shape.
    pub format: LogFormat,
}

impl TryFrom<&Document> for Settings {
    type Error = SettingsErrors;

    fn try_from(document: &Document) -> Result<Self, SettingsErrors> {
        let server = &document.server;
        let tls = match (&server.tls.certificate, &server.tls.key) {
            (Some(certificate), Some(key)) => Some(TlsFiles {
                certificate: certificate.0.clone(),
                key: key.0.clone(),
            }),
            (None, None) => None,
            (Some(_), None) => return Err(half_of_tls("certificate", "key")),
            (None, Some(_)) => return Err(half_of_tls("key", "certificate")),
        };
        let filter = document
            .logging
            .level
            .filter()
            .ok_or_else(|| SettingsErrors::one("logging.level: it names no level"))?;
        Ok(Self {
            server: ServerSettings {
                address: server.address.0.clone(),
                port: server.port.0,
                read_timeout: server.read_timeout.0.0,
                write_timeout: server.write_timeout.0.0,
                idle_timeout: server.idle_timeout.0.0,
                header_timeout: server.header_timeout.0.0,
                drain_timeout: server.drain_timeout.0,
                workers: unless_zero(server.workers.0.into()),
                largest_head: usize::try_from(server.max_header_size.0.0).unwrap_or(usize::MAX),
                connections: unless_zero(
                    usize::try_from(server.max_connections.0).unwrap_or(usize::MAX),
                ),
                tls,
            },
            storage: StorageSettings {
                store: match document.storage.storage_type {
                    StorageType::Filesystem => StoreSettings::Filesystem {
                        path: document.storage.path.0.clone(),
                        fsync: document.storage.fsync.0,
                    },
                    StorageType::S3 => {
                        StoreSettings::S3(Box::new((&document.storage.s3).try_into()?))
                    }
                    StorageType::Memory => StoreSettings::Memory,
                },
                cache_size: document.storage.cache.size.0,
                cache_max_age: document.storage.cache.max_age.0,
            },
            allow_missing: match document.manifests.allow_missing {
                AllowMissingChoice::None => AllowMissing::None,
                AllowMissingChoice::Children => AllowMissing::Children,
                AllowMissingChoice::All => AllowMissing::All,
            },
            largest_manifest: document.manifests.max_size.0,
            largest_blob: unless_zero(document.blobs.max_size.0),
            uploads: UploadSettings {
                expire_after: document.uploads.expire_after.0.0,
                sweep_interval: document.uploads.sweep_interval.0.0,
            },
            collect: CollectSettings {
                grace: document.collect.grace.0,
                interval: Some(document.collect.interval.0).filter(|every| !every.is_zero()),
                untagged_after: document.collect.untagged_after.map(|after| after.0.0),
                operations_per_second: unless_zero(document.collect.max_operations_per_second.0),
            },
            logging: LoggingSettings {
                filter,
                format: document.logging.format,
            },
            telemetry: (&document.telemetry).into(),
        })
    }
}

fn half_of_tls(given: &str, missing: &str) -> SettingsErrors {
    SettingsErrors::one(format!(
        "server.tls.{given} is set and server.tls.{missing} is not: set both, or neither"
    ))
}

fn unless_zero<N: PartialEq + From<u8>>(number: N) -> Option<N> {
    (number != N::from(0)).then_some(number)
}
