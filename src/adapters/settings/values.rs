//! What one key may hold, and how it is written.
//!
//! A value comes from a JSON file, where it has a JSON type, or from the
//! environment, where everything is text; both are read by the same code. Every
//! type says what it expects in words that can stand in an error message.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use tracing_subscriber::filter::Targets;

/// A value of one key.
pub(super) trait Value: Sized {
    /// What the key expects, as the end of "expected …".
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    fn from_number(_number: u64) -> Option<Self> {
        None
    }

    fn from_fraction(_fraction: f64) -> Option<Self> {
        None
    }

    fn from_bool(_flag: bool) -> Option<Self> {
        None
    }
}

pub(super) struct ValueVisitor<T>(pub(super) PhantomData<T>);

impl<T: Value> Visitor<'_> for ValueVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text.trim()).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number)
            .ok()
            .and_then(T::from_number)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, fraction: f64) -> Result<T, E> {
        T::from_fraction(fraction)
            .ok_or_else(|| E::invalid_value(Unexpected::Float(fraction), &self))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        T::from_bool(flag).ok_or_else(|| E::invalid_value(Unexpected::Bool(flag), &self))
    }
}

macro_rules! deserialize_values {
    ($($value:ty),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ValueVisitor(PhantomData))
            }
        }
    )+};
}
pub(super) use deserialize_values;

deserialize_values!(
    AllowMissing,
    Bytes,
    Flag,
    HeadSize,
    Host,
    LogFormat,
    LogLevel,
    MaxConnections,
    MaxOperations,
    Path,
    Period,
    Port,
    StorageType,
    Timeout,
    Workers,
);

/// A duration that may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period(pub(super) Duration);

impl Period {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Value for Period {
    const EXPECTED: &'static str = "a duration such as \"30s\", \"1m30s\" or \"500ms\"";

    fn from_text(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().map(Self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

/// A duration above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Timeout(pub(super) Period);

impl Timeout {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Period::seconds(seconds))
    }
}

impl Value for Timeout {
    const EXPECTED: &'static str = "a duration above zero such as \"30s\", \"1m30s\" or \"500ms\"";

    fn from_text(text: &str) -> Option<Self> {
        Period::from_text(text)
            .filter(|period| !period.0.is_zero())
            .map(Self)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl Value for Bytes {
    const EXPECTED: &'static str = "a size such as \"4MiB\" or a number of bytes";

    fn from_text(text: &str) -> Option<Self> {
        ByteSize::from_str(text).ok().map(|size| Self(size.0))
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

/// Written in the largest unit that says it exactly.
impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let exact = units
            .into_iter()
            .find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        match exact {
            Some((unit, shift)) => {
                serializer.collect_str(&format_args!("{}{unit}", self.0 >> shift))
            }
            None => serializer.serialize_u64(self.0),
        }
    }
}

/// How large the head of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct HeadSize(pub(super) Bytes);

impl HeadSize {
    const ALLOWED: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 20;
}

impl Value for HeadSize {
    const EXPECTED: &'static str = "a size from \"4KiB\" to \"1MiB\"";

    fn from_text(text: &str) -> Option<Self> {
        Self::from_number(Bytes::from_text(text)?.0)
    }

    fn from_number(number: u64) -> Option<Self> {
        Self::ALLOWED
            .contains(&number)
            .then_some(Self(Bytes(number)))
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])+ $name:ident($kind:ty), $expected:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub(super) $kind);

        impl Value for $name {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok().map(Self)
            }

            fn from_number(number: u64) -> Option<Self> {
                number.try_into().ok().map(Self)
            }
        }
    )+};
}

pub(super) use numbers;

numbers! {
    /// A TCP port.
    Port(u16), "a port from 0 to 65535";
    /// How many threads serve connections.
    Workers(u8), "a number of threads from 0 (one per core) to 255";
    /// How many connections may be open.
    MaxConnections(u32), "a number of connections, 0 for as many as file descriptors allow";
    /// How many storage operations a second a job may make.
    MaxOperations(u32), "a number of operations a second, 0 for no bound";
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Flag(pub(super) bool);

impl Value for Flag {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn from_bool(flag: bool) -> Option<Self> {
        Some(Self(flag))
    }
}

/// A host name or an address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Host(pub(super) String);

impl Value for Host {
    const EXPECTED: &'static str =
        "a host name or an IP address such as \"localhost\", \"0.0.0.0\" or \"::\", without a port";

    fn from_text(text: &str) -> Option<Self> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        let is_address = bare.parse::<std::net::IpAddr>().is_ok();
        let is_name = !bare.is_empty()
            && bare
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        (is_address || is_name).then(|| Self(bare.to_owned()))
    }
}

/// A path of the file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Path(pub(super) PathBuf);

impl Value for Path {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| Self(PathBuf::from(text)))
    }
}

/// Which events are logged: a level, or directives such as
/// `info,octoserve::adapters=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct LogLevel(pub(super) String);

impl LogLevel {
    pub(super) fn filter(&self) -> Option<Targets> {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        // A bare word that is no level would be taken for a target, and a typing
        // error would silence the log.
        let directives_name_levels = self.0.split(',').all(|directive| {
            let level = directive.rsplit('=').next().unwrap_or_default().trim();
            levels.iter().any(|known| known.eq_ignore_ascii_case(level))
        });
        directives_name_levels
            .then(|| self.0.parse().ok())
            .flatten()
    }
}

impl Value for LogLevel {
    const EXPECTED: &'static str = "off, error, warn, info, debug or trace, \
         alone or with targets such as \"info,octoserve::adapters=debug\"";

    fn from_text(text: &str) -> Option<Self> {
        let level = Self(text.to_owned());
        level.filter().is_some().then_some(level)
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])+ $visibility:vis $name:ident: $expected:literal {
        $($(#[$variant_doc:meta])+ $variant:ident = $text:literal,)+
    })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        $visibility enum $name {
            $($(#[$variant_doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl Value for $name {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

pub(super) use choices;

choices! {
    /// Where content is kept.
    pub(super) StorageType: "\"filesystem\", \"s3\" or \"memory\"" {
        /// In a directory.
        Filesystem = "filesystem",
        /// In a bucket.
        S3 = "s3",
        /// In memory, for as long as the process runs.
        Memory = "memory",
    }
    /// What a manifest may refer to without its being there.
    pub(super) AllowMissing: "\"none\", \"children\" or \"all\"" {
        /// Nothing.
        None = "none",
        /// The manifests of an index.
        Children = "children",
        /// Anything.
        All = "all",
    }
    /// The shape of a log line.
    pub LogFormat: "\"json\" or \"text\"" {
        /// One JSON object.
        Json = "json",
        /// For people.
        Text = "text",
    }
}
