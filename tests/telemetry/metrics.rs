//! Metrics as Prometheus gets them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::exchange::ask;
use crate::server::{Server, digest};

const METRICS: (&str, &str) = ("OCTOSERVE_TELEMETRY_METRICS_PORT", "0");

/// Every label that a metric of ours may have, and the values it may have if
/// there are few.
fn may_be(label: &str, value: &str) -> bool {
    match label {
        "method" => [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "_OTHER",
        ]
        .contains(&value),
        "route" => value == "unknown" || value.starts_with("/v2/"),
        "status" => value.parse::<u16>().is_ok_and(|status| status < 600),
        "adapter" => value == "filesystem",
        "operation" => value
            .split_once('.')
            .is_some_and(|(store, _)| ["blob", "upload", "record", "leftover"].contains(&store)),
        "outcome" => [
            "ok",
            "absent",
            "conflict",
            "out_of_order",
            "body_failed",
            "digest_differs",
            "error",
            "cancelled",
            "done",
            "busy",
            "exported",
            "dropped",
            "failed",
        ]
        .contains(&value),
        "fact" => ["claim", "revision", "content"].contains(&value),
        "result" => ["hit", "miss"].contains(&value),
        "version" => value == env!("CARGO_PKG_VERSION"),
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => false,
    }
}

/// The labels of a sample's name.
fn labels(sample: &str) -> Vec<(String, String)> {
    let Some((_, labels)) = sample.trim_end_matches('}').split_once('{') else {
        return Vec::new();
    };
    // No value of ours has a quote in it, though routes have commas' cousins.
    labels
        .split("\",")
        .map(|label| {
            let (name, value) = label.split_once("=\"").expect("a label");
            (name.to_owned(), value.trim_end_matches('"').to_owned())
        })
        .collect()
}

#[test]
fn a_push_and_a_pull_are_counted_by_route_method_and_status() {
    let server = Server::start(&[METRICS, ("OCTOSERVE_STORAGE_CACHE_MAX_AGE", "1h")]);
    server.push_and_pull("team/image", "v1", &[]);
    let metrics = server.metrics();
    let requests = |method: &str, route: &str, status: u16| {
        let name = format!(
            "octoserve_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        );
        metrics.get(&name).copied().unwrap_or_default()
    };
    assert_eq!(requests("HEAD", "/v2/{name}/blobs/{digest}", 404), 2.0);
    assert_eq!(requests("POST", "/v2/{name}/blobs/uploads/", 202), 2.0);
    assert_eq!(
        requests("PATCH", "/v2/{name}/blobs/uploads/{session}", 202),
        2.0
    );
    assert_eq!(
        requests("PUT", "/v2/{name}/blobs/uploads/{session}", 201),
        2.0
    );
    assert_eq!(
        requests("PUT", "/v2/{name}/manifests/{reference}", 201),
        1.0
    );
    assert_eq!(
        requests("GET", "/v2/{name}/manifests/{reference}", 200),
        1.0
    );
    assert_eq!(requests("GET", "/v2/{name}/blobs/{digest}", 200), 2.0);

    let pulls = "{method=\"GET\",route=\"/v2/{name}/blobs/{digest}\"}";
    assert_eq!(
        metrics[&format!("octoserve_http_request_duration_seconds_count{pulls}")],
        2.0
    );
    assert_eq!(
        metrics[&format!("octoserve_http_response_size_bytes_sum{pulls}")],
        21.0
    );
    let chunks = "{method=\"PATCH\",route=\"/v2/{name}/blobs/uploads/{session}\"}";
    assert_eq!(
        metrics[&format!("octoserve_http_request_size_bytes_sum{chunks}")],
        21.0
    );
    assert_eq!(metrics["octoserve_http_requests_in_flight"], 0.0);
    let manifest = metrics["octoserve_http_received_bytes_total"] - 21.0;
    assert!(manifest > 200.0);
    assert!(metrics["octoserve_http_sent_bytes_total"] >= 21.0 + manifest);

    let appended = "{adapter=\"filesystem\",operation=\"upload.append\",outcome=\"ok\"}";
    assert_eq!(
        metrics[&format!("octoserve_storage_operations_total{appended}")],
        2.0
    );
    let appended = "{adapter=\"filesystem\",operation=\"upload.append\"}";
    assert_eq!(
        metrics[&format!("octoserve_storage_operation_duration_seconds_count{appended}")],
        2.0
    );
    let absent = "{adapter=\"filesystem\",operation=\"record.get\",outcome=\"absent\"}";
    assert!(metrics[&format!("octoserve_storage_operations_total{absent}")] >= 2.0);
    let hits = "octoserve_cache_lookups_total{fact=\"claim\",result=\"hit\"}";
    assert!(metrics[hits] >= 1.0);
    assert!(metrics["process_resident_memory_bytes"] > 1e6);
    assert_eq!(
        metrics[&format!(
            "octoserve_build_info{{version=\"{}\"}}",
            env!("CARGO_PKG_VERSION")
        )],
        1.0
    );
}

#[test]
fn labels_are_few_whatever_clients_ask_for() {
    let server = Server::start(&[METRICS]);
    server.push_and_pull("a", "v1", &[]);
    let before = server.metrics().len();
    let first = probe(&server, 0);
    for number in 1..20 {
        probe(&server, number);
    }
    let metrics = server.metrics();
    assert_eq!(
        metrics.len(),
        first,
        "twenty times as much makes no more series"
    );
    assert!(first > before);
    for sample in metrics.keys() {
        for (label, value) in labels(sample) {
            assert!(may_be(&label, &value), "{label} {value:?} in {sample}");
        }
    }
}

/// Asks for what has not been asked for before, and returns how many series
/// there are then.
fn probe(server: &Server, number: u32) -> usize {
    server.get(&format!("/v2/repository-{number}/tags/list"));
    server.get(&format!("/v2/a/manifests/tag-{number}"));
    server.get(&format!("/v2/a/referrers/sha256:{number:064}"));
    server.get(&format!("/path-{number}"));
    server.ask(&format!("METHOD{number}"), "/v2/", &[], b"");
    server.get("/livez");
    server.metrics().len()
}

#[test]
fn repositories_are_told_apart_only_if_they_are_asked_for_and_exist() {
    let server = Server::start(&[METRICS]);
    server.push_and_pull("team/image", "v1", &[]);
    assert!(!server.metrics_text().contains("team/image"));

    let server = Server::start(&[
        METRICS,
        ("OCTOSERVE_TELEMETRY_METRICS_REPOSITORIES", "true"),
    ]);
    server.push_and_pull("team/image", "v1", &[]);
    server.get("/v2/nobodys/tags/list");
    let metrics = server.metrics();
    let pulls = "{repository=\"team/image\",method=\"GET\"}";
    assert_eq!(
        metrics[&format!("octoserve_repository_requests_total{pulls}")],
        3.0
    );
    assert!(metrics[&format!("octoserve_repository_sent_bytes_total{pulls}")] > 221.0);
    let pushes = "{repository=\"team/image\",method=\"PATCH\"}";
    assert_eq!(
        metrics[&format!("octoserve_repository_received_bytes_total{pushes}")],
        21.0
    );
    assert!(metrics.keys().all(|sample| !sample.contains("nobodys")));
}

#[test]
fn what_is_under_way_is_counted_while_it_is() {
    let server = Server::start(&[METRICS]);
    server.ask("POST", "/v2/a/blobs/uploads/", &[], b"");
    let begun = server.ask("POST", "/v2/a/blobs/uploads/", &[], b"");
    assert_eq!(server.metrics()["octoserve_uploads_open"], 2.0);

    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n0123456789",
        begun.header("location")
    );
    stream.write_all(head.as_bytes()).unwrap();
    wait_until(&server, |metrics| {
        metrics["octoserve_http_requests_in_flight"] == 1.0
            && metrics["octoserve_http_received_bytes_total"] == 10.0
    });
    drop(stream);
    wait_until(&server, |metrics| {
        metrics["octoserve_http_requests_in_flight"] == 0.0
    });
}

fn wait_until(
    server: &Server,
    condition: impl Fn(&std::collections::BTreeMap<String, f64>) -> bool,
) {
    let began = Instant::now();
    while !condition(&server.metrics()) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:#?}",
            server.metrics()
        );
    }
}

#[test]
fn the_admin_address_serves_metrics_and_the_public_one_does_not() {
    let server = Server::start(&[METRICS]);
    assert_eq!(server.get("/metrics").status, 404);
    let admin = server.metrics_address();
    assert_ne!(admin, server.address);
    assert_eq!(ask(admin, "GET", "/v2/", &[], b"").status, 404);
    assert_eq!(ask(admin, "GET", "/metrics?name=x", &[], b"").status, 200);
    let refused = ask(admin, "POST", "/metrics", &[], b"x");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, "GET, HEAD")
    );
    let checked = ask(admin, "HEAD", "/metrics", &[], b"");
    assert_eq!((checked.status, checked.body.len()), (200, 0));
}

#[test]
fn whoever_holds_connections_to_the_admin_address_holds_up_nobody_else() {
    let server = Server::start(&[METRICS]);
    let idle: Vec<TcpStream> = (0..10)
        .map(|_| TcpStream::connect(server.metrics_address()).unwrap())
        .collect();
    assert!(server.metrics().contains_key("process_threads"));
    assert_eq!(server.get("/v2/").status, 200);
    drop(idle);
}

#[test]
fn every_metric_is_announced_with_its_type_and_ends_as_the_format_wants() {
    let server = Server::start(&[METRICS]);
    server.push_and_pull("a", "v1", &[]);
    let text = server.metrics_text();
    assert!(text.ends_with("# EOF\n"));
    let announced: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for sample in server.metrics().keys() {
        let name = sample.split('{').next().unwrap();
        let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
        let is_announced = suffixes.iter().any(|suffix| {
            name.strip_suffix(suffix)
                .is_some_and(|family| announced.contains(family))
        });
        assert!(is_announced, "{sample}");
        assert!(
            name.starts_with("octoserve_") || name.starts_with("process_"),
            "{name}"
        );
    }
}

#[test]
fn a_response_says_how_long_it_took_if_a_setting_asks_for_it() {
    let server = Server::start(&[("OCTOSERVE_TELEMETRY_SERVER_TIMING", "true")]);
    server.push_and_pull("a", "v1", &[]);
    let listed = server.get("/v2/a/tags/list");
    let timing = listed.header("server-timing").to_owned();
    let (total, storage) = timing.split_once(", ").unwrap();
    let milliseconds = |text: &str, prefix: &str| {
        let number = text
            .strip_prefix(prefix)
            .unwrap()
            .split(';')
            .next()
            .unwrap();
        number.parse::<f64>().unwrap()
    };
    let total = milliseconds(total, "total;dur=");
    assert!(total > 0.0 && total >= milliseconds(storage, "storage;dur="));
    assert!(storage.ends_with(" operations\""), "{timing}");
    let silent = Server::start(&[METRICS]);
    assert!(!silent.get("/v2/").headers.contains_key("server-timing"));
}

#[test]
fn runs_of_the_collector_and_what_they_remove_are_counted() {
    let server = Server::start(&[
        METRICS,
        ("OCTOSERVE_COLLECT_INTERVAL", "100ms"),
        ("OCTOSERVE_COLLECT_GRACE", "0s"),
    ]);
    let content = b"nobody needs this";
    let pushed = server.ask(
        "POST",
        &format!("/v2/a/blobs/uploads/?digest={}", digest(content)),
        &[],
        content,
    );
    assert_eq!(pushed.status, 201);
    wait_until(&server, |metrics| {
        metrics["octoserve_collector_removed_blobs_total"] == 1.0
            && metrics["octoserve_collector_removed_bytes_total"] == 17.0
            && metrics["octoserve_collector_runs_total{outcome=\"done\"}"] >= 1.0
    });
    assert_eq!(
        server.metrics()["octoserve_collector_runs_total{outcome=\"failed\"}"],
        0.0
    );
}
