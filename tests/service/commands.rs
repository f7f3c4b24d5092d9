//! What the commands do, say and exit with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use rustix::process::Signal;

use crate::process::{Octoserve, file, names_in, octoserve, run};

/// The only line that it said, and its exit code. It said nothing else.
fn complaint(arguments: &[&str], variables: &[(&str, &str)]) -> (String, Option<i32>) {
    let output = run(arguments, variables);
    let said = String::from_utf8(output.stderr).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "", "{said}");
    let line = said.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{said}");
    (line.to_owned(), output.status.code())
}

#[test]
fn without_a_command_it_serves_both_loopbacks_of_localhost_out_of_data() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("OCTOSERVE_SERVER_ADDRESS", "")];
    let mut server = Octoserve::start_in(directory, &[], &variables, false);
    let addresses: Vec<IpAddr> = server
        .addresses()
        .iter()
        .map(|address| address.ip())
        .collect();
    assert!(
        addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "{addresses:?}"
    );
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert!(
            addresses.contains(&IpAddr::V6(Ipv6Addr::LOCALHOST)),
            "{addresses:?}"
        );
    }
    for address in server.addresses() {
        let mut client = crate::client::Client::connect(*address);
        let answer = client.ask("GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]));
    }
    assert!(names_in(&server.data()).contains(&"blobs".to_owned()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_command_serve_serves() {
    let directory = tempfile::tempdir().unwrap();
    let server = Octoserve::start_in(directory, &["serve"], &[], false);
    let answer = server
        .connect()
        .ask("GET /livez HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!((answer.status, &*answer.body), (200, &b"ok\n"[..]));
}

#[test]
fn its_version_is_that_of_the_package() {
    let output = run(&["--version"], &[]);
    let version = concat!("octoserve ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn help_names_every_command_and_says_how_to_configure() {
    let output = run(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "serve",
        "check-config",
        "healthcheck",
        "collect",
        "--config",
        "OCTOSERVE_CONFIG",
        "OCTOSERVE_<SECTION>_<KEY>",
        "localhost:5000",
        "./data",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for command in ["serve", "check-config", "healthcheck", "collect"] {
        let output = run(&[command, "--help"], &[]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(!output.stdout.is_empty(), "{command}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    for arguments in [&["sreve"][..], &["--prot", "1"], &["serve", "now"]] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error: "), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = tempfile::tempdir().unwrap();
    let complained = complaint(
        &[],
        &[
            ("OCTOSERVE_SERVER_ADDRESS", "127.0.0.1"),
            ("OCTOSERVE_SERVER_PORT", &port),
            ("OCTOSERVE_STORAGE_PATH", data.path().to_str().unwrap()),
        ],
    );
    let line = format!(
        "octoserve: cannot listen on 127.0.0.1 port {port}: Address already in use (os error 98)"
    );
    assert_eq!(complained, (line, Some(1)));
}

#[test]
fn a_data_directory_that_cannot_be_written_is_said_in_one_line() {
    let (_directory, path) = file("taken", "a file, no directory");
    let below = format!("{path}/data");
    for path in [&path, &below] {
        let variables = [
            ("OCTOSERVE_SERVER_PORT", "0"),
            ("OCTOSERVE_STORAGE_PATH", path),
        ];
        let (line, code) = complaint(&[], &variables);
        assert!(line.starts_with("octoserve: "), "{line}");
        assert!(line.contains(path.as_str()), "{line}");
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_said_in_one_line() {
    let (_directory, path) = file("not.pem", "no certificate");
    for (certificate, expected) in [(&*path, "not.pem"), ("/not/there.pem", "/not/there.pem")] {
        let (line, code) = complaint(
            &[],
            &[
                ("OCTOSERVE_SERVER_PORT", "0"),
                ("OCTOSERVE_STORAGE_TYPE", "memory"),
                ("OCTOSERVE_SERVER_TLS_CERTIFICATE", certificate),
                ("OCTOSERVE_SERVER_TLS_KEY", &path),
            ],
        );
        assert!(
            line.starts_with("octoserve: cannot read a certificate from "),
            "{line}"
        );
        assert!(line.contains(expected), "{line}");
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_health_check_asks_the_configured_address_and_says_what_it_heard() {
    let mut server = Octoserve::start(&[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "20s")]);
    let port = server.address().port().to_string();
    let variables = [
        ("OCTOSERVE_SERVER_ADDRESS", "127.0.0.1"),
        ("OCTOSERVE_SERVER_PORT", &*port),
    ];
    let healthy = run(&["healthcheck"], &variables);
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
    let said = String::from_utf8(healthy.stdout).unwrap();
    assert_eq!(said, format!("http://127.0.0.1:{port}/readyz is ready\n"));

    let url = format!("http://127.0.0.1:{port}/v2/nothing/here");
    let (line, code) = complaint(&["healthcheck", "--url", &url], &[]);
    assert_eq!(
        line,
        format!("octoserve: {url} is not ready: it answers 404")
    );
    assert_eq!(code, Some(1));

    server.signal(Signal::TERM);
    server.wait();
    let (line, code) = complaint(&["healthcheck"], &variables);
    assert!(line.contains("is not ready: Connection refused"), "{line}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_health_check_of_a_server_on_every_address_asks_the_loopback() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_ADDRESS", "0.0.0.0")]);
    let port = server.address().port().to_string();
    let variables = [
        ("OCTOSERVE_SERVER_ADDRESS", "0.0.0.0"),
        ("OCTOSERVE_SERVER_PORT", &*port),
    ];
    assert_eq!(run(&["healthcheck"], &variables).status.code(), Some(0));
}

#[test]
fn a_health_check_of_something_that_is_no_url_exits_with_2() {
    let (line, code) = complaint(&["healthcheck", "--url", "localhost"], &[]);
    assert!(line.contains("is no URL such as"), "{line}");
    assert_eq!(code, Some(2));
}

#[test]
fn a_health_check_does_not_wait_for_ever_for_a_server_that_is_stuck() {
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", stuck.local_addr().unwrap());
    let (line, code) = complaint(&["healthcheck", "--url", &url], &[]);
    assert!(line.contains("is not ready: "), "{line}");
    assert_eq!(code, Some(1));
}

#[test]
fn output_that_nobody_reads_is_no_panic() {
    let mut child = octoserve(["check-config"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}
