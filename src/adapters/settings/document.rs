//! A configuration as it is written: every key with its value and its default.
//!
//! The defaults' own structure is the list of keys: the names of environment
//! variables, the check for unknown keys and the suggestions are derived from
//! it, so a key that is added here is known everywhere.

use serde::{Deserialize, Serialize};

use super::s3::{
    Checksum, Concurrency, EncryptionChoice, PartSize, Prefix, Redirect, Retries, Secret, Text,
};
use super::telemetry::{
    Compression, Exporter, Headers, Protocol, QueueSize, Ratio, ResourceAttributes, Sampler,
    ServiceName, Url,
};
use super::values::{
    AllowMissing, Bytes, Flag, HeadSize, Host, LogFormat, LogLevel, MaxConnections, MaxOperations,
    Path, Period, Port, StorageType, Timeout, Workers,
};

/// The whole of `config.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Document {
    pub(super) server: Server,
    pub(super) storage: Storage,
    pub(super) manifests: Manifests,
    pub(super) blobs: Blobs,
    pub(super) uploads: Uploads,
    pub(super) collect: Collect,
    pub(super) logging: Logging,
    pub(super) telemetry: Telemetry,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    pub(super) address: Host,
    pub(super) port: Port,
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
    pub(super) idle_timeout: Timeout,
    pub(super) header_timeout: Timeout,
    pub(super) drain_timeout: Period,
    pub(super) workers: Workers,
    pub(super) max_header_size: HeadSize,
    pub(super) max_connections: MaxConnections,
    pub(super) tls: Tls,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: Host("localhost".to_owned()),
            port: Port(5000),
            read_timeout: Timeout::seconds(30),
            write_timeout: Timeout::seconds(30),
            idle_timeout: Timeout::seconds(120),
            header_timeout: Timeout::seconds(10),
            drain_timeout: Period::seconds(30),
            workers: Workers(0),
            max_header_size: HeadSize(Bytes(64 << 10)),
            max_connections: MaxConnections(0),
            tls: Tls::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: Option<Path>,
    pub(super) key: Option<Path>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Storage {
    #[serde(rename = "type")]
    pub(super) storage_type: StorageType,
    pub(super) path: Path,
    pub(super) fsync: Flag,
    pub(super) cache: Cache,
    pub(super) s3: S3,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            storage_type: StorageType::Filesystem,
            path: Path("./data".into()),
            fsync: Flag(true),
            cache: Cache::default(),
            s3: S3::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct S3 {
    pub(super) bucket: Option<Text>,
    pub(super) endpoint: Option<Url>,
    pub(super) region: Option<Text>,
    pub(super) root: Prefix,
    pub(super) virtual_host_style: Flag,
    pub(super) access_key_id: Option<Text>,
    pub(super) secret_access_key: Option<Secret>,
    pub(super) session_token: Option<Secret>,
    pub(super) encryption: EncryptionChoice,
    pub(super) kms_key_id: Option<Text>,
    pub(super) checksum: Checksum,
    pub(super) part_size: PartSize,
    pub(super) concurrency: Concurrency,
    pub(super) connect_timeout: Timeout,
    pub(super) request_timeout: Timeout,
    pub(super) retries: Retries,
    pub(super) redirect: Redirect,
    pub(super) redirect_expiry: Timeout,
    pub(super) single_writer: Flag,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: None,
            endpoint: None,
            region: None,
            root: Prefix(String::new()),
            virtual_host_style: Flag(false),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            encryption: EncryptionChoice::None,
            kms_key_id: None,
            checksum: Checksum::None,
            part_size: PartSize(Bytes(5 << 20)),
            concurrency: Concurrency(1),
            connect_timeout: Timeout::seconds(5),
            request_timeout: Timeout::seconds(15),
            retries: Retries(3),
            redirect: Redirect::Off,
            redirect_expiry: Timeout::seconds(15 * 60),
            single_writer: Flag(false),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cache {
    pub(super) size: Bytes,
    pub(super) max_age: Period,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            size: Bytes(32 << 20),
            max_age: Period::seconds(1),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Manifests {
    pub(super) allow_missing: AllowMissing,
    pub(super) max_size: Bytes,
}

impl Default for Manifests {
    fn default() -> Self {
        Self {
            allow_missing: AllowMissing::None,
            max_size: Bytes(4 << 20),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Blobs {
    pub(super) max_size: Bytes,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { max_size: Bytes(0) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Uploads {
    pub(super) expire_after: Timeout,
    pub(super) sweep_interval: Timeout,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            expire_after: Timeout::seconds(24 * 60 * 60),
            sweep_interval: Timeout::seconds(10 * 60),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Collect {
    pub(super) grace: Period,
    pub(super) interval: Period,
    pub(super) untagged_after: Option<Timeout>,
    pub(super) max_operations_per_second: MaxOperations,
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            grace: Period::seconds(24 * 60 * 60),
            interval: Period::seconds(60 * 60),
            untagged_after: None,
            max_operations_per_second: MaxOperations(1000),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Logging {
    pub(super) level: LogLevel,
    pub(super) format: LogFormat,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LogLevel("info".to_owned()),
            format: LogFormat::Json,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Telemetry {
    pub(super) service_name: ServiceName,
    pub(super) resource_attributes: Option<ResourceAttributes>,
    pub(super) endpoint: Option<Url>,
    pub(super) protocol: Protocol,
    pub(super) headers: Option<Headers>,
    pub(super) timeout: Timeout,
    pub(super) compression: Compression,
    pub(super) certificate: Option<Path>,
    pub(super) traces: Traces,
    pub(super) metrics: Metrics,
    pub(super) server_timing: Flag,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            service_name: ServiceName("octoserve".to_owned()),
            resource_attributes: None,
            endpoint: None,
            protocol: Protocol::Http,
            headers: None,
            timeout: Timeout::seconds(10),
            compression: Compression::None,
            certificate: None,
            traces: Traces::default(),
            metrics: Metrics::default(),
            server_timing: Flag(false),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Traces {
    pub(super) exporter: Exporter,
    pub(super) endpoint: Option<Url>,
    pub(super) sampler: Sampler,
    pub(super) sampler_argument: Ratio,
    pub(super) queue_size: QueueSize,
    pub(super) delay: Timeout,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            exporter: Exporter::Otlp,
            endpoint: None,
            sampler: Sampler::ParentBasedAlwaysOn,
            sampler_argument: Ratio(1.0),
            queue_size: QueueSize(2048),
            delay: Timeout::seconds(5),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) address: Host,
    pub(super) port: Option<Port>,
    pub(super) repositories: Flag,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            address: Host("localhost".to_owned()),
            port: None,
            repositories: Flag(false),
        }
    }
}
