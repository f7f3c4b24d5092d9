//! The environment variables of the OpenTelemetry specification, which set keys
//! of ours.

/// A variable and the key that it sets.
pub(super) struct StandardVariable {
    name: &'static str,
    /// The key.
    pub(super) path: &'static str,
    read: fn(&str) -> Option<String>,
}

impl StandardVariable {
    /// The variable of this name, and its rank: of two that set one key, the
    /// one with the higher rank counts.
    pub(super) fn named(name: &str) -> Option<(usize, &'static Self)> {
        STANDARD
            .iter()
            .enumerate()
            .find(|(_, standard)| standard.name == name)
    }

    /// Its value as the key is written; `None` if it leaves the key as it is.
    pub(super) fn read(&self, text: &str) -> Option<String> {
        (self.read)(text.trim())
    }
}

macro_rules! standard {
    ($($name:literal => $path:literal, $read:expr;)+) => {
        &[$(StandardVariable { name: $name, path: $path, read: $read },)+]
    };
}

/// In the order of their ranks: what is about traces counts more than what is
/// about any signal, and a switch more than what it switches.
const STANDARD: &[StandardVariable] = standard! {
    "OTEL_SERVICE_NAME" => "telemetry.service_name", as_it_is;
    "OTEL_RESOURCE_ATTRIBUTES" => "telemetry.resource_attributes", as_it_is;
    "OTEL_EXPORTER_OTLP_ENDPOINT" => "telemetry.endpoint", as_it_is;
    "OTEL_EXPORTER_OTLP_PROTOCOL" => "telemetry.protocol", as_it_is;
    "OTEL_EXPORTER_OTLP_HEADERS" => "telemetry.headers", as_it_is;
    "OTEL_EXPORTER_OTLP_TIMEOUT" => "telemetry.timeout", milliseconds;
    "OTEL_EXPORTER_OTLP_COMPRESSION" => "telemetry.compression", as_it_is;
    "OTEL_EXPORTER_OTLP_CERTIFICATE" => "telemetry.certificate", as_it_is;
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => "telemetry.traces.endpoint", as_it_is;
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" => "telemetry.protocol", as_it_is;
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS" => "telemetry.headers", as_it_is;
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" => "telemetry.timeout", milliseconds;
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION" => "telemetry.compression", as_it_is;
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" => "telemetry.certificate", as_it_is;
    "OTEL_TRACES_SAMPLER" => "telemetry.traces.sampler", as_it_is;
    "OTEL_TRACES_SAMPLER_ARG" => "telemetry.traces.sampler_argument", as_it_is;
    "OTEL_BSP_MAX_QUEUE_SIZE" => "telemetry.traces.queue_size", as_it_is;
    "OTEL_BSP_SCHEDULE_DELAY" => "telemetry.traces.delay", milliseconds;
    "OTEL_TRACES_EXPORTER" => "telemetry.traces.exporter", as_it_is;
    "OTEL_SDK_DISABLED" => "telemetry.traces.exporter", none_if_disabled;
};

fn as_it_is(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A number without a unit; what is none is left for the key to complain of.
fn milliseconds(text: &str) -> Option<String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Some(match is_number {
        true => format!("{text}ms"),
        false => text.to_owned(),
    })
}

fn none_if_disabled(text: &str) -> Option<String> {
    text.eq_ignore_ascii_case("true").then(|| "none".to_owned())
}
