//! Requests whose form is wrong: refused in words, once, and the connection closed.

use crate::client::{Answer, Client, End};
use crate::content::{begin_upload, bytes, digest_of, push_blob};
use crate::process::Octoserve;

/// What would be served if it were taken for a request of its own.
const SMUGGLED: &str = "GET /v2/smuggled/tags/list HTTP/1.1\r\nhost: a\r\n\r\n";

/// Sends what is wrong with a request behind it, and returns the only answer.
fn refused(server: &Octoserve, request: impl AsRef<[u8]>) -> Answer {
    let mut client = server.connect();
    client.send(request.as_ref());
    let _ = client.try_send(SMUGGLED);
    let answer = client.answer();
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    assert!((400..500).contains(&answer.status), "{shown:?}: {answer:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{shown:?}");
    answer.id();
    answer.refusal();
    close(&mut client);
    answer
}

fn close(client: &mut Client) {
    client.close_sending_side();
    assert_eq!(client.end(), End::Closed);
}

/// That nothing was taken for a request that was none, and each refusal is one line.
fn check_log(server: &Octoserve, answers: &[Answer]) {
    for answer in answers {
        assert_eq!(server.count_requests(answer.id()), 1, "{answer:?}");
        let line = server.request(answer.id());
        assert_eq!(line["message"], "request refused", "{line}");
        assert_eq!(line["status"], answer.status, "{line}");
        assert_eq!(line["error"], answer.refusal().1, "{line}");
        assert!(
            line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
    }
    assert!(!server.log().iter().any(|line| line.contains("smuggled")));
}

#[test]
fn a_request_whose_end_others_may_see_elsewhere_is_refused_and_its_connection_closed() {
    let server = Octoserve::start(&[]);
    let put = "PUT /v2/a/manifests/b HTTP/1.1\r\nhost: a\r\n";
    let answers: Vec<Answer> = [
        // Two lengths, in every dress.
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:chunked\r\nContent-Length:0\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "content-length: 5, 6\r\n\r\nhello",
        "content-length: +5\r\n\r\nhello",
        "content-length: -5\r\n\r\nhello",
        "content-length: 0x5\r\n\r\nhello",
        "content-length: 5 5\r\n\r\nhello",
        "content-length: \r\n\r\nhello",
        "content-length: 99999999999999999999\r\n\r\nhello",
        "content-length: 18446744073709551616\r\n\r\nhello",
        // Encodings that are not, or not last, chunked.
        "transfer-encoding: identity\r\n\r\nhello",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        // Headers that are not what they seem.
        "content-length : 5\r\n\r\nhello",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        " content-length: 5\r\n\r\nhello",
        "x: y\r\n content-length: 5\r\n\r\nhello",
        "x: y\r\n\tz\r\n\r\n",
        "x: \0\r\n\r\n",
        "x\0: y\r\n\r\n",
        "x: y\rcontent-length: 5\r\n\r\n",
        "x: y\ncontent-length: 5\r\n\r\nhello",
        "x: y\r\ncontent-length: 5\n\nhello",
        "no colon\r\n\r\n",
        ": no name\r\n\r\n",
        "(x): y\r\n\r\n",
    ]
    .map(|rest| refused(&server, format!("{put}{rest}")))
    .into();
    check_log(&server, &answers);
}

#[test]
fn a_request_line_that_is_none_is_refused() {
    let server = Octoserve::start(&[]);
    let answers: Vec<Answer> = [
        "GET /v2/\r\nhost: a\r\n\r\n",
        "GET /v2/ HTTP/1.1 \r\nhost: a\r\n\r\n",
        "GET  /v2/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /v2/ x HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /v2/ HTTP/2.0\r\nhost: a\r\n\r\n",
        "GET /v2/ HTTP/0.9\r\nhost: a\r\n\r\n",
        "GET /v2/ http/1.1\r\nhost: a\r\n\r\n",
        "GET /v2/\0 HTTP/1.1\r\nhost: a\r\n\r\n",
        "G@T /v2/ HTTP/1.1\r\nhost: a\r\n\r\n",
        " GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
        "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n",
        "GET /v2/ HTTP/1.1\nhost: a\n\n",
    ]
    .map(|request| refused(&server, request))
    .into();
    check_log(&server, &answers);
}

#[test]
fn a_request_names_one_host_and_probes_are_no_exception() {
    let server = Octoserve::start(&[]);
    let mut answers = Vec::new();
    for path in ["/v2/", "/livez", "/readyz"] {
        for hosts in ["", "host: a\r\nhost: a\r\n", "host: a\r\nHost: b\r\n"] {
            let answer = refused(&server, format!("GET {path} HTTP/1.1\r\n{hosts}\r\n"));
            assert_eq!(answer.status, 400);
            assert!(
                answer.refusal().1.contains("exactly one Host"),
                "{answer:?}"
            );
            answers.push(answer);
        }
    }
    check_log(&server, &answers);
}

#[test]
fn the_id_that_a_malformed_request_has_is_kept() {
    let server = Octoserve::start(&[]);
    let request = "GET /v2/ HTTP/1.1\r\nx-request-id: mine\r\nuser-agent: t/1\r\n\r\n";
    assert_eq!(refused(&server, request).id(), "mine");
    let line = server.request("mine");
    assert_eq!(
        (line["method"].as_str(), line["user_agent"].as_str()),
        (Some("GET"), Some("t/1"))
    );
    let unreadable = refused(&server, "nonsense\r\n\r\n");
    let line = server.request(unreadable.id());
    assert_eq!(line.get("method"), None);
    assert_eq!(line["status"], 400);
}

#[test]
fn a_head_that_is_too_large_is_refused_whatever_makes_it_so() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_MAX_HEADER_SIZE", "16KiB")]);
    let value = |length| "x".repeat(length);
    let many = (0..200)
        .map(|number| format!("x{number}: y\r\n"))
        .collect::<String>();
    let mut answers = Vec::new();
    for (request, status) in [
        (
            format!(
                "GET /v2/ HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
                value(17 << 10)
            ),
            431,
        ),
        (
            format!(
                "GET /v2/ HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
                value(40 << 10)
            ),
            431,
        ),
        (
            format!(
                "GET /v2/ HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
                value(10 << 20)
            ),
            431,
        ),
        (format!("GET /v2/ HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431),
        (
            format!("GET /v2/{} HTTP/1.1\r\nhost: a\r\n\r\n", value(17 << 10)),
            414,
        ),
        (
            format!("GET /v2/{} HTTP/1.1\r\nhost: a\r\n\r\n", value(31 << 10)),
            414,
        ),
    ] {
        let mut client = server.connect();
        let sent = client.try_send(&request);
        let answer = client.answer();
        let start: String = request.chars().take(50).collect();
        assert_eq!(answer.status, status, "{start} {sent:?} {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        close(&mut client);
        answers.push(answer);
    }
    check_log(&server, &answers);
    let peak = server.memory("VmHWM");
    assert!(peak < 30 << 20, "{peak}");
    let mut client = server.connect();
    let fits = client.ask(format!(
        "GET /v2/ HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        value(15 << 10)
    ));
    assert_eq!(fits.status, 200);
}

#[test]
fn what_comes_behind_answered_requests_is_refused_after_them() {
    let server = Octoserve::start(&[]);
    let path = push_blob(&server, "a", &bytes(500_000));
    let mut client = server.connect();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\n\r\nGET /v2/ HTTP/1.1\r\nhost: a\r\n\r\nnonsense\r\n\r\n"
    ));
    assert_eq!(client.answer().body.len(), 500_000);
    assert_eq!(client.answer().status, 200);
    let refused = client.answer();
    assert_eq!(
        (refused.status, refused.refusal().0.as_str()),
        (400, "UNKNOWN")
    );
    close(&mut client);
    check_log(&server, &[refused]);
}

#[test]
fn content_that_looks_like_a_refusal_is_content() {
    let server = Octoserve::start(&[]);
    let content = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let path = push_blob(&server, "a", content);
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!((answer.status, answer.body == content), (200, true));
    }
}

#[test]
fn chunks_that_are_wrong_end_the_upload_and_store_nothing() {
    let server = Octoserve::start(&[]);
    let digest = digest_of(b"hello");
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n",
        "5\r\nhello\r\n0\r\nhost: x\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    ] {
        let mut client = server.connect();
        let session = begin_upload(&mut client, "a");
        client.send(format!(
            "PUT {session}?digest={digest} HTTP/1.1\r\nhost: a\r\nx-request-id: bad\r\n\
             transfer-encoding: chunked\r\n\r\n{chunks}"
        ));
        let _ = client.try_send(SMUGGLED);
        client.close_sending_side();
        let (rest, _) = client.rest();
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(!rest.contains(" 201 "), "{chunks:?}: {rest}");
        assert!(rest.matches("HTTP/1.1 ").count() <= 1, "{chunks:?}: {rest}");
        let get = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(server.connect().ask(get).status, 404, "{chunks:?}");
    }
    assert!(!server.log().iter().any(|line| line.contains("smuggled")));
}

#[test]
fn chunk_extensions_and_trailers_are_bounded() {
    let server = Octoserve::start(&[]);
    for (before, repeated, after) in [
        ("5;x=", "y".repeat(1 << 20), ""),
        ("0\r\nx: ", "y".repeat(1 << 20), ""),
        (
            "",
            "1;yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nx\r\n".repeat(50_000),
            "",
        ),
        ("0\r\n", "x: y\r\n".repeat(200_000), "\r\n"),
    ] {
        let mut client = server.connect();
        let session = begin_upload(&mut client, "a");
        client.send(format!(
            "PATCH {session} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        ));
        let _ = client.try_send(format!("{before}{repeated}{after}"));
        let _ = client.try_send("0\r\n\r\n");
        client.close_sending_side();
        client.rest();
    }
    let peak = server.memory("VmHWM");
    assert!(peak < 30 << 20, "{peak}");
}
