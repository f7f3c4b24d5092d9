//! What the keys of the section `telemetry` may hold, and what follows from
//! them.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Scheme, Uri};
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::document;
use super::values::{Value, ValueVisitor, choices, deserialize_values, numbers};

/// What is told to others of how the registry fares.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// Where traces go, if anywhere.
    pub traces: Option<TraceSettings>,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<MetricsSettings>,
    /// Whether responses say how long they took.
    pub server_timing: bool,
}

/// Which traces there are, and where they go.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector's URL. With HTTP it is posted to as it is.
    pub endpoint: String,
    /// How the collector is spoken to.
    pub protocol: Protocol,
    /// Headers to send to it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long it may take to take spans.
    pub timeout: Duration,
    /// How spans are compressed.
    pub compression: Compression,
    /// Who signed its certificate, in PEM, if not one whom the system trusts.
    pub certificate: Option<PathBuf>,
    /// What this service is called.
    pub service_name: String,
    /// What else tells it from others.
    pub resource_attributes: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// The share of requests that are traced, if the sampler takes one.
    pub ratio: f64,
    /// How many spans may wait for the collector.
    pub queue_size: usize,
    /// How long they wait for more.
    pub delay: Duration,
}

/// Where metrics are served.
#[derive(Clone, Debug)]
pub struct MetricsSettings {
    /// The name or address to listen on.
    pub address: String,
    /// The port to listen on; 0 lets the kernel choose one.
    pub port: u16,
    /// Whether some metrics tell repositories apart.
    pub repositories: bool,
}

impl From<&document::Telemetry> for TelemetrySettings {
    fn from(document: &document::Telemetry) -> Self {
        let metrics = &document.metrics;
        Self {
            traces: match document.traces.exporter {
                Exporter::Otlp => traces(document),
                Exporter::None => None,
            },
            metrics: metrics.port.map(|port| MetricsSettings {
                address: metrics.address.0.clone(),
                port: port.0,
                repositories: metrics.repositories.0,
            }),
            server_timing: document.server_timing.0,
        }
    }
}

fn traces(document: &document::Telemetry) -> Option<TraceSettings> {
    let traces = &document.traces;
    let endpoint = match (&traces.endpoint, &document.endpoint, document.protocol) {
        (Some(endpoint), _, _) | (None, Some(endpoint), Protocol::Grpc) => endpoint.0.clone(),
        (None, Some(endpoint), Protocol::Http) => {
            format!("{}/v1/traces", endpoint.0.trim_end_matches('/'))
        }
        (None, None, _) => return None,
    };
    Some(TraceSettings {
        endpoint,
        protocol: document.protocol,
        headers: document
            .headers
            .as_ref()
            .map_or_else(Vec::new, |headers| headers.0.clone()),
        timeout: document.timeout.0.0,
        compression: document.compression,
        certificate: document.certificate.as_ref().map(|path| path.0.clone()),
        service_name: document.service_name.0.clone(),
        resource_attributes: document
            .resource_attributes
            .as_ref()
            .map_or_else(Vec::new, |attributes| {
                pairs(&attributes.0).unwrap_or_default()
            }),
        sampler: traces.sampler,
        ratio: traces.sampler_argument.0,
        queue_size: usize::try_from(traces.queue_size.0).unwrap_or(usize::MAX),
        delay: traces.delay.0.0,
    })
}

deserialize_values!(
    Compression,
    Exporter,
    Headers,
    Protocol,
    QueueSize,
    Ratio,
    ResourceAttributes,
    Sampler,
    ServiceName,
    Url,
);

/// What a service is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct ServiceName(pub(super) String);

impl Value for ServiceName {
    const EXPECTED: &'static str = "a name";

    fn from_text(text: &str) -> Option<Self> {
        let is_printable = !text.is_empty() && !text.contains(char::is_control);
        is_printable.then(|| Self(text.to_owned()))
    }
}

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Url(pub(super) String);

impl Value for Url {
    const EXPECTED: &'static str = "a URL such as \"http://collector:4318\"";

    fn from_text(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_http = [Scheme::HTTP, Scheme::HTTPS].contains(uri.scheme()?);
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        (is_http && has_host).then(|| Self(text.to_owned()))
    }
}

/// Names and values as `key=value,key=value`; both may be percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct ResourceAttributes(String);

impl Value for ResourceAttributes {
    const EXPECTED: &'static str = "attributes such as \"deployment.environment=test,team=images\"";

    fn from_text(text: &str) -> Option<Self> {
        pairs(text).map(|_| Self(text.to_owned()))
    }
}

/// Headers, written like attributes. Their values are secrets.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Value for Headers {
    const EXPECTED: &'static str = "headers such as \"authorization=Bearer%20…\"";

    fn from_text(text: &str) -> Option<Self> {
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        pairs(text)?
            .into_iter()
            .map(header)
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let redacted: Vec<String> = self
            .0
            .iter()
            .map(|(name, _)| format!("{name}=REDACTED"))
            .collect();
        serializer.serialize_str(&redacted.join(","))
    }
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |part: &str| {
        let decoded = percent_decode_str(part.trim()).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((decode(key)?, decode(value)?)).filter(|(key, _)| !key.is_empty())
        })
        .collect()
}

/// A share of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Ratio(pub(super) f64);

impl Value for Ratio {
    const EXPECTED: &'static str = "a number from 0 to 1";

    fn from_text(text: &str) -> Option<Self> {
        Self::from_fraction(text.parse().ok()?)
    }

    fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self(0.0)),
            1 => Some(Self(1.0)),
            _ => None,
        }
    }

    fn from_fraction(fraction: f64) -> Option<Self> {
        (0.0..=1.0).contains(&fraction).then_some(Self(fraction))
    }
}

numbers! {
    /// How many spans may wait.
    QueueSize(u32), "a number of spans";
}

choices! {
    /// Where traces go.
    pub(super) Exporter: "\"otlp\" or \"none\"" {
        /// To the endpoint, if there is one.
        Otlp = "otlp",
        /// Nowhere.
        None = "none",
    }
    /// How a collector is spoken to.
    pub Protocol: "\"grpc\" or \"http/protobuf\"" {
        /// OTLP/gRPC.
        Grpc = "grpc",
        /// OTLP/HTTP with binary Protobuf.
        Http = "http/protobuf",
    }
    /// How what is sent to a collector is compressed.
    pub Compression: "\"none\" or \"gzip\"" {
        /// It is not.
        None = "none",
        /// By gzip.
        Gzip = "gzip",
    }
    /// Which requests are traced, by the names of the OpenTelemetry
    /// specification.
    pub Sampler: "\"always_on\", \"always_off\", \"traceidratio\", or one of these after \"parentbased_\"" {
        /// All.
        AlwaysOn = "always_on",
        /// None.
        AlwaysOff = "always_off",
        /// A share.
        Ratio = "traceidratio",
        /// Those whose caller is traced, and all without one.
        ParentBasedAlwaysOn = "parentbased_always_on",
        /// Those whose caller is traced.
        ParentBasedAlwaysOff = "parentbased_always_off",
        /// Those whose caller is traced, and a share of those without one.
        ParentBasedRatio = "parentbased_traceidratio",
    }
}
