//! HTTP/2 as clients speak it.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::{Request, Response};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet, LocalSet};

use crate::content::{bytes, digest_of, push_blob};
use crate::process::Octoserve;

type Sender = SendRequest<Bytes>;
type Ended = JoinHandle<Result<(), h2::Error>>;

async fn connect(server: &Octoserve) -> (Sender, Ended) {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (sender, connection) = handshake(stream).await.unwrap();
    (
        sender.ready().await.unwrap(),
        tokio::task::spawn_local(connection),
    )
}

fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://localhost{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// Sends a request with this body, if any, and reads the answer.
async fn ask(sender: Sender, request: Request<()>, body: Option<Vec<u8>>) -> Response<Vec<u8>> {
    let mut sender = sender.ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        let mut rest = Bytes::from(body);
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let room = poll_fn(|context| stream.poll_capacity(context)).await;
            let piece = rest.split_to(room.unwrap().unwrap());
            stream.send_data(piece, false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    }
    read(response.await.unwrap()).await
}

async fn read(response: Response<h2::RecvStream>) -> Response<Vec<u8>> {
    let (head, mut body) = response.into_parts();
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        content.extend_from_slice(&piece);
    }
    Response::from_parts(head, content)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bounded = tokio::time::timeout(Duration::from_secs(30), work);
        LocalSet::new().run_until(bounded).await.unwrap()
    })
}

#[test]
fn content_goes_in_and_out_by_prior_knowledge() {
    let server = Octoserve::start(&[]);
    let content = bytes(5_000_000);
    let digest = digest_of(&content);
    block_on(async {
        let (sender, _connection) = connect(&server).await;
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let pushed = ask(
            sender.clone(),
            request("POST", &path),
            Some(content.clone()),
        )
        .await;
        assert_eq!(pushed.status(), 201);
        let blob = format!("/v2/a/blobs/{digest}");
        let mut get = request("GET", &blob);
        get.headers_mut()
            .insert("x-request-id", "second".parse().unwrap());
        let pulled = ask(sender.clone(), get, None).await;
        assert_eq!(pulled.headers()["x-request-id"], "second");
        assert_eq!(pulled.headers().get("connection"), None);
        assert!(pulled.body() == &content);
        let head = ask(sender.clone(), request("HEAD", &blob), None).await;
        assert_eq!(head.headers()["content-length"], "5000000");
        let missing = ask(sender.clone(), request("GET", "/v2/a/manifests/b"), None).await;
        assert_eq!(missing.status(), 404);
        assert!(missing.headers().contains_key("x-request-id"));
        for path in ["/livez", "/readyz"] {
            let probe = ask(sender.clone(), request("GET", path), None).await;
            assert_eq!(
                (probe.status().as_u16(), &**probe.body()),
                (200, &b"ok\n"[..])
            );
            assert!(probe.headers().contains_key("x-request-id"));
        }
    });
    let line = server.request("second");
    assert_eq!(
        (line["status"].as_u64(), line["bytes"].as_u64()),
        (Some(200), Some(5_000_000))
    );
}

#[test]
fn streams_are_answered_side_by_side() {
    let server = Octoserve::start(&[]);
    let content = bytes(1_000_000);
    let path = push_blob(&server, "a", &content);
    block_on(async {
        let (sender, _connection) = connect(&server).await;
        let mut answers = JoinSet::new();
        for number in 0..100 {
            let path = if number % 2 == 0 { &*path } else { "/v2/" };
            answers.spawn_local(ask(sender.clone(), request("GET", path), None));
        }
        let mut large = 0;
        while let Some(answer) = answers.join_next().await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 200);
            large += usize::from(*answer.body() == content);
        }
        assert_eq!(large, 50);
    });
}

#[test]
fn an_upload_that_is_refused_early_is_answered_all_the_same() {
    let server = Octoserve::start(&[("OCTOSERVE_BLOBS_MAX_SIZE", "1000")]);
    block_on(async {
        let (sender, _connection) = connect(&server).await;
        let mut sender = sender.ready().await.unwrap();
        let digest = digest_of(b"");
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let (response, mut stream) = sender.send_request(request("POST", &path), false).unwrap();
        stream.send_data(Bytes::from(bytes(60_000)), false).unwrap();
        let answer = read(response.await.unwrap()).await;
        assert_eq!(answer.status(), 413);
        let next = ask(sender, request("GET", "/v2/"), None).await;
        assert_eq!(next.status(), 200);
    });
}

#[test]
fn a_stream_that_does_not_go_on_is_refused_and_the_others_go_on() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_READ_TIMEOUT", "300ms")]);
    block_on(async {
        let (sender, _connection) = connect(&server).await;
        let mut sender = sender.ready().await.unwrap();
        let put = request("PUT", "/v2/a/manifests/b");
        let (response, mut stream) = sender.send_request(put, false).unwrap();
        stream.send_data(Bytes::from_static(b"{"), false).unwrap();
        let next = ask(sender, request("GET", "/v2/"), None).await;
        assert_eq!(next.status(), 200);
        assert_eq!(read(response.await.unwrap()).await.status(), 408);
    });
}

#[test]
fn a_request_whose_stream_is_reset_has_a_line_and_leaves_nothing() {
    let server = Octoserve::start(&[]);
    let digest = digest_of(b"hello");
    block_on(async {
        let (sender, _connection) = connect(&server).await;
        let mut sender = sender.ready().await.unwrap();
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let mut post = request("POST", &path);
        post.headers_mut()
            .insert("x-request-id", "reset".parse().unwrap());
        let (response, mut stream) = sender.send_request(post, false).unwrap();
        stream
            .send_data(Bytes::from_static(b"hello"), false)
            .unwrap();
        // The server has it when it answers what was asked after it.
        ask(sender.clone(), request("GET", "/v2/"), None).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        let blob = request("GET", &format!("/v2/a/blobs/{digest}"));
        assert_eq!(ask(sender, blob, None).await.status(), 404);
    });
    server.request("reset");
    assert_eq!(server.count_requests("reset"), 1);
}

#[test]
fn streams_that_are_under_way_end_and_the_connection_with_them() {
    let mut server = Octoserve::start(&[("OCTOSERVE_SERVER_DRAIN_TIMEOUT", "1h")]);
    let digest = digest_of(b"hello");
    block_on(async {
        let (sender, connection) = connect(&server).await;
        let (_idle, idle_ended) = connect(&server).await;
        let mut sender = sender.ready().await.unwrap();
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let (response, mut stream) = sender.send_request(request("POST", &path), false).unwrap();
        stream.send_data(Bytes::from_static(b"he"), false).unwrap();
        ask(sender.clone(), request("GET", "/v2/"), None).await;
        server.signal(Signal::TERM);
        idle_ended.await.unwrap().unwrap();
        assert!(server.is_running());
        stream.send_data(Bytes::from_static(b"llo"), true).unwrap();
        assert_eq!(read(response.await.unwrap()).await.status(), 201);
        drop(sender);
        connection.await.unwrap().unwrap();
    });
    assert_eq!(server.wait().code(), Some(0));
}
