//! What the keys of the section `storage.s3` may hold, and what follows from
//! them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::SettingsErrors;
use super::document;
use super::values::{Bytes, Value, ValueVisitor, choices, deserialize_values, numbers};

/// A bucket, and how to deal with it.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// The URL of the server; none is that of AWS.
    pub endpoint: Option<String>,
    /// Where the bucket is, if the surroundings do not say it.
    pub region: Option<String>,
    /// What all keys begin with.
    pub root: String,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host_style: bool,
    /// An access key with its secret, and perhaps the token of a session; none
    /// are found in the surroundings.
    pub credentials: Option<(String, String, Option<String>)>,
    /// How the server is to encrypt.
    pub encryption: EncryptionChoice,
    /// The key it is to encrypt with.
    pub kms_key_id: Option<String>,
    /// Whether requests carry a checksum of their bodies.
    pub checksums: bool,
    /// The pieces that a large body is sent in, in bytes.
    pub part_size: usize,
    /// How many pieces of one body are under way at once.
    pub concurrency: usize,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long a request may make no progress.
    pub request_timeout: Duration,
    /// How often a request is made again.
    pub retries: u32,
    /// How long a link to a blob is good for, if pulls are sent to the bucket.
    pub redirect: Option<Duration>,
    /// Whether this process is the only one.
    pub single_writer: bool,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl TryFrom<&document::S3> for S3Settings {
    type Error = SettingsErrors;

    fn try_from(document: &document::S3) -> Result<Self, SettingsErrors> {
        let bucket = document
            .bucket
            .as_ref()
            .ok_or_else(|| SettingsErrors::one("storage.s3.bucket is not set: name the bucket"))?;
        if document.virtual_host_style.0 && bucket.0.contains('.') {
            return Err(SettingsErrors::one(
                "storage.s3.bucket has a dot, which cannot be part of a host name: \
                 leave storage.s3.virtual_host_style off",
            ));
        }
        let token = document.session_token.as_ref();
        let credentials = match (&document.access_key_id, &document.secret_access_key) {
            (Some(id), Some(secret)) => Some((
                id.0.clone(),
                secret.0.clone(),
                token.map(|token| token.0.clone()),
            )),
            (None, None) if token.is_none() => None,
            _ => {
                return Err(SettingsErrors::one(
                    "storage.s3.access_key_id and storage.s3.secret_access_key go together: \
                     set both, or neither to use the surroundings' credentials",
                ));
            }
        };
        let kms_key_id = document.kms_key_id.as_ref().map(|id| id.0.clone());
        if kms_key_id.is_some() && document.encryption != EncryptionChoice::Kms {
            return Err(SettingsErrors::one(
                "storage.s3.kms_key_id is set and storage.s3.encryption is not \"kms\"",
            ));
        }
        Ok(Self {
            bucket: bucket.0.clone(),
            endpoint: document.endpoint.as_ref().map(|url| url.0.clone()),
            region: document.region.as_ref().map(|region| region.0.clone()),
            root: document.root.0.clone(),
            virtual_host_style: document.virtual_host_style.0,
            credentials,
            encryption: document.encryption,
            kms_key_id,
            checksums: document.checksum == Checksum::Crc32c,
            part_size: usize::try_from(document.part_size.0.0).unwrap_or(usize::MAX),
            concurrency: document.concurrency.0.into(),
            connect_timeout: document.connect_timeout.0.0,
            request_timeout: document.request_timeout.0.0,
            retries: document.retries.0.into(),
            redirect: match document.redirect {
                Redirect::Off => None,
                Redirect::Blobs => Some(document.redirect_expiry.0.0),
            },
            single_writer: document.single_writer.0,
        })
    }
}

deserialize_values!(
    Checksum,
    Concurrency,
    EncryptionChoice,
    PartSize,
    Prefix,
    Redirect,
    Retries,
    Secret,
    Text,
);

/// A text that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) String);

impl Value for Text {
    const EXPECTED: &'static str = "a text without spaces";

    fn from_text(text: &str) -> Option<Self> {
        is_word(text).then(|| Self(text.to_owned()))
    }
}

/// What all keys begin with; may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Prefix(pub(super) String);

impl Value for Prefix {
    const EXPECTED: &'static str = "a prefix such as \"registry\", or nothing";

    fn from_text(text: &str) -> Option<Self> {
        let is_one = text.is_empty() || is_word(text) && !text.split('/').any(|part| part == "..");
        is_one.then(|| Self(text.to_owned()))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|character: char| character.is_control() || character.is_whitespace())
}

/// What nobody is to see.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl Value for Secret {
    const EXPECTED: &'static str = "a secret";

    fn from_text(text: &str) -> Option<Self> {
        is_word(text).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("REDACTED")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("REDACTED")
    }
}

/// How large the pieces of a large body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct PartSize(pub(super) Bytes);

impl PartSize {
    const ALLOWED: std::ops::RangeInclusive<u64> = 5 << 20..=1 << 30;
}

impl Value for PartSize {
    const EXPECTED: &'static str = "a size from \"5MiB\" to \"1GiB\"";

    fn from_text(text: &str) -> Option<Self> {
        Self::from_number(Bytes::from_text(text)?.0)
    }

    fn from_number(number: u64) -> Option<Self> {
        let is_allowed = Self::ALLOWED.contains(&number);
        is_allowed.then_some(Self(Bytes(number)))
    }
}

numbers! {
    /// How often a request is made again.
    Retries(u8), "a number of retries from 0 to 255";
}

/// How many pieces of one body are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Concurrency(pub(super) u8);

impl Value for Concurrency {
    const EXPECTED: &'static str = "a number from 1 to 64";

    fn from_text(text: &str) -> Option<Self> {
        Self::from_number(text.parse().ok()?)
    }

    fn from_number(number: u64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (1..=64).contains(&number).then_some(Self(number))
    }
}

choices! {
    /// How the server is to encrypt what it stores.
    pub EncryptionChoice: "\"none\", \"aes256\" or \"kms\"" {
        /// As it does by itself.
        None = "none",
        /// With a key of its own.
        Aes256 = "aes256",
        /// With a key of its key management service.
        Kms = "kms",
    }
    /// What requests carry for the server to check their bodies by.
    pub(super) Checksum: "\"none\" or \"crc32c\"" {
        /// Nothing.
        None = "none",
        /// A CRC-32C.
        Crc32c = "crc32c",
    }
    /// What is sent to the bucket for.
    pub(super) Redirect: "\"off\" or \"blobs\"" {
        /// Nothing: all bytes go through this process.
        Off = "off",
        /// The bytes of blobs.
        Blobs = "blobs",
    }
}
