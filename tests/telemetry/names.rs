//! What is documented and drawn exists, and what exists is documented.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::collector::Collector;
use crate::server::Server;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a server says that has all of it switched on, has served a push and a
/// pull, and has refused and failed.
struct Said {
    metrics: String,
    /// Names of samples, such as `…_bucket`.
    samples: BTreeSet<String>,
    spans: BTreeSet<String>,
    attributes: BTreeSet<String>,
    fields: BTreeSet<String>,
}

fn everything() -> Said {
    let collector = Collector::start();
    let server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()),
        ("OCTOSERVE_TELEMETRY_METRICS_PORT", "0"),
        ("OCTOSERVE_TELEMETRY_METRICS_REPOSITORIES", "true"),
    ]);
    server.push_and_pull("a", "v1", &[("user-agent", "test")]);
    server.get("/v2/a/tags/list?n=1");
    server.ask("BREW", "/coffee", &[], b"");
    server.break_tags("a");
    server.get("/v2/a/manifests/v1");
    let metrics = server.metrics_text();
    let samples = server.metrics();
    let (_, lines) = server.stop();
    let spans = collector.spans();
    let attributes = spans.iter().flat_map(|received| &received.span.attributes);
    let requests = lines
        .iter()
        .filter(|line| line["target"] == "octoserve::request");
    Said {
        metrics,
        samples: samples
            .keys()
            .filter_map(|sample| Some(sample.split('{').next()?.to_owned()))
            .collect(),
        attributes: attributes.map(|attribute| attribute.key.clone()).collect(),
        spans: spans
            .iter()
            .map(|received| received.span.name.clone())
            .collect(),
        fields: requests
            .filter_map(Value::as_object)
            .flat_map(serde_json::Map::keys)
            .cloned()
            .collect(),
    }
}

/// The words of a text that are names of metrics.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .filter(|word| word.starts_with("octoserve_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_only_metrics_that_there_are() {
    let said = everything();
    for file in [
        "deploy/grafana/octoserve.json",
        "deploy/prometheus/octoserve.yaml",
    ] {
        let text = read(file);
        let used = metrics_in(&text);
        assert!(used.len() > 5, "{file} uses {used:?}");
        for metric in used {
            assert!(said.samples.contains(metric), "{file} uses {metric}");
        }
    }
}

#[test]
fn the_dashboard_and_the_alerts_use_only_labels_and_values_that_there_are() {
    let said = everything();
    // Those that Prometheus adds are not ours.
    let labels = ["instance", "job", "le"];
    for file in [
        "deploy/grafana/octoserve.json",
        "deploy/prometheus/octoserve.yaml",
    ] {
        let text = read(file).replace("\\\"", "\"");
        let grouped = text.split(" by (").skip(1);
        for label in grouped.flat_map(|rest| rest.split(')').next().unwrap().split(", ")) {
            assert!(
                labels.contains(&label) || said.metrics.contains(&format!("{label}=\"")),
                "{file} groups by {label}"
            );
        }
        for name in ["outcome", "result", "fact", "method", "route"] {
            let begin = format!("{name}=\"");
            let values = text.split(&begin).skip(1);
            for value in values.map(|rest| rest.split('"').next().unwrap()) {
                let pair = format!("{name}=\"{value}\"");
                assert!(said.metrics.contains(&pair), "{file} looks for {pair}");
            }
        }
    }
}

#[test]
fn every_metric_span_attribute_and_log_field_is_documented() {
    let said = everything();
    let document = read("docs/observability.md");
    let documented = metrics_in(&document);
    for sample in &said.samples {
        let parts = ["", "_bucket", "_sum", "_count"];
        let is_documented = parts.iter().any(|part| {
            sample
                .strip_suffix(part)
                .is_some_and(|metric| documented.contains(metric))
        });
        assert!(is_documented, "{sample} is not documented");
    }
    for metric in documented {
        let is_there =
            said.samples.contains(metric) || said.samples.contains(&format!("{metric}_count"));
        assert!(is_there, "{metric} is documented, and not there");
    }
    for attribute in &said.attributes {
        assert!(document.contains(&format!("`{attribute}`")), "{attribute}");
    }
    for field in &said.fields {
        assert!(document.contains(&format!("`{field}`")), "{field}");
    }
    for span in said
        .spans
        .iter()
        .filter(|span| !span.starts_with(char::is_uppercase))
    {
        let (family, operation) = span.split_once('.').unwrap_or(("", span));
        assert!(document.contains(&format!("`{family}")), "{span}");
        assert!(document.contains(&format!("`{operation}`")), "{span}");
    }
}
