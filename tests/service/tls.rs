//! TLS, and certificates that are replaced.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_rustls::rustls;

use self::rustls::crypto::ring;
use self::rustls::pki_types::{CertificateDer, ServerName};
use self::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use crate::client::{Client, End};
use crate::content::{bytes, push_blob_by};
use crate::process::{Octoserve, PATIENCE, run};

/// A certificate for localhost and its key.
struct Pair {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    fn write(&self, directory: &Path) {
        fs::write(directory.join("tls.crt"), &self.certificate_pem).unwrap();
        fs::write(directory.join("tls.key"), &self.key_pem).unwrap();
    }
}

/// A server over TLS with the files in a directory.
fn serve(directory: &Path, variables: &[(&str, &str)]) -> Octoserve {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let mut all = vec![
        ("OCTOSERVE_SERVER_TLS_CERTIFICATE", &*certificate),
        ("OCTOSERVE_SERVER_TLS_KEY", &*key),
    ];
    all.extend(variables);
    Octoserve::start(&all)
}

fn serve_pair(pair: &Pair, variables: &[(&str, &str)]) -> (TempDir, Octoserve) {
    let directory = tempfile::tempdir().unwrap();
    pair.write(directory.path());
    let server = serve(directory.path(), variables);
    (directory, server)
}

/// A handshake with a server whose certificate is one of these.
fn handshake(
    server: &Octoserve,
    trusted: &[&Pair],
    protocols: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.certificate.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(server.address()).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

fn connect(server: &Octoserve, pair: &Pair) -> Client {
    let stream = handshake(server, &[pair], &["http/1.1"]);
    let socket = stream.sock.try_clone().unwrap();
    Client::over(Box::new(stream), socket)
}

/// Waits until new connections are served with this certificate.
fn until_served(server: &Octoserve, pair: &Pair, others: &[&Pair]) {
    let deadline = Instant::now() + PATIENCE;
    let trusted = [&[pair], others].concat();
    loop {
        let stream = handshake(server, &trusted, &[]);
        if stream.conn.peer_certificates().unwrap() == [pair.certificate.clone()] {
            return;
        }
        assert!(Instant::now() < deadline, "the certificate is not served");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn content_goes_in_and_out_over_tls() {
    let pair = Pair::new();
    let (_files, server) = serve_pair(&pair, &[]);
    let content = bytes(3_000_000);
    let path = push_blob_by(&mut connect(&server, &pair), "a", &content);
    let mut client = connect(&server, &pair);
    for _ in 0..2 {
        let answer = client.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!((answer.status, answer.body == content), (200, true));
    }
    let part = client.ask(format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nrange: bytes=1000-200999\r\n\r\n"
    ));
    assert_eq!(
        (part.status, part.body == content[1000..201_000]),
        (206, true)
    );
    let malformed = client.ask("GET /v2/ HTTP/1.1\r\n\r\n");
    assert_eq!(malformed.status, 400);
    malformed.id();
    client.end();
}

#[test]
fn either_protocol_is_agreed_on_and_1_1_without_agreement() {
    let pair = Pair::new();
    let (_files, server) = serve_pair(&pair, &[]);
    let agreed = |protocols: &[&str]| {
        let stream = handshake(&server, &[&pair], protocols);
        stream
            .conn
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned())
    };
    assert_eq!(agreed(&["h2", "http/1.1"]).as_deref(), Some("h2"));
    assert_eq!(agreed(&["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&[]), None);
    let stream = handshake(&server, &[&pair], &[]);
    let socket = stream.sock.try_clone().unwrap();
    let mut client = Client::over(Box::new(stream), socket);
    assert_eq!(
        client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").status,
        200
    );
}

#[test]
fn a_health_check_asks_over_tls_where_tls_is_served() {
    let pair = Pair::new();
    let (files, server) = serve_pair(&pair, &[]);
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let port = server.address().port().to_string();
    let variables = [
        ("OCTOSERVE_SERVER_ADDRESS", "127.0.0.1"),
        ("OCTOSERVE_SERVER_PORT", &*port),
        ("OCTOSERVE_SERVER_TLS_CERTIFICATE", &path("tls.crt")),
        ("OCTOSERVE_SERVER_TLS_KEY", &path("tls.key")),
    ];
    let output = run(&["healthcheck"], &variables);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(
        &["healthcheck", "--url", &format!("https://127.0.0.1:{port}")],
        &[],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(
        &["healthcheck", "--url", &format!("http://127.0.0.1:{port}")],
        &[],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn who_does_not_speak_tls_or_does_not_go_on_is_closed() {
    let pair = Pair::new();
    let (_files, server) = serve_pair(&pair, &[("OCTOSERVE_SERVER_HEADER_TIMEOUT", "300ms")]);
    let mut plain = server.connect();
    plain.send("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    let (received, _) = plain.rest();
    assert!(!received.starts_with(b"HTTP"), "{received:?}");
    // The start of a handshake that never goes on.
    let started = Instant::now();
    let mut stuck = server.connect();
    stuck.send(b"\x16\x03\x01\x02\x00\x01\x00");
    stuck.rest();
    let mut silent = server.connect();
    silent.rest();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    let answer = connect(&server, &pair).ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn a_certificate_that_is_replaced_is_served_without_a_restart() {
    let (old, new) = (Pair::new(), Pair::new());
    let (files, server) = serve_pair(&old, &[]);
    let mut open = connect(&server, &old);
    new.write(files.path());
    until_served(&server, &new, &[&old]);
    server.line(|line| line.contains("loaded a new certificate"));
    // Who is connected stays connected.
    assert_eq!(open.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").status, 200);
}

#[test]
fn a_certificate_that_is_replaced_as_kubernetes_does_it_is_served() {
    let (old, new) = (Pair::new(), Pair::new());
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let publish = |name: &str, pair: &Pair| {
        fs::create_dir(root.join(name)).unwrap();
        pair.write(&root.join(name));
        symlink(name, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    publish("..2026_01", &old);
    symlink("..data/tls.crt", root.join("tls.crt")).unwrap();
    symlink("..data/tls.key", root.join("tls.key")).unwrap();
    let server = serve(root, &[]);
    until_served(&server, &old, &[&new]);
    publish("..2026_02", &new);
    fs::remove_dir_all(root.join("..2026_01")).unwrap();
    until_served(&server, &new, &[&old]);
}

#[test]
fn a_new_file_that_is_broken_keeps_the_old_certificate_and_is_said_once() {
    let (old, new) = (Pair::new(), Pair::new());
    let (files, server) = serve_pair(&old, &[]);
    let kept = |line: &str| line.contains("kept the old certificate");
    // Half of a replacement: the certificate and the key are of two pairs.
    fs::write(files.path().join("tls.crt"), &new.certificate_pem).unwrap();
    server.lines(1, kept);
    until_served(&server, &old, &[&new]);
    fs::write(files.path().join("tls.crt"), "nonsense").unwrap();
    server.lines(2, kept);
    until_served(&server, &old, &[&new]);
    fs::remove_file(files.path().join("tls.key")).unwrap();
    server.lines(3, kept);
    until_served(&server, &old, &[&new]);
    new.write(files.path());
    until_served(&server, &new, &[&old]);
    assert_eq!(server.log().iter().filter(|line| kept(line)).count(), 3);
}

#[test]
fn readers_that_do_not_read_cost_a_small_buffer_each_over_tls_too() {
    let pair = Pair::new();
    let (_files, server) = serve_pair(&pair, &[]);
    let path = push_blob_by(&mut connect(&server, &pair), "a", &bytes(32 << 20));
    let mut clients: Vec<Client> = (0..64).map(|_| connect(&server, &pair)).collect();
    for client in &mut clients {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(client.head().status, 200);
    }
    thread::sleep(Duration::from_millis(300));
    let peak = server.memory("VmHWM");
    eprintln!("64 readers that do not read, over TLS: {} MiB", peak >> 20);
    assert!(peak < 60 << 20, "{peak}");
}

#[test]
fn it_ends_in_order_over_tls() {
    let pair = Pair::new();
    let (_files, mut server) = serve_pair(&pair, &[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "1h")]);
    let mut idle = connect(&server, &pair);
    idle.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(idle.end(), End::Closed);
    assert_eq!(server.wait().code(), Some(0));
}
