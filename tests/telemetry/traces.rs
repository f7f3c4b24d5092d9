//! Traces as a collector gets them.

use std::collections::BTreeMap;
use std::fmt::Write;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::collector::{Collector, Received};
use crate::server::Server;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What an operator reads of a push and a pull.
const PUSH_AND_PULL: &str = "\
HEAD /v2/{name}/blobs/{digest} 404
  check blob
POST /v2/{name}/blobs/uploads/ 202
  begin upload
PATCH /v2/{name}/blobs/uploads/{session} 202
  append chunk
PUT /v2/{name}/blobs/uploads/{session} 201
  finish upload
HEAD /v2/{name}/blobs/{digest} 404
  check blob
POST /v2/{name}/blobs/uploads/ 202
  begin upload
PATCH /v2/{name}/blobs/uploads/{session} 202
  append chunk
PUT /v2/{name}/blobs/uploads/{session} 201
  finish upload
PUT /v2/{name}/manifests/{reference} 201
  push manifest
GET /v2/{name}/manifests/{reference} 200
  pull manifest
GET /v2/{name}/blobs/{digest} 200
  pull blob
GET /v2/{name}/blobs/{digest} 200
  pull blob
";

/// Some of what is beneath that, whichever else a use case does.
const STORAGE: [&str; 7] = [
    "  check blob\n    record.get (claim: absent)\n",
    "  begin upload\n    upload.begin (upload: ok)\n",
    "    upload.append (upload: ok)\n",
    "    upload.finish (upload: ok)\n",
    "    blob.put (blob: ok)\n",
    "    record.write (several: ok)\n",
    "  pull manifest\n    record.get (tag: ok)\n",
];

fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE}-{CALLER}-0{}", u8::from(sampled))
}

/// The spans of the trace under the caller's, as an outline of so many levels.
fn outline(spans: &[Received], levels: usize) -> String {
    let mut children: BTreeMap<&[u8], Vec<&Received>> = BTreeMap::new();
    for received in spans {
        let parent = &*received.span.parent_span_id;
        children.entry(parent).or_default().push(received);
    }
    let mut text = String::new();
    let caller = hex::decode(CALLER).expect("an identifier");
    write_children(&mut text, &children, &caller, 0, levels);
    text
}

fn write_children(
    text: &mut String,
    children: &BTreeMap<&[u8], Vec<&Received>>,
    parent: &[u8],
    depth: usize,
    levels: usize,
) {
    if depth == levels {
        return;
    }
    let mut spans = children.get(parent).cloned().unwrap_or_default();
    spans.sort_by_key(|received| received.span.start_time_unix_nano);
    for received in spans {
        let kind = received.attribute("octoserve.storage.key.kind");
        let outcome = received.attribute("octoserve.storage.outcome");
        let storage = kind.zip(outcome);
        let storage = storage.map_or_else(String::new, |(kind, outcome)| {
            format!(" ({kind}: {outcome})")
        });
        let status = received.attribute("http.response.status_code");
        let status = status.map_or_else(String::new, |status| format!(" {status}"));
        let _ = writeln!(
            text,
            "{:depth$}{}{storage}{status}",
            "",
            received.span.name,
            depth = depth * 2
        );
        write_children(text, children, &received.span.span_id, depth + 1, levels);
    }
}

fn roots(spans: &[Received]) -> usize {
    let is_root = |received: &&Received| received.span.kind == SpanKind::Server as i32;
    spans.iter().filter(is_root).count()
}

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    let found = spans.iter().find(|received| received.span.name == name);
    found.unwrap_or_else(|| panic!("no span is called {name:?}"))
}

fn push_and_pull_is_one_trace(variables: &[(&str, &str)]) -> Vec<Received> {
    let collector = Collector::start();
    let url = collector.url();
    let variables = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)], variables].concat();
    let server = Server::start(&variables);
    let traceparent = traceparent(true);
    server.push_and_pull("team/image", "v1", &[("traceparent", &traceparent)]);
    let spans = collector.wait_for(|spans| roots(spans) == 12);
    server.stop();
    let spans_then = collector.spans();
    assert_eq!(spans_then.len(), spans.len(), "a root comes after all else");
    for received in &spans {
        assert_eq!(hex::encode(&received.span.trace_id), TRACE);
    }
    assert_eq!(outline(&spans, 2), PUSH_AND_PULL);
    let whole = outline(&spans, 3);
    for step in STORAGE {
        assert!(whole.contains(step), "{step} is not in\n{whole}");
    }
    spans
}

#[test]
fn a_push_and_a_pull_are_one_readable_trace_over_http() {
    let spans = push_and_pull_is_one_trace(&[]);
    let resource = |name| spans[0].resource(name);
    assert_eq!(resource("service.name").as_deref(), Some("octoserve"));
    assert_eq!(
        resource("service.version").as_deref(),
        Some(env!("CARGO_PKG_VERSION"))
    );

    let request = named(&spans, "PUT /v2/{name}/manifests/{reference}");
    let attribute = |name| request.attribute(name).unwrap_or_default();
    assert_eq!(attribute("http.request.method"), "PUT");
    assert_eq!(attribute("http.route"), "/v2/{name}/manifests/{reference}");
    assert_eq!(attribute("url.path"), "/v2/team/image/manifests/v1");
    assert_eq!(attribute("url.scheme"), "http");
    assert_eq!(attribute("server.address"), "127.0.0.1");
    assert_eq!(attribute("network.peer.address"), "127.0.0.1");
    assert_eq!(attribute("network.protocol.version"), "1.1");
    assert_eq!(attribute("octoserve.repository"), "team/image");
    assert_eq!(attribute("http.response.status_code"), "201");
    assert!(attribute("http.request.body.size").parse::<u64>().unwrap() > 200);
    let operations: usize = attribute("octoserve.storage.operations").parse().unwrap();
    let use_case = named(&spans, "push manifest");
    assert_eq!(use_case.attribute("octoserve.tag").as_deref(), Some("v1"));
    let parent = &use_case.span.span_id;
    let children = spans
        .iter()
        .filter(|span| span.span.parent_span_id == *parent);
    let children: Vec<&Received> = children.collect();
    assert_eq!(children.len(), operations, "each is counted once");
    let longest = children
        .iter()
        .map(|child| child.span.end_time_unix_nano - child.span.start_time_unix_nano);
    let whole = request.span.end_time_unix_nano - request.span.start_time_unix_nano;
    assert!(longest.max().unwrap() <= whole);

    let append = named(&spans, "upload.append");
    assert_eq!(
        append.attribute("octoserve.storage.bytes").as_deref(),
        Some("19")
    );
    assert_eq!(
        append.attribute("octoserve.storage.adapter").as_deref(),
        Some("filesystem")
    );
}

#[test]
fn a_push_and_a_pull_are_one_readable_trace_over_grpc() {
    let spans = push_and_pull_is_one_trace(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20secret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_SERVICE_NAME", "images"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=not-this,team=a%2Cb",
        ),
        ("OCTOSERVE_STORAGE_TYPE", "filesystem"),
    ]);
    assert_eq!(spans[0].key.as_deref(), Some("a secret"));
    assert_eq!(spans[0].resource("service.name").as_deref(), Some("images"));
    assert_eq!(spans[0].resource("team").as_deref(), Some("a,b"));
}

#[test]
fn our_own_settings_count_more_than_the_standard_ones() {
    let collector = Collector::start();
    let server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://127.0.0.1:2/traces",
        ),
        (
            "OCTOSERVE_TELEMETRY_TRACES_ENDPOINT",
            &format!("{}/v1/traces", collector.url()),
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OCTOSERVE_TELEMETRY_PROTOCOL", "http/protobuf"),
        ("OCTOSERVE_TELEMETRY_COMPRESSION", "gzip"),
        ("OCTOSERVE_TELEMETRY_HEADERS", "x-key=1"),
    ]);
    assert_eq!(server.get("/v2/").status, 200);
    let spans = collector.wait_for(|spans| roots(spans) == 1);
    assert_eq!(spans[0].key.as_deref(), Some("1"));
    // The caller said nothing, so the trace begins here.
    let root = named(&spans, "GET /v2/");
    assert!(root.span.parent_span_id.is_empty());
    assert_eq!(named(&spans, "ping").span.parent_span_id, root.span.span_id);
}

#[test]
fn a_refusal_has_its_code_and_only_a_failure_of_ours_is_an_error() {
    let collector = Collector::start();
    let server = Server::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    server.push_and_pull("a", "v1", &[]);
    assert_eq!(server.get("/v2/a/manifests/v2").status, 404);
    assert_eq!(server.ask("BREW", "/coffee", &[], b"").status, 404);
    server.get("/v2/a/tags/list");
    let spans = collector.wait_for(|spans| roots(spans) == 15);
    let refused = spans.iter().find(|received| {
        received.attribute("http.response.status_code").as_deref() == Some("404")
            && received.span.name == "GET /v2/{name}/manifests/{reference}"
    });
    let refused = refused.expect("the refused request");
    assert_eq!(
        refused.attribute("octoserve.error.code").as_deref(),
        Some("MANIFEST_UNKNOWN")
    );
    assert_eq!(refused.attribute("error.type"), None);
    let status = refused.span.status.as_ref().map_or(0, |status| status.code);
    assert_eq!(status, StatusCode::Unset as i32);

    let unknown = named(&spans, "HTTP");
    assert_eq!(
        unknown.attribute("http.request.method").as_deref(),
        Some("_OTHER")
    );
    assert_eq!(
        unknown.attribute("http.request.method_original").as_deref(),
        Some("BREW")
    );
    assert_eq!(unknown.attribute("http.route"), None);
}

#[test]
fn a_failing_store_shows_at_every_level_of_the_trace() {
    let collector = Collector::start();
    let server = Server::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    server.push_and_pull("a", "v1", &[]);
    server.break_tags("a");
    let failed = server.get("/v2/a/manifests/v1");
    assert_eq!(failed.status, 500);
    let failing = |received: &&Received| {
        let status = received.span.status.as_ref();
        status.is_some_and(|status| status.code == StatusCode::Error as i32)
    };
    let spans = collector.wait_for(|spans| spans.iter().filter(failing).count() == 3);
    let failing: Vec<&Received> = spans.iter().filter(failing).collect();
    let error_types: Vec<_> = failing
        .iter()
        .map(|received| {
            (
                &*received.span.name,
                received.attribute("error.type").unwrap(),
            )
        })
        .collect();
    assert_eq!(
        error_types,
        [
            ("record.get", "permanent".to_owned()),
            ("pull manifest", "UNKNOWN".to_owned()),
            ("GET /v2/{name}/manifests/{reference}", "500".to_owned()),
        ]
    );
    for received in failing {
        let status = received.span.status.as_ref().unwrap();
        assert!(
            status.message.starts_with("could not "),
            "{}",
            status.message
        );
    }
}

#[test]
fn who_is_not_sampled_is_not_traced_and_leaves_no_trace_in_the_log() {
    let collector = Collector::start();
    let server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ]);
    let (sampled, unsampled) = (traceparent(true), traceparent(false));
    assert_eq!(server.get("/v2/").status, 200);
    for garbage in [
        "",
        "00-xyz",
        "ff-0-0-0",
        "00-00000000000000000000000000000000-0000000000000000-01",
    ] {
        assert_eq!(
            server
                .ask("GET", "/v2/", &[("traceparent", garbage)], b"")
                .status,
            200
        );
    }
    server.ask("GET", "/v2/", &[("traceparent", &unsampled)], b"");
    server.ask("GET", "/v2/_catalog", &[("traceparent", &sampled)], b"");
    let spans = collector.wait_for(|spans| roots(spans) == 1);
    let (_, lines) = server.stop();
    assert_eq!(collector.spans().len(), spans.len());
    let root = named(&spans, "GET /v2/_catalog");
    let answered = lines
        .iter()
        .filter(|line| line["message"] == "request answered");
    let (traced, untraced): (Vec<_>, Vec<_>) =
        answered.partition(|line| line.get("trace_id").is_some());
    assert_eq!((traced.len(), untraced.len()), (1, 6));
    assert_eq!(traced[0]["trace_id"], TRACE);
    assert_eq!(traced[0]["span_id"], hex::encode(&root.span.span_id));
    assert_eq!(traced[0]["route"], "/v2/_catalog");
}

#[test]
fn what_has_ended_is_sent_before_the_program_ends() {
    let collector = Collector::start();
    let server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ]);
    for _ in 0..3 {
        server.get("/v2/");
    }
    let (took, _) = server.stop();
    assert_eq!(roots(&collector.spans()), 3);
    assert!(took.as_secs() < 5, "{took:?}");
}

#[test]
fn without_an_endpoint_or_with_the_kit_disabled_there_is_nothing() {
    let collector = Collector::start();
    let url = collector.url();
    for variables in [
        &[
            ("OTEL_SERVICE_NAME", "x"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ][..],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_SDK_DISABLED", "true"),
        ],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_TRACES_EXPORTER", "none"),
        ],
    ] {
        let server = Server::start(variables);
        let answer = server.ask("GET", "/v2/", &[("traceparent", &traceparent(true))], b"");
        assert!(!answer.headers.contains_key("server-timing"));
        let (_, lines) = server.stop();
        assert!(lines.iter().all(|line| line.get("trace_id").is_none()));
    }
    assert_eq!(collector.spans().len(), 0);
}
