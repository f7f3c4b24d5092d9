//! Servers that are killed, and servers that replace each other, under load.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use octoserve::domain::media_type::OCI_MANIFEST;
use tempfile::TempDir;

use crate::content::{Document, bytes, digest};
use crate::load::{Ask, Client};
use crate::server::{Answer, Connection, Server};
use crate::stored::{Stored, files_below};

const CLIENTS: u64 = 4;

/// Asks one server until that is gone.
struct OneServer(Connection);

impl Ask for OneServer {
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        self.0.ask(method, path, content_type, body)
    }
}

#[test]
fn twenty_times_a_server_is_killed_and_nothing_acknowledged_is_lost() {
    const ROUNDS: u64 = 20;
    let data = TempDir::new().expect("a temporary directory");
    let mut clients: Vec<Client> = (1..=CLIENTS).map(Client::new).collect();
    for round in 0..ROUNDS {
        let server = Server::start(data.path(), &[]);
        let address = server.address;
        let taken = &AtomicU64::new(0);
        thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(move || {
                    let connection = Connection::open(address).expect("it listens");
                    let mut server = OneServer(connection);
                    while client.take_turn(&mut server).is_ok() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // Under load, however slow the machine; and each round is killed in
            // the middle of something else.
            let deadline = Instant::now() + Duration::from_secs(60);
            while taken.load(Ordering::Relaxed) < 3 * CLIENTS && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(round * 37 % 100));
            server.signal(Signal::SIGKILL);
        });
        drop(server);
        let stored = Stored::in_files(&files_below(data.path()));
        assert_eq!(stored.faults(), [] as [String; 0], "after round {round}");
        for client in &clients {
            let missed = client.missed(&stored);
            assert_eq!(missed, [] as [String; 0], "after round {round}");
        }
    }
    let turns: u64 = clients.iter().map(Client::turns).sum();
    assert!(turns > ROUNDS * CLIENTS, "there was load: {turns}");
}

/// Asks whichever server takes the request: the one that it is connected to, or
/// if that is gone, or has closed the connection between two requests, the one
/// that serves now.
struct AnyServer<'a> {
    serving: &'a Mutex<SocketAddr>,
    connection: Option<Connection>,
}

impl Ask for AnyServer<'_> {
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        if let Some(connection) = &mut self.connection {
            match connection.ask(method, path, content_type, body) {
                Ok(answer) => {
                    if answer.header("connection") == Some("close") {
                        self.connection = None;
                    }
                    return Ok(answer);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        let address = *self.serving.lock().expect("an address");
        let connection = self.connection.insert(Connection::open(address)?);
        connection.ask(method, path, content_type, body)
    }
}

#[test]
fn a_server_replaces_another_under_load_and_no_request_fails() {
    const REPLACEMENTS: usize = 4;
    let data = TempDir::new().expect("a temporary directory");
    let mut server = Server::start(data.path(), &[]);
    let serving = Mutex::new(server.address);
    let over = AtomicBool::new(false);
    let mut clients: Vec<Client> = (1..=CLIENTS).map(Client::new).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            let (serving, over) = (&serving, &over);
            scope.spawn(move || {
                let mut server = AnyServer {
                    serving,
                    connection: None,
                };
                while !over.load(Ordering::Relaxed) {
                    client.take_turn(&mut server).expect("no request fails");
                }
            });
        }
        for _ in 0..REPLACEMENTS {
            thread::sleep(Duration::from_millis(300));
            // Both serve for a while, and the old one goes with its clients.
            let next = Server::start(data.path(), &[]);
            *serving.lock().expect("an address") = next.address;
            server.signal(Signal::SIGTERM);
            let status = std::mem::replace(&mut server, next).wait();
            assert!(status.success(), "{status}");
        }
        over.store(true, Ordering::Relaxed);
    });
    let stored = Stored::in_files(&files_below(data.path()));
    assert_eq!(stored.faults(), [] as [String; 0]);
    for client in &clients {
        assert_eq!(client.missed(&stored), [] as [String; 0]);
    }
}

#[test]
fn two_servers_see_what_the_other_does() {
    let data = TempDir::new().expect("a temporary directory");
    let max_age = Duration::from_millis(500);
    let variables = [("OCTOSERVE_STORAGE_CACHE_MAX_AGE", "500ms")];
    let servers = [(); 2].map(|()| Server::start(data.path(), &variables));
    let [mut one, mut other] = servers
        .each_ref()
        .map(|server| Connection::open(server.address).expect("it listens"));
    let layer = bytes(1, 1000);
    let blob = format!("/v2/a/blobs/{}", digest(&layer));
    let push = format!("/v2/a/blobs/uploads/?digest={}", digest(&layer));
    let pushed = one.ask("POST", &push, "application/octet-stream", &layer);
    assert_eq!(pushed.expect("answers").status, 201);
    assert_eq!(
        other.ask("GET", &blob, "", b"").expect("answers").body,
        layer
    );

    let images = [2, 3].map(|seed| Document::image(&[layer.clone(), bytes(seed, 500)]));
    for image in &images {
        for (server, blob) in [(&mut one, bytes(2, 500)), (&mut other, bytes(3, 500))] {
            let push = format!("/v2/a/blobs/uploads/?digest={}", digest(&blob));
            let pushed = server.ask("POST", &push, "application/octet-stream", &blob);
            assert_eq!(pushed.expect("answers").status, 201);
        }
        // A tag is what it was pushed as last, at once and everywhere.
        let tag = "/v2/a/manifests/latest";
        let pushed = one.ask("PUT", tag, OCI_MANIFEST, &image.content);
        assert_eq!(pushed.expect("answers").status, 201);
        for server in [&mut one, &mut other] {
            let pulled = server.ask("GET", tag, "", b"").expect("answers");
            assert_eq!(pulled.body, image.content);
        }
    }

    let by_digest = format!("/v2/a/manifests/{}", images[1].digest());
    assert_eq!(
        other
            .ask("GET", &by_digest, "", b"")
            .expect("answers")
            .status,
        200
    );
    assert_eq!(
        one.ask("DELETE", &by_digest, "", b"")
            .expect("answers")
            .status,
        202
    );
    let deleted = Instant::now();
    let by_tag = "/v2/a/manifests/latest";
    for server in [&mut one, &mut other] {
        assert_eq!(
            server.ask("GET", by_tag, "", b"").expect("answers").status,
            404
        );
    }
    assert_eq!(
        one.ask("GET", &by_digest, "", b"").expect("answers").status,
        404
    );
    // The other one may remember it for as long as it was told to, and no longer.
    loop {
        let asked = Instant::now();
        match other
            .ask("GET", &by_digest, "", b"")
            .expect("answers")
            .status
        {
            404 => break,
            status => assert_eq!(status, 200),
        }
        assert!(asked - deleted < max_age, "it remembers for too long");
        thread::sleep(Duration::from_millis(20));
    }
}
