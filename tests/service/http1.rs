//! HTTP/1 as clients speak it.

use crate::client::End;
use crate::content::{begin_upload, bytes, digest_of, push_blob};
use crate::process::Octoserve;

#[test]
fn a_connection_serves_one_request_after_another() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!((answer.version.as_str(), answer.status), ("HTTP/1.1", 200));
    }
    let last = client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(last.header("connection"), Some("close"));
    assert_eq!(client.end(), End::Closed);
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let server = Octoserve::start(&[]);
    let content = bytes(300_000);
    let path = push_blob(&server, "a", &content);
    let mut client = server.connect();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: 1\r\n\r\n\
         POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: a\r\nx-request-id: 2\r\n\
         content-length: 0\r\n\r\n\
         HEAD {path} HTTP/1.1\r\nhost: a\r\nx-request-id: 3\r\n\r\n\
         GET /v2/none/tags/list HTTP/1.1\r\nhost: a\r\nx-request-id: 4\r\n\r\n"
    ));
    let blob = client.answer();
    assert_eq!(
        (blob.id(), blob.status, blob.body == content),
        ("1", 200, true)
    );
    let upload = client.answer();
    assert_eq!((upload.id(), upload.status), ("2", 202));
    let head = client.head();
    assert_eq!(
        (head.id(), head.header("content-length")),
        ("3", Some("300000"))
    );
    let missing = client.answer();
    assert_eq!((missing.id(), missing.status), ("4", 404));
}

#[test]
fn a_client_that_expects_to_be_told_to_go_on_is_told() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    let session = begin_upload(&mut client, "a");
    let digest = digest_of(b"hello");
    client.send(format!(
        "PUT {session}?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\
         expect: 100-continue\r\n\r\n"
    ));
    assert_eq!(client.head().status, 100);
    assert_eq!(client.ask("hello").status, 201);
    assert_eq!(
        client.ask("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").status,
        200
    );
}

#[test]
fn a_client_that_expects_to_be_told_is_refused_before_it_sends() {
    let server = Octoserve::start(&[("OCTOSERVE_BLOBS_MAX_SIZE", "1000")]);
    let mut client = server.connect();
    let session = begin_upload(&mut client, "a");
    let digest = digest_of(b"");
    for (request, status) in [
        (format!("PUT {session}?digest={digest}"), 413),
        (
            "PATCH /v2/a/blobs/uploads/01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            404,
        ),
        ("PUT /v2/a/manifests/-".to_owned(), 400),
        ("PUT /v2/a/manifests/latest".to_owned(), 413),
    ] {
        let mut client = server.connect();
        let answer = client.ask(format!(
            "{request} HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\
             expect: 100-continue\r\n\r\n"
        ));
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        answer.id();
        answer.refusal();
        // Whatever comes next may not be taken for a request.
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
        let _ = client.try_send("GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n");
        client.close_sending_side();
        client.end();
    }
}

#[test]
fn a_body_that_is_refused_while_it_comes_does_not_hide_the_answer() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    client
        .send("PUT /v2/a/manifests/latest HTTP/1.1\r\nhost: a\r\ncontent-length: 20000000\r\n\r\n");
    // A client that reads only when it has sent all of it.
    client.send(bytes(20_000_000));
    let answer = client.answer();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.refusal().0, "MANIFEST_INVALID");
    client.close_sending_side();
    assert_eq!(client.end(), End::Closed);
}

#[test]
fn http_1_0_is_answered_and_closed_unless_it_asks_to_stay() {
    let server = Octoserve::start(&[]);
    let content = bytes(100_000);
    let path = push_blob(&server, "a", &content);
    let mut client = server.connect();
    let answer = client.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
    assert_eq!((answer.status, answer.body == content), (200, true));
    assert_eq!(client.end(), End::Closed);
    let mut stays = server.connect();
    for _ in 0..2 {
        let answer = stays.ask("GET /v2/ HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("keep-alive"))
        );
    }
}

#[test]
fn probes_have_an_answer_and_an_id_whatever_they_ask() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    for path in ["/livez", "/readyz"] {
        let answer = client.ask(format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: p\r\n\r\n"
        ));
        assert_eq!(
            (answer.status, answer.id(), &*answer.body),
            (200, "p", &b"ok\n"[..])
        );
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let head = client.head();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("3"))
        );
        let other = client.ask(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
        ));
        assert_eq!(
            (other.status, other.header("allow")),
            (405, Some("GET, HEAD"))
        );
        other.id();
    }
}

#[test]
fn a_target_in_any_form_is_answered() {
    let server = Octoserve::start(&[]);
    for (request, status) in [
        ("GET http://elsewhere/v2/", 200),
        ("OPTIONS *", 404),
        ("OPTIONS /v2/", 405),
        ("CONNECT elsewhere:443", 404),
        ("TRACE /v2/", 405),
        ("BREW /v2/", 405),
    ] {
        let mut client = server.connect();
        let answer = client.ask(format!("{request} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        answer.id();
    }
}

#[test]
fn bodies_that_end_early_or_late_leave_nothing_behind() {
    let server = Octoserve::start(&[]);
    let content = bytes(1000);
    let digest = digest_of(&content);
    let blob = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: a\r\n\r\n");
    let put = |length: usize| {
        format!(
            "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\n\
             content-length: {length}\r\n\r\n"
        )
    };

    // Shorter than announced.
    let mut client = server.connect();
    client.send(put(1000));
    client.send(&content[..999]);
    client.close_sending_side();
    let (rest, _) = client.rest();
    assert!(!String::from_utf8_lossy(&rest).contains(" 201 "));
    assert_eq!(server.connect().ask(&blob).status, 404);

    // In chunks, with no last one.
    let mut client = server.connect();
    client.send(format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\n\
         transfer-encoding: chunked\r\n\r\n3e8\r\n"
    ));
    client.send(&content);
    client.send("\r\n");
    client.close_sending_side();
    let (rest, _) = client.rest();
    assert!(!String::from_utf8_lossy(&rest).contains(" 201 "));
    assert_eq!(server.connect().ask(&blob).status, 404);

    // Announced as shorter than its digest is of: what follows is no request.
    let mut client = server.connect();
    client.send(put(999));
    client.send(&content);
    assert_eq!(client.answer().status, 400);
    client.close_sending_side();
    client.rest();
    assert_eq!(server.connect().ask(&blob).status, 404);

    let session_directories = crate::process::names_in(&server.data().join("uploads"));
    assert_eq!(session_directories, [""; 0]);
    assert_eq!(
        crate::process::names_in(&server.data().join("staging")),
        [""; 0]
    );

    let mut client = server.connect();
    client.send(put(1000));
    client.send(&content);
    assert_eq!(client.answer().status, 201);
    assert!(server.connect().ask(&blob).body == content);
}
