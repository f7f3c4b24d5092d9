//! What is configured, where, and what is refused.

use serde_json::{Value, json};

use crate::process::{file, run};

/// What `check-config` prints.
fn checked(arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let arguments = [arguments, &["check-config"]].concat();
    let output = run(&arguments, variables);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &*said), (Some(0), ""));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `check-config` complains of, and so `serve`, too.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let [checked, served] = ["check-config", "serve"].map(|command| {
        let output = run(&[arguments, &[command]].concat(), variables);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    });
    assert_eq!(checked, served);
    let line = |line: &str| line.strip_prefix("octoserve: ").unwrap().to_owned();
    checked.lines().map(line).collect()
}

/// Every key of a configuration, dotted, and its value.
fn leaves(path: &str, value: &Value) -> Vec<(String, Value)> {
    match value.as_object() {
        None => vec![(path.to_owned(), value.clone())],
        Some(object) => object
            .iter()
            .flat_map(|(name, value)| {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(&path, value)
            })
            .collect(),
    }
}

/// Another valid value for each key, as it is written in the environment and as
/// it is printed.
fn other_values() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("server.address", "::1", json!("::1")),
        ("server.port", "5001", json!(5001)),
        ("server.read_timeout", "1m", json!("1m")),
        ("server.write_timeout", "2m", json!("2m")),
        ("server.idle_timeout", "3m", json!("3m")),
        ("server.header_timeout", "4s", json!("4s")),
        ("server.drain_timeout", "0s", json!("0s")),
        ("server.workers", "7", json!(7)),
        ("server.max_header_size", "8KiB", json!("8KiB")),
        ("server.max_connections", "9", json!(9)),
        ("server.tls.certificate", "a.pem", json!("a.pem")),
        ("server.tls.key", "b.pem", json!("b.pem")),
        ("storage.type", "memory", json!("memory")),
        ("storage.path", "/elsewhere", json!("/elsewhere")),
        ("storage.fsync", "false", json!(false)),
        ("storage.cache.size", "10MiB", json!("10MiB")),
        ("storage.cache.max_age", "11s", json!("11s")),
        ("storage.s3.bucket", "images", json!("images")),
        ("storage.s3.endpoint", "http://e:1", json!("http://e:1")),
        ("storage.s3.region", "north", json!("north")),
        ("storage.s3.root", "below", json!("below")),
        ("storage.s3.virtual_host_style", "true", json!(true)),
        ("storage.s3.access_key_id", "somebody", json!("somebody")),
        // A secret is not printed.
        ("storage.s3.secret_access_key", "secret", json!("REDACTED")),
        ("storage.s3.session_token", "secret", json!("REDACTED")),
        ("storage.s3.encryption", "kms", json!("kms")),
        ("storage.s3.kms_key_id", "a-key", json!("a-key")),
        ("storage.s3.checksum", "crc32c", json!("crc32c")),
        ("storage.s3.part_size", "8MiB", json!("8MiB")),
        ("storage.s3.concurrency", "20", json!(20)),
        ("storage.s3.connect_timeout", "21s", json!("21s")),
        ("storage.s3.request_timeout", "22s", json!("22s")),
        ("storage.s3.retries", "23", json!(23)),
        ("storage.s3.redirect", "blobs", json!("blobs")),
        ("storage.s3.redirect_expiry", "24m", json!("24m")),
        ("storage.s3.single_writer", "true", json!(true)),
        ("manifests.allow_missing", "children", json!("children")),
        ("manifests.max_size", "1MiB", json!("1MiB")),
        ("blobs.max_size", "12GiB", json!("12GiB")),
        ("uploads.expire_after", "13h", json!("13h")),
        ("uploads.sweep_interval", "14m", json!("14m")),
        ("collect.grace", "15h", json!("15h")),
        ("collect.interval", "16h", json!("16h")),
        ("collect.untagged_after", "17h", json!("17h")),
        ("collect.max_operations_per_second", "18", json!(18)),
        ("logging.level", "debug", json!("debug")),
        ("logging.format", "text", json!("text")),
        ("telemetry.service_name", "images", json!("images")),
        ("telemetry.resource_attributes", "a=b", json!("a=b")),
        ("telemetry.endpoint", "https://c:1", json!("https://c:1")),
        ("telemetry.protocol", "grpc", json!("grpc")),
        // A secret is not printed.
        ("telemetry.headers", "a=secret", json!("a=REDACTED")),
        ("telemetry.timeout", "16s", json!("16s")),
        ("telemetry.compression", "gzip", json!("gzip")),
        ("telemetry.certificate", "c.pem", json!("c.pem")),
        ("telemetry.traces.exporter", "none", json!("none")),
        ("telemetry.traces.endpoint", "http://d", json!("http://d")),
        (
            "telemetry.traces.sampler",
            "always_off",
            json!("always_off"),
        ),
        ("telemetry.traces.sampler_argument", "0.5", json!(0.5)),
        ("telemetry.traces.queue_size", "17", json!(17)),
        ("telemetry.traces.delay", "18s", json!("18s")),
        ("telemetry.metrics.address", "::1", json!("::1")),
        ("telemetry.metrics.port", "19", json!(19)),
        ("telemetry.metrics.repositories", "true", json!(true)),
        ("telemetry.server_timing", "true", json!(true)),
    ]
}

fn variable_of(key: &str) -> String {
    let key = match key {
        "logging.level" => "LOG_LEVEL".to_owned(),
        "logging.format" => "LOG_FORMAT".to_owned(),
        other => other.replace('.', "_").to_ascii_uppercase(),
    };
    format!("OCTOSERVE_{key}")
}

#[test]
fn the_defaults_serve_localhost_5000_out_of_data() {
    let defaults = checked(&[], &[]);
    assert_eq!(defaults["server"]["address"], "localhost");
    assert_eq!(defaults["server"]["port"], 5000);
    assert_eq!(defaults["server"]["read_timeout"], "30s");
    assert_eq!(defaults["server"]["write_timeout"], "30s");
    assert_eq!(defaults["server"]["idle_timeout"], "2m");
    assert_eq!(defaults["storage"]["type"], "filesystem");
    assert_eq!(defaults["storage"]["path"], "./data");
    assert_eq!(defaults["storage"]["fsync"], true);
    assert_eq!(defaults["logging"]["level"], "info");
    assert_eq!(defaults["logging"]["format"], "json");
}

#[test]
fn every_key_has_a_variable_and_what_is_printed_loads_back() {
    let defaults = leaves("", &checked(&[], &[]));
    let others = other_values();
    let missing: Vec<_> = defaults
        .iter()
        .filter(|(key, _)| !others.iter().any(|(known, ..)| known == key))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");

    let names: Vec<String> = others.iter().map(|(key, ..)| variable_of(key)).collect();
    let variables: Vec<(&str, &str)> = names
        .iter()
        .zip(&others)
        .map(|(name, (_, text, _))| (name.as_str(), *text))
        .collect();
    let all = checked(&[], &variables);
    let printed = leaves("", &all);
    for (key, _, expected) in &others {
        let found = printed.iter().find(|(known, _)| known == key);
        assert_eq!(found.map(|(_, value)| value), Some(expected), "{key}");
    }

    let (_directory, path) = file("config.json", all.to_string());
    assert_eq!(checked(&["--config", &path], &[]), all);
    assert_eq!(checked(&[], &[("OCTOSERVE_CONFIG", &path)]), all);
    let overridden = checked(&["-c", &path], &[("OCTOSERVE_SERVER_PORT", "5002")]);
    assert_eq!(overridden["server"]["port"], 5002);
    assert_eq!(overridden["server"]["address"], "::1");
}

#[test]
fn a_bad_value_in_the_environment_is_refused_by_name_with_what_was_expected() {
    for (name, value, expected) in [
        (
            "OCTOSERVE_SERVER_PORT",
            "http",
            "expected a port from 0 to 65535",
        ),
        (
            "OCTOSERVE_SERVER_PORT",
            "65536",
            "expected a port from 0 to 65535",
        ),
        (
            "OCTOSERVE_SERVER_ADDRESS",
            "a:5000",
            "expected a host name or an IP address",
        ),
        (
            "OCTOSERVE_SERVER_READ_TIMEOUT",
            "30",
            "expected a duration above zero such as \"30s\"",
        ),
        (
            "OCTOSERVE_SERVER_IDLE_TIMEOUT",
            "0s",
            "expected a duration above zero",
        ),
        (
            "OCTOSERVE_SERVER_MAX_HEADER_SIZE",
            "1GiB",
            "expected a size from \"4KiB\" to \"1MiB\"",
        ),
        (
            "OCTOSERVE_SERVER_WORKERS",
            "many",
            "expected a number of threads",
        ),
        (
            "OCTOSERVE_STORAGE_TYPE",
            "floppy",
            "expected \"filesystem\"",
        ),
        (
            "OCTOSERVE_STORAGE_FSYNC",
            "perhaps",
            "expected true or false",
        ),
        (
            "OCTOSERVE_MANIFESTS_ALLOW_MISSING",
            "yes",
            "expected \"none\", \"children\" or \"all\"",
        ),
        (
            "OCTOSERVE_BLOBS_MAX_SIZE",
            "-1",
            "expected a size such as \"4MiB\"",
        ),
        (
            "OCTOSERVE_LOG_LEVEL",
            "loud",
            "expected off, error, warn, info, debug or trace",
        ),
        (
            "OCTOSERVE_LOG_FORMAT",
            "xml",
            "expected \"json\" or \"text\"",
        ),
    ] {
        let lines = refused(&[], &[(name, value)]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(&format!("{name}: ")), "{lines:?}");
        assert!(lines[0].contains(value), "{lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
    }
}

#[test]
fn a_bad_value_in_the_file_is_refused_by_name_with_what_was_expected() {
    let (_directory, path) = file(
        "config.json",
        r#"{"server": {"port": "http", "read_timeout": 30}, "storage": 7}"#,
    );
    let lines = refused(&["--config", &path], &[]);
    for (line, key, expected) in [
        (0, "storage", "expected an object with"),
        (1, "server.port", "expected a port from 0 to 65535"),
        (2, "server.read_timeout", "expected a duration above zero"),
    ] {
        assert!(
            lines[line].starts_with(&format!("{key} in {path}: ")),
            "{lines:#?}"
        );
        assert!(lines[line].contains(expected), "{lines:#?}");
    }
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    let (_directory, path) = file("config.json", r#"{"server": {"prot": 1}, "sorage": {}}"#);
    let lines = refused(&["--config", &path], &[("OCTOSERVE_SERVER_PROT", "1")]);
    assert_eq!(
        lines,
        [
            format!("server.prot in {path}: there is no such setting; did you mean server.port?"),
            format!("sorage in {path}: there is no such setting"),
            "OCTOSERVE_SERVER_PROT: there is no such setting; did you mean OCTOSERVE_SERVER_PORT?"
                .to_owned(),
        ]
    );
}

#[test]
fn half_of_a_key_pair_is_refused() {
    let lines = refused(&[], &[("OCTOSERVE_SERVER_TLS_KEY", "b.pem")]);
    assert_eq!(
        lines,
        ["server.tls.key is set and server.tls.certificate is not: set both, or neither"]
    );
}

#[test]
fn a_file_that_is_not_there_or_no_json_is_refused_by_its_name() {
    let lines = refused(&["--config", "/not/there.json"], &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("/not/there.json: No such file"),
        "{lines:?}"
    );
    for text in ["{\"server\": ", "[]", "7", "", "{} trailing", "\u{0}"] {
        let (_directory, path) = file("config.json", text);
        let lines = refused(&["--config", &path], &[]);
        assert_eq!(lines.len(), 1, "{text:?}: {lines:?}");
        assert!(lines[0].contains(&path), "{text:?}: {lines:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let lines = refused(&["--config", directory.path().to_str().unwrap()], &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn a_key_that_stands_twice_or_is_null_is_not_taken_for_another() {
    let (_directory, path) = file("config.json", r#"{"server": {"port": null}}"#);
    let output = run(&["--config", &path, "check-config"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("server.port"), "{said}");
}

#[test]
fn variables_that_kubernetes_sets_are_no_settings() {
    let variables = [
        ("OCTOSERVE_SERVICE_HOST", "10.0.0.1"),
        ("OCTOSERVE_PORT", "tcp://10.0.0.1:5000"),
        ("OCTOSERVE_PORT_5000_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(checked(&[], &variables), checked(&[], &[]));
}
