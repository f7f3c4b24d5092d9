//! What the log says of requests.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::content::{begin_upload, bytes, push_blob};
use crate::process::Octoserve;

#[test]
fn a_request_is_one_line_of_json_that_says_all_of_it() {
    let server = Octoserve::start(&[]);
    let content = bytes(1000);
    let path = push_blob(&server, "some/thing", &content);
    let mut client = server.connect();
    let answer = client.ask(format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: abc-1\r\nuser-agent: test/1\r\n\r\n"
    ));
    assert_eq!((answer.status, answer.body == content), (200, true));
    assert_eq!(answer.id(), "abc-1");
    let line = server.request("abc-1");
    let object = line.as_object().unwrap();
    let field = |name: &str| object.get(name).unwrap_or(&Value::Null).clone();
    assert_eq!(field("level"), "INFO");
    assert_eq!(field("method"), "GET");
    assert_eq!(field("route"), "/v2/{name}/blobs/{digest}");
    assert_eq!(field("repository"), "some/thing");
    assert_eq!(field("status"), 200);
    assert_eq!(field("bytes"), 1000);
    assert_eq!(field("peer"), client.local_address().to_string());
    assert_eq!(field("user_agent"), "test/1");
    assert!(field("duration_ms").as_f64().unwrap() > 0.0);
    assert!(humantime::parse_rfc3339(field("timestamp").as_str().unwrap()).is_ok());
    assert_eq!(server.count_requests("abc-1"), 1);
}

#[test]
fn a_line_of_text_says_the_same() {
    let server = Octoserve::start(&[("OCTOSERVE_LOG_FORMAT", "text")]);
    let mut client = server.connect();
    client.ask("GET /v2/some/thing/tags/list HTTP/1.1\r\nhost: a\r\nx-request-id: abc\r\n\r\n");
    let line = server.line(|line| line.contains("request_id=abc"));
    for word in [
        " INFO  request refused target=octoserve::request ",
        " method=GET ",
        " route=/v2/{name}/tags/list ",
        " repository=some/thing ",
        " status=404 ",
        " duration_ms=",
        &format!(" peer={} ", client.local_address()),
        " code=NAME_UNKNOWN ",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
}

#[test]
fn levels_come_from_the_configuration() {
    let server = Octoserve::start(&[("OCTOSERVE_LOG_LEVEL", "info,octoserve::request=off")]);
    let mut client = server.connect();
    client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: unseen\r\n\r\n");
    drop(client);
    let chatty = Octoserve::start(&[
        ("OCTOSERVE_LOG_LEVEL", "info,octoserve=debug"),
        ("OCTOSERVE_SERVER_IDLE_TIMEOUT", "10ms"),
    ]);
    let mut idle = chatty.connect();
    idle.end();
    chatty.line(|line| line.contains("\"DEBUG\"") && line.contains("closed an idle connection"));
    assert!(
        !server.log().iter().any(|line| line.contains("unseen")),
        "{:?}",
        server.log()
    );
}

#[test]
fn a_refusal_is_logged_once_with_the_id_that_the_client_was_told() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    let answer = client.ask("GET /v2/a/manifests/latest HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.status, 404);
    let line = server.request(answer.id());
    assert_eq!(line["message"], "request refused");
    assert_eq!(line["code"], answer.refusal().0);
    assert_eq!(line["status"], 404);
    assert_eq!(server.count_requests(answer.id()), 1);
}

#[test]
fn what_breaks_inside_is_logged_with_its_cause_and_not_told_to_the_client() {
    let server = Octoserve::start(&[]);
    let uploads = server.data().join("uploads");
    std::fs::remove_dir_all(&uploads).unwrap();
    std::fs::write(&uploads, "in the way").unwrap();
    let mut client = server.connect();
    let answer =
        client.ask("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(answer.status, 500, "{answer:?}");
    let told = String::from_utf8(answer.body.clone()).unwrap();
    for secret in [
        "uploads",
        "os error",
        "directory",
        &*server.directory().to_string_lossy(),
    ] {
        assert!(!told.contains(secret), "{told}");
    }
    let line = server.request(answer.id());
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["cause"].as_str().unwrap().contains("os error"),
        "{line}"
    );
    assert_eq!(server.count_requests(answer.id()), 1);
}

#[test]
fn a_request_whose_client_went_away_before_the_answer_is_one_line_too() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    let upload = begin_upload(&mut client, "a");
    client.send(format!(
        "PATCH {upload} HTTP/1.1\r\nhost: a\r\nx-request-id: gone\r\ncontent-length: 100\r\n\r\nabc"
    ));
    drop(client);
    let line = server.request("gone");
    assert_eq!(line["method"], "PATCH");
    assert_eq!(server.count_requests("gone"), 1);
}

#[test]
fn a_client_chooses_an_id_that_is_plain_and_no_other() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    let mut id_for = |given: &str| {
        let request = format!("GET /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: {given}\r\n\r\n");
        client.ask(request).id().to_owned()
    };
    for plain in [
        "a",
        "0af7651916cd43dd-8448eb211c80319c",
        "Root=1-67891233:a.b/c_d+e",
    ] {
        assert_eq!(id_for(plain), plain);
    }
    let long = "x".repeat(65);
    for other in [
        "",
        "a b",
        "a\",\"level\":\"ERROR",
        "a\tb",
        "<script>",
        "\u{e9}",
        &long,
        "a;b",
    ] {
        let id = id_for(other);
        assert_ne!(id, other);
        assert!(
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "{id}"
        );
    }
    let twice = client
        .ask("GET /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: one\r\nx-request-id: two\r\n\r\n");
    assert_eq!(twice.id(), "one");
}

#[test]
fn what_clients_send_cannot_forge_a_line() {
    let server = Octoserve::start(&[("OCTOSERVE_LOG_LEVEL", "trace")]);
    let mut client = server.connect();
    for request in [
        "GET /v2/%0a{\"level\":\"ERROR\"}/tags/list HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /v2/a/tags/list?n=%0d%0aforged HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nhost: a\r\nuser-agent: \"}\\n{\"level\":\"ERROR\t\r\n\r\n",
        "X\"Y /v2/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "EVIL! /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: the-end\r\n\r\n",
    ] {
        if client.try_send(request).is_ok() {
            client = server.connect();
            client.send(request);
            client.answer();
        }
    }
    let mut last = server.connect();
    last.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: really-the-end\r\n\r\n");
    server.request("really-the-end");
    for line in server.log() {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_ne!(line["level"], "ERROR", "{line}");
    }
}

#[test]
fn a_log_that_nobody_reads_delays_no_request_and_takes_no_memory() {
    let mut server = Octoserve::start_with_stalled_log(&[]);
    let mut client = server.connect();
    let agent = "x".repeat(1000);
    let request = format!("GET /v2/ HTTP/1.1\r\nhost: a\r\nuser-agent: {agent}\r\n\r\n");
    client.ask(&request);
    let before = server.memory("VmRSS");
    let started = Instant::now();
    // Several times what a pipe and the buffer hold.
    for _ in 0..500 {
        client.send(request.repeat(10));
        for _ in 0..10 {
            assert_eq!(client.answer().status, 200);
        }
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    let grown = server.memory("VmHWM").saturating_sub(before);
    assert!(grown < 8 << 20, "{grown}");

    server.signal(rustix::process::Signal::TERM);
    let lines = server.read_stalled_log();
    assert_eq!(server.wait().code(), Some(0));
    let is_notice = |line: &&String| line.contains("log lines were dropped");
    let dropped = |notice: &String| {
        let notice: Value = serde_json::from_str(notice).unwrap();
        notice["dropped"].as_u64().unwrap()
    };
    let notices: Vec<u64> = lines.iter().filter(is_notice).map(dropped).collect();
    assert!(!notices.is_empty());
    // Every request, and the three lines of the end.
    let written = (lines.len() - notices.len()) as u64;
    assert_eq!(written + notices.iter().sum::<u64>(), 5001 + 3);
}

#[test]
fn a_log_whose_reader_is_gone_stops_no_request_and_no_server() {
    let mut server = Octoserve::start_with_stalled_log(&[]);
    server.close_log();
    let mut client = server.connect();
    for _ in 0..5000 {
        assert_eq!(
            client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").status,
            200
        );
    }
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}
