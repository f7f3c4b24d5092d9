//! What many clients cost.

use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::Client;
use crate::content::{begin_upload, bytes, digest_of, push_blob};
use crate::process::Octoserve;

const MIB: u64 = 1 << 20;

/// Lets this process have many connections.
fn allow_connections() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

#[test]
fn thousands_of_idle_connections_cost_tens_of_mebibytes() {
    allow_connections();
    let server = Octoserve::start(&[]);
    let mut clients: Vec<Client> = (0..2500).map(|_| server.connect()).collect();
    // Most have asked for something before they fell silent.
    for client in clients.iter_mut().skip(500) {
        client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    let started = std::time::Instant::now();
    let answer = server
        .connect()
        .ask("GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    let peak = server.memory("VmHWM");
    eprintln!("2500 idle connections: {} MiB", peak / MIB);
    assert!(peak < 60 * MIB, "{peak}");
}

#[test]
fn two_hundred_trickling_uploads_cost_little() {
    let server = Octoserve::start(&[]);
    let content = bytes(6_000);
    let digest = digest_of(&content);
    let mut clients: Vec<Client> = (0..200)
        .map(|number| {
            let mut client = server.connect();
            let session = begin_upload(&mut client, &format!("r{number}"));
            client.send(format!(
                "PUT {session}?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
                content.len()
            ));
            client
        })
        .collect();
    for piece in content.chunks(300) {
        for client in &mut clients {
            client.send(piece);
        }
        thread::sleep(Duration::from_millis(50));
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 201);
    }
    let peak = server.memory("VmHWM");
    eprintln!("200 trickling uploads: {} MiB", peak / MIB);
    assert!(peak < 40 * MIB, "{peak}");
}

#[test]
fn readers_that_do_not_read_cost_a_small_buffer_each() {
    let server = Octoserve::start(&[]);
    let path = push_blob(&server, "a", &bytes(64 << 20));
    let idle = server.memory("VmRSS");
    let mut clients: Vec<Client> = (0..64)
        .map(|_| {
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
            client
        })
        .collect();
    for client in &mut clients {
        assert_eq!(client.head().status, 200);
        client.bytes(1000);
    }
    let others = server.connect().ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(others.status, 200);
    thread::sleep(Duration::from_millis(300));
    let (own, peak) = (server.memory("RssAnon"), server.memory("VmHWM"));
    eprintln!(
        "64 readers that do not read: {} MiB of its own, {} MiB with mapped files, idle {} MiB",
        own / MIB,
        peak / MIB,
        idle / MIB
    );
    assert!(own < 20 * MIB, "{own}");
    assert!(peak < 90 * MIB, "{peak}");
}

#[test]
fn manifests_that_trickle_cost_what_has_come_of_them() {
    let server = Octoserve::start(&[]);
    let mut clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = server.connect();
            client.send(
                "PUT /v2/a/manifests/b HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n{",
            );
            client
        })
        .collect();
    let answer = server.connect().ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    for client in &mut clients {
        client.send(" ".repeat(20_000));
    }
    let peak = server.memory("VmHWM");
    eprintln!("200 trickling manifests: {} MiB", peak / MIB);
    assert!(peak < 60 * MIB, "{peak}");
}
