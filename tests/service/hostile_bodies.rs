//! Bodies that mean to cost the server more than their senders.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Answer, Client};
use crate::content::{bytes, push_blob};
use crate::process::{Octoserve, PATIENCE};

const MIB: u64 = 1 << 20;

fn push_manifest(client: &mut Client, id: &str, manifest: &str) -> Answer {
    client.send(format!(
        "PUT /v2/a/manifests/b HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\n\
         content-type: application/vnd.oci.image.manifest.v1+json\r\n\
         content-length: {}\r\n\r\n{manifest}",
        manifest.len()
    ));
    client.answer()
}

/// Waits until the server has read all that a client sent.
fn until_received(client: &Client) {
    let port = format!(":{:04X} ", client.local_address().port());
    let started = Instant::now();
    loop {
        // Our side's line, with what it has not sent, and the server's, with
        // what it has not read.
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let mut lines = sockets.lines().filter(|line| line.contains(&port));
        if lines.all(|line| line.contains(" 00000000:00000000 ")) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "it is not read: {sockets}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_without_repeating_megabytes_of_it() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    let long = "\u{e9}x".repeat(1_000_000);
    for (number, manifest) in [
        json!({ "schemaVersion": long }),
        json!({ "schemaVersion": 2, "mediaType": long }),
        json!({ "schemaVersion": 2, "config": { "digest": long, "size": 1 } }),
        json!({ "schemaVersion": 2, "layers": long }),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("long-{number}");
        let answer = push_manifest(&mut client, &id, &manifest.to_string());
        assert_eq!(answer.status, 400);
        assert_eq!(answer.refusal().0, "MANIFEST_INVALID");
        assert!(answer.body.len() < 2000, "{}", answer.body.len());
        let line = server.request(&id);
        assert!(line.to_string().len() < 2000, "{}", line.to_string().len());
    }
}

#[test]
fn a_line_of_the_log_is_bounded_whatever_a_client_calls_itself() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_MAX_HEADER_SIZE", "1MiB")]);
    let mut client = server.connect();
    let agent = "x".repeat(900_000);
    client.ask(format!(
        "GET /v2/ HTTP/1.1\r\nhost: a\r\nx-request-id: long\r\nuser-agent: {agent}\r\n\r\n"
    ));
    let line = server.request("long").to_string();
    assert!(
        line.contains("xxxx") && line.len() < 10_000,
        "{}",
        line.len()
    );
}

#[test]
fn a_manifest_that_refers_to_tens_of_thousands_of_missing_blobs_is_answered_in_little() {
    let server = Octoserve::start(&[]);
    let layers: Vec<String> = (0..30_000)
        .map(|number| format!(r#"{{"digest":"sha256:{number:064x}","size":1}}"#))
        .collect();
    let digest = format!("sha256:{}", "f".repeat(64));
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":1}},"layers":[{}]}}"#,
        layers.join(",")
    );
    let answer = push_manifest(&mut server.connect(), "many", &manifest);
    assert_eq!(
        (answer.status, answer.refusal().0.as_str()),
        (400, "MANIFEST_BLOB_UNKNOWN")
    );
    assert!(answer.body.len() < 300_000, "{}", answer.body.len());
    let peak = server.memory("VmHWM");
    eprintln!("30,000 missing layers: {} MiB", peak / MIB);
    assert!(peak < 60 * MIB, "{peak}");
}

#[test]
fn manifests_that_never_end_do_not_fill_the_memory_and_small_ones_are_pushed() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_READ_TIMEOUT", "1h")]);
    let large = " ".repeat(4_000_000);
    let mut waiting: Vec<Client> = (0..17)
        .map(|_| {
            let mut client = server.connect();
            client.send(format!(
                "PUT /v2/a/manifests/b HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{}",
                large.len(),
                &large[1..]
            ));
            client
        })
        .collect();
    let push_large = || push_manifest(&mut server.connect(), "large", &large);
    for client in &waiting {
        until_received(client);
    }
    for _ in 0..30 {
        let answer = push_large();
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("5"))
        );
        assert_eq!(answer.refusal().0, "UNAVAILABLE");
    }
    let small = push_manifest(&mut server.connect(), "small", &large[..60_000]);
    assert_eq!(small.status, 400);
    let peak = server.memory("VmHWM");
    eprintln!("17 manifests of 4 MB that do not end: {} MiB", peak / MIB);
    assert!(peak < 130 * MIB, "{peak}");
    // Those who were first are served, and leave their room to others.
    for client in &mut waiting {
        assert_eq!(client.ask(" ").status, 400);
    }
    assert_eq!(push_large().status, 400);
}

#[test]
fn ranges_are_answered_and_logged_as_such() {
    let server = Octoserve::start(&[]);
    let path = push_blob(&server, "a", &bytes(100_000));
    let mut client = server.connect();
    let answer = client.ask(format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: ranges\r\nrange: bytes=0-9,50-59\r\n\r\n"
    ));
    assert_eq!(answer.status, 206);
    let line = server.request("ranges");
    assert_eq!(line["message"], "request answered", "{line}");
    assert_eq!(line["bytes"], answer.body.len());
}
