//! Clients that keep the server waiting.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, End};
use crate::content::{begin_upload, bytes, digest_of, push_blob};
use crate::process::Octoserve;

/// What a timeout is configured to, in these tests.
const SHORT: &str = "300ms";

/// How long it is at least, and at most on a machine that is busy.
const ABOUT_SHORT: std::ops::Range<Duration> = Duration::from_millis(290)..Duration::from_secs(5);

fn check_elapsed(since: Instant) {
    let elapsed = since.elapsed();
    assert!(ABOUT_SHORT.contains(&elapsed), "{elapsed:?}");
}

/// The variables of a server that is patient but for one thing.
fn short(timeout: &'static str) -> [(&'static str, &'static str); 2] {
    [(timeout, SHORT), ("OCTOSERVE_LOG_LEVEL", "debug")]
}

#[test]
fn a_connection_without_a_request_is_closed_after_the_idle_timeout() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_IDLE_TIMEOUT"));
    let started = Instant::now();
    let mut silent = server.connect();
    assert_eq!(silent.end(), End::Closed);
    check_elapsed(started);
    let mut once = server.connect();
    once.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    let started = Instant::now();
    assert_eq!(once.end(), End::Closed);
    check_elapsed(started);
    server.line(|line| line.contains("closed an idle connection"));
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_however_it_trickles() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_HEADER_TIMEOUT"));
    for already in [0, 1] {
        let mut client = server.connect();
        for _ in 0..already {
            client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
        }
        let started = Instant::now();
        client.send("GET /v2/ HTTP/1.1\r\n");
        // Each byte comes in time, and the end of the head does not.
        while client.try_send("x").is_ok() && started.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(20));
        }
        check_elapsed(started);
    }
    server.lines(2, |line| {
        line.contains("the head of its request did not come")
    });
}

#[test]
fn the_head_of_the_next_request_may_be_late_while_an_answer_is_read() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_HEADER_TIMEOUT"));
    let content = bytes(32 << 20);
    let path = push_blob(&server, "a", &content);
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\nGET /v2/ HT"));
    thread::sleep(Duration::from_millis(600));
    assert!(client.answer().body == content);
    assert_eq!(client.ask("TP/1.1\r\nhost: a\r\n\r\n").status, 200);
}

#[test]
fn a_body_that_stands_still_is_refused_and_what_came_is_kept() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_READ_TIMEOUT"));
    let mut client = server.connect();
    let session = begin_upload(&mut client, "a");
    for (framing, start) in [
        ("content-length: 10", "hello"),
        ("transfer-encoding: chunked", ""),
    ] {
        let started = Instant::now();
        let answer = client.ask(format!(
            "PATCH {session} HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{start}"
        ));
        check_elapsed(started);
        assert_eq!(answer.status, 408, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.refusal().0, "BLOB_UPLOAD_INVALID");
        client.close_sending_side();
        client.end();
        client = server.connect();
        let status = client.ask(format!("GET {session} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!((status.status, status.header("range")), (204, Some("0-4")));
    }
    let mut manifest = server.connect();
    let answer =
        manifest.ask("PUT /v2/a/manifests/b HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{");
    assert_eq!(answer.status, 408);
}

#[test]
fn a_body_that_trickles_is_waited_for() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_READ_TIMEOUT"));
    let mut client = server.connect();
    let session = begin_upload(&mut client, "a");
    let digest = digest_of(&[b'x'; 20]);
    client.send(format!(
        "PUT {session}?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n"
    ));
    let started = Instant::now();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(30));
        client.send("x");
    }
    assert_eq!(client.answer().status, 201);
    assert!(started.elapsed() > Duration::from_millis(590));
}

#[test]
fn a_reader_that_does_not_read_is_cut_off() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_WRITE_TIMEOUT"));
    let path = push_blob(&server, "a", &bytes(32 << 20));
    let mut client = server.connect();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: stuck\r\n\r\n"
    ));
    let line = server.request("stuck");
    assert_eq!(line["message"], "client went away", "{line}");
    let waited = line["duration_ms"].as_f64().unwrap();
    assert!((290.0..5000.0).contains(&waited), "{line}");
    server.line(|line| line.contains("its peer does not read"));
    assert!(client.rest().0.len() < 32 << 20);
}

#[test]
fn a_reader_of_small_answers_that_does_not_read_is_cut_off() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_WRITE_TIMEOUT"));
    let mut client = server.connect();
    let many = "GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let started = Instant::now();
    while client.try_send(&many).is_ok() {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "it reads for ever"
        );
    }
    server.line(|line| line.contains("its peer does not read"));
    let peak = server.memory("VmHWM");
    assert!(peak < 40 << 20, "{peak}");
}

#[test]
fn a_reader_that_reads_slowly_is_served_to_the_end() {
    let server = Octoserve::start(&short("OCTOSERVE_SERVER_WRITE_TIMEOUT"));
    let content = bytes(8 << 20);
    let path = push_blob(&server, "a", &content);
    let mut client: Client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    assert_eq!(client.head().status, 200);
    let started = Instant::now();
    for piece in content.chunks(128 << 10) {
        thread::sleep(Duration::from_millis(30));
        assert!(client.bytes(piece.len()) == piece);
    }
    assert!(
        started.elapsed() > Duration::from_millis(1900),
        "{:?}",
        started.elapsed()
    );
}
