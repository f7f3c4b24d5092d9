use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

/// Loads a file with this text, and says what is wrong with it line by line.
fn try_load(text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, text).unwrap();
    let in_directory = format!("{}/", directory.path().display());
    load(Some(&path), variables(pairs)).map_err(|errors| {
        let lines = errors.lines();
        lines.map(|line| line.replace(&in_directory, "")).collect()
    })
}

fn load_text(text: &str, pairs: &[(&str, &str)]) -> Loaded {
    try_load(text, pairs).unwrap()
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    try_load(text, pairs).unwrap_err()
}

#[test]
fn without_a_file_or_variables_it_serves_localhost_5000_out_of_data() {
    let settings = load(None, []).unwrap().settings;
    assert_eq!(settings.server.address, "localhost");
    assert_eq!(settings.server.port, 5000);
    assert_eq!(settings.server.read_timeout, Duration::from_secs(30));
    assert_eq!(settings.server.workers, None);
    assert_eq!(
        settings.storage.store,
        StoreSettings::Filesystem {
            path: PathBuf::from("./data"),
            fsync: true
        }
    );
    assert_eq!(settings.largest_blob, None);
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_defaults() {
    let loaded = load_text(
        r#"{"server": {"port": 1, "read_timeout": "1m30s"}, "blobs": {"max_size": 7}}"#,
        &[
            ("OCTOSERVE_SERVER_PORT", "2"),
            ("OCTOSERVE_STORAGE_CACHE_SIZE", "1GiB"),
            ("OCTOSERVE_STORAGE_FSYNC", "false"),
            ("OCTOSERVE_LOG_FORMAT", "text"),
            ("OCTOSERVE_SERVER_ADDRESS", ""),
        ],
    );
    assert_eq!(loaded.settings.server.port, 2);
    assert_eq!(loaded.settings.server.address, "localhost");
    assert_eq!(loaded.settings.server.read_timeout, Duration::from_secs(90));
    assert_eq!(loaded.settings.largest_blob, Some(7));
    assert_eq!(loaded.settings.storage.cache_size, 1 << 30);
    assert_eq!(loaded.settings.logging.format, LogFormat::Text);
}

#[test]
fn what_is_printed_is_a_configuration_with_the_same_meaning() {
    let first = load_text(
        r#"{
            "server": {
                "address": "[::1]", "port": "5001", "workers": 3, "drain_timeout": "0s",
                "header_timeout": "1500ms", "max_header_size": "5000B",
                "tls": {"certificate": "a.pem", "key": "b.pem"}
            },
            "storage": {"type": "memory", "cache": {"size": 1000, "max_age": "1h 2m"}},
            "manifests": {"allow_missing": "children"},
            "blobs": {"max_size": "10GiB"},
            "logging": {"level": "info,octoserve::adapters=debug"}
        }"#,
        &[],
    );
    let printed = serde_json::to_string(&first.document).unwrap();
    let second = load_text(&printed, &[]);
    assert_eq!(second.document, first.document);
    assert_eq!(
        format!("{:?}", second.settings),
        format!("{:?}", first.settings)
    );
    assert!(printed.contains(r#""max_size":"10GiB""#), "{printed}");
    assert!(
        printed.contains(r#""header_timeout":"1s 500ms""#),
        "{printed}"
    );
}

#[test]
fn every_problem_of_every_layer_is_reported_at_once() {
    let found = problems(
        r#"{
            "server": {"prot": 5000, "port": 65536, "read_timeout": 30, "tls": true},
            "storage": {"type": "tape", "fsync": "maybe"},
            "xyzzy": 1
        }"#,
        &[
            ("OCTOSERVE_SERVER_IDLE_TIMEOUT", "0s"),
            ("OCTOSERVE_SERVER_WORKERS", "-1"),
            ("OCTOSERVE_LOG_LEVEL", "inof"),
            ("OCTOSERVE_STORAGE_PTH", "x"),
            ("OCTOSERVE_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ],
    );
    assert_eq!(
        found,
        [
            "server.prot in config.json: there is no such setting; did you mean server.port?",
            "server.tls in config.json: found true, expected an object with certificate, key",
            "xyzzy in config.json: there is no such setting",
            "server.port in config.json: invalid value: integer `65536`, \
             expected a port from 0 to 65535",
            "server.read_timeout in config.json: invalid value: integer `30`, \
             expected a duration above zero such as \"30s\", \"1m30s\" or \"500ms\"",
            "storage.fsync in config.json: invalid value: string \"maybe\", \
             expected true or false",
            "storage.type in config.json: invalid value: string \"tape\", \
             expected \"filesystem\", \"s3\" or \"memory\"",
            "OCTOSERVE_STORAGE_PTH: there is no such setting; did you mean OCTOSERVE_STORAGE_PATH?",
            "OCTOSERVE_LOG_LEVEL: invalid value: string \"inof\", \
             expected off, error, warn, info, debug or trace, \
             alone or with targets such as \"info,octoserve::adapters=debug\"",
            "OCTOSERVE_SERVER_IDLE_TIMEOUT: invalid value: string \"0s\", \
             expected a duration above zero such as \"30s\", \"1m30s\" or \"500ms\"",
            "OCTOSERVE_SERVER_WORKERS: invalid value: string \"-1\", \
             expected a number of threads from 0 (one per core) to 255",
        ]
    );
}

#[test]
fn a_problem_is_one_line_whatever_the_key_is_called() {
    let found = problems(
        r#"{"a\nb": 1, "server": {"\u001b[2J": 2}}"#,
        &[("OCTOSERVE_SERVER_PLUGH_PLOVER\rXYZZY", "3")],
    );
    assert_eq!(
        found,
        [
            r"a\nb in config.json: there is no such setting",
            r"server.\u{1b}[2J in config.json: there is no such setting",
            r"OCTOSERVE_SERVER_PLUGH_PLOVER\rXYZZY: there is no such setting",
        ]
    );
}

#[test]
fn the_variables_of_opentelemetry_count_more_than_the_file_and_less_than_ours() {
    let loaded = load_text(
        r#"{"telemetry": {"endpoint": "http://file:4318", "service_name": "file"}}"#,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://general:4318/otlp/"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1, b = two%20words ,"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
            ("OTEL_SERVICE_NAME", "standard"),
            ("OCTOSERVE_TELEMETRY_SERVICE_NAME", "ours"),
            ("OTEL_BSP_SCHEDULE_DELAY", ""),
            ("OTEL_SDK_DISABLED", "false"),
            ("OTEL_METRICS_EXPORTER", "prometheus"),
        ],
    );
    let traces = loaded.settings.telemetry.traces.clone().unwrap();
    assert_eq!(traces.endpoint, "https://general:4318/otlp/v1/traces");
    assert_eq!(traces.protocol, Protocol::Http);
    assert_eq!(traces.timeout, Duration::from_millis(2500));
    assert_eq!(traces.service_name, "ours");
    assert_eq!(
        (traces.sampler, traces.ratio),
        (Sampler::ParentBasedRatio, 0.01)
    );
    let headers: Vec<_> = traces
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(headers, ["a", "b"]);
    assert_eq!(traces.headers[1].1, "two words");
    let printed = serde_json::to_string(&loaded.document).unwrap();
    assert!(
        printed.contains(r#""headers":"a=REDACTED,b=REDACTED""#),
        "{printed}"
    );
    assert!(!format!("{:?}", loaded.settings).contains("two words"));
}

#[test]
fn an_endpoint_for_traces_is_used_as_it_is_and_grpc_has_no_path() {
    let endpoint = |pairs: &[(&str, &str)]| {
        let traces = load_text("{}", pairs).settings.telemetry.traces;
        traces.map(|traces| traces.endpoint)
    };
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:2/own");
    assert_eq!(
        endpoint(&[general]).as_deref(),
        Some("http://c:1/v1/traces")
    );
    assert_eq!(endpoint(&[general, grpc]).as_deref(), Some("http://c:1"));
    assert_eq!(endpoint(&[general, own]).as_deref(), Some("http://c:2/own"));
    assert_eq!(endpoint(&[grpc]), None);
    assert_eq!(endpoint(&[general, ("OTEL_SDK_DISABLED", "TRUE")]), None);
    assert_eq!(endpoint(&[general, ("OTEL_TRACES_EXPORTER", "none")]), None);
}

#[test]
fn what_telemetry_cannot_mean_is_said_by_the_name_it_was_set_by() {
    let found = problems(
        r#"{"telemetry": {"traces": {"sampler_argument": 1.5}, "metrics": {"port": "x"}}}"#,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "no-value"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ],
    );
    let places: Vec<&str> = found
        .iter()
        .map(|problem| problem.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "telemetry.metrics.port in config.json",
            "telemetry.traces.sampler_argument in config.json",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ]
    );
}
