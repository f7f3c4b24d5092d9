//! A collector that does not do its work is no concern of the clients.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::collector::Collector;
use crate::server::Server;

/// Accepts connections, by the kernel's doing, and never reads from one.
fn hung() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// An address where nobody listens.
fn absent() -> SocketAddr {
    let (listener, address) = hung();
    drop(listener);
    address
}

/// Another server, which answers everything with 404 and knows no gRPC.
fn refusing() -> Server {
    Server::start(&[("OCTOSERVE_LOG_LEVEL", "off,octoserve::wiring=info")])
}

fn spans(server: &Server, outcome: &str) -> f64 {
    let name = format!("octoserve_trace_spans_total{{outcome=\"{outcome}\"}}");
    server.metrics()[&name]
}

/// Serves clients while the collector at `address` fails, until spans were lost
/// in each of these ways, and checks that clients do not notice and the operator
/// does.
fn nothing_changes(address: SocketAddr, protocol: &str, ways: &[&str]) {
    let url = format!("http://{address}");
    let server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OCTOSERVE_TELEMETRY_METRICS_PORT", "0"),
        ("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "2s"),
    ]);
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    while ways.iter().any(|way| spans(&server, way) == 0.0) {
        for number in 0..10 {
            let asked = Instant::now();
            let target = format!("/v2/a/tags/list?n={number}");
            assert_eq!(server.get(&target).status, 404);
            slowest = slowest.max(asked.elapsed());
        }
        assert!(
            began.elapsed() < Duration::from_secs(100),
            "nothing is lost"
        );
    }
    // One that waited for the collector would take all of its 5 s.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert_eq!(spans(&server, "exported"), 0.0);
    server.push_and_pull("a", "v1", &[]);
    let (took, lines) = server.stop();
    assert!(
        took < Duration::from_secs(10),
        "it waited {took:?} for the collector"
    );
    let warnings = lines
        .iter()
        .filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    let warnings: Vec<_> = warnings.collect();
    assert_eq!(warnings.len(), 1, "one a minute is enough: {warnings:#?}");
    assert_eq!(
        warnings[0]["message"],
        "traces do not reach the collector, and spans were dropped"
    );
    assert!(
        warnings[0]["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty())
    );
}

#[test]
fn a_hung_collector_changes_nothing_for_clients() {
    for protocol in ["grpc", "http/protobuf"] {
        let (listener, address) = hung();
        nothing_changes(address, protocol, &["failed", "dropped"]);
        drop(listener);
    }
}

#[test]
fn an_absent_collector_changes_nothing_for_clients() {
    for protocol in ["grpc", "http/protobuf"] {
        nothing_changes(absent(), protocol, &["failed"]);
    }
}

#[test]
fn a_collector_that_refuses_changes_nothing_for_clients() {
    let refusing = refusing();
    for protocol in ["grpc", "http/protobuf"] {
        nothing_changes(refusing.address, protocol, &["failed"]);
    }
}

#[test]
fn a_collector_that_comes_later_gets_what_comes_later() {
    let collector = Collector::start();
    let address = collector.address();
    collector.refuse(true);
    let server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
        ("OCTOSERVE_TELEMETRY_METRICS_PORT", "0"),
    ]);
    let began = Instant::now();
    while spans(&server, "failed") == 0.0 {
        server.get("/v2/");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    collector.refuse(false);
    server.get("/v2/_catalog");
    collector.wait_for(|spans| {
        spans
            .iter()
            .any(|span| span.span.name == "GET /v2/_catalog")
    });
    // They count when the collector's answer has come, a moment after it has them.
    let began = Instant::now();
    while spans(&server, "exported") == 0.0 {
        assert!(began.elapsed() < Duration::from_secs(30));
        thread::yield_now();
    }
}
