//! How it stops.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::End;
use crate::content::{begin_upload, bytes, digest_of, push_blob};
use crate::process::Octoserve;

/// Tells a server to stop, and waits until it knows.
fn stop(server: &Octoserve, signal: Signal) {
    server.signal(signal);
    server.line(|line| line.contains("stopping: no more connections"));
}

#[test]
fn idle_it_ends_at_once_with_0_on_either_signal() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut server = Octoserve::start(&[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "1h")]);
        let mut idle = server.connect();
        idle.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut fresh = server.connect();
        stop(&server, signal);
        assert_eq!(idle.end(), End::Closed);
        assert_eq!(fresh.end(), End::Closed);
        assert_eq!(server.wait().code(), Some(0));
        server.line(|line| line.contains("asked to stop") && line.contains(name));
        server.line(|line| line.contains("\"stopped\""));
    }
}

#[test]
fn what_is_under_way_ends_and_nothing_new_begins() {
    let mut server = Octoserve::start(&[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "1h")]);
    // More than the sockets between us hold.
    let content = bytes(32 << 20);
    let path = push_blob(&server, "a", &content);
    let mut download = server.connect();
    download.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    let head = download.head();
    assert_eq!(head.status, 200);
    let mut upload = server.connect();
    let session = begin_upload(&mut upload, "a");
    let digest = digest_of(b"hello");
    upload.send(format!(
        "PUT {session}?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe"
    ));
    let mut probe = server.connect();
    probe.send("GET /readyz HTTP/1.1\r\nho");
    // Whose request the server knows before it stops.
    server.line(|line| line.contains("/v2/{name}/blobs/uploads/\""));
    let mut marker = server.connect();
    marker.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");

    stop(&server, Signal::TERM);
    assert!(TcpStream::connect(server.address()).is_err());
    let red = probe.ask("st: a\r\n\r\n");
    assert_eq!((red.status, &*red.body), (503, &b"draining\n"[..]));
    assert_eq!(red.header("connection"), Some("close"));
    assert_eq!(probe.end(), End::Closed);
    assert!(server.is_running());
    let stored = upload.ask("llo");
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(upload.end(), End::Closed);
    assert!(server.is_running());
    assert!(download.bytes(content.len()) == content);
    assert_eq!(download.end(), End::Closed);
    assert_eq!(server.wait().code(), Some(0));
    server.line(|line| line.contains("\"stopped\""));
}

#[test]
fn what_does_not_end_in_time_is_cut_off_and_counted() {
    let mut server = Octoserve::start(&[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "100ms")]);
    let mut upload = server.connect();
    let session = begin_upload(&mut upload, "a");
    upload.send(format!(
        "PATCH {session} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(upload.head().status, 100);
    upload.send("he");
    let started = Instant::now();
    stop(&server, Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let line = server.line(|line| line.contains("cut off"));
    assert!(line.contains("\"connections\":1,\"requests\":1"), "{line}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Octoserve::start(&[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "1h")]);
    let mut upload = server.connect();
    let session = begin_upload(&mut upload, "a");
    upload.send(format!(
        "PATCH {session} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(upload.head().status, 100);
    stop(&server, Signal::TERM);
    assert!(server.is_running());
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(1));
    server.line(|line| line.contains("asked to stop at once"));
}
