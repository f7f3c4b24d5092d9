//! HTTP/2 as attackers speak it: no crash, bounded memory, others still served.

use std::time::{Duration, Instant};

use crate::client::End;
use crate::content::{bytes, digest_of, push_blob};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, request_block,
};
use crate::process::Octoserve;

const MIB: u64 = 1 << 20;

/// That others are served at once, and what all of it has cost so far.
fn check(server: &Octoserve, most: u64) {
    let started = Instant::now();
    let answer = server
        .connect()
        .ask("GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let peak = server.memory("VmHWM");
    eprintln!("peak {} MiB", peak / MIB);
    assert!(peak < most, "{peak}");
}

/// Sends these again and again until the server has had enough, or for a while.
fn flood(frames: &mut Frames, rounds: usize, make: impl Fn(u32) -> Vec<Frame>) -> bool {
    let started = Instant::now();
    for round in 0..rounds {
        let round = u32::try_from(round).unwrap();
        if frames.try_send(&make(round)).is_err() {
            return true;
        }
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
    }
    false
}

#[test]
fn streams_whose_window_stays_shut_are_reset_and_cost_little() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_WRITE_TIMEOUT", "500ms")]);
    let path = push_blob(&server, "a", &bytes(8 << 20));
    let mut frames = Frames::open(server.connect(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let started = Instant::now();
    for stream in 0..100 {
        frames.send(&Frame::request(2 * stream + 1, "GET", &path));
    }
    check(&server, 60 * MIB);
    for _ in 0..100 {
        frames.next_of(RST_STREAM).unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(490));
    // The connection itself did nothing wrong.
    frames.send(&Frame::request(301, "HEAD", "/v2/"));
    assert_eq!(frames.next_of(HEADERS).unwrap().status(), Some(200));
}

#[test]
fn a_window_that_opens_byte_by_byte_is_progress() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_WRITE_TIMEOUT", "400ms")]);
    let content = bytes(30_000);
    let path = push_blob(&server, "a", &content);
    let mut frames = Frames::open(server.connect(), &[(INITIAL_WINDOW_SIZE, 0)]);
    frames.send(&Frame::request(1, "GET", &path));
    let mut received = Vec::new();
    while received.len() < content.len() {
        std::thread::sleep(Duration::from_millis(100));
        frames.send(&Frame::new(WINDOW_UPDATE, 0, 1, 10_000_u32.to_be_bytes()));
        received.extend(frames.next_of(DATA).unwrap().payload);
    }
    assert!(received == content);
}

#[test]
fn a_peer_that_reads_no_frame_is_cut_off() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_WRITE_TIMEOUT", "300ms")]);
    let path = push_blob(&server, "a", &bytes(16 << 20));
    let largest = (1_u32 << 31) - 1;
    let mut frames = Frames::open(server.connect(), &[(INITIAL_WINDOW_SIZE, largest)]);
    let more = (largest - 65_535).to_be_bytes();
    frames.send(&Frame::new(WINDOW_UPDATE, 0, 0, more));
    for stream in 0..10 {
        frames.send(&Frame::request(2 * stream + 1, "GET", &path));
    }
    server.lines(10, |line| line.contains("client went away"));
    check(&server, 60 * MIB);
    assert_eq!(frames.0.rest().1, End::Reset);
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let server = Octoserve::start(&[]);
    let mut frames = Frames::open(server.connect(), &[]);
    for stream in 0..300 {
        let block = request_block("PUT", "/v2/a/manifests/b", &[]);
        frames.send(&Frame::new(HEADERS, END_HEADERS, 2 * stream + 1, block));
    }
    let refused = frames.next_of(RST_STREAM).unwrap();
    assert_eq!(refused.payload, 7_u32.to_be_bytes(), "{refused:?}");
    check(&server, 40 * MIB);
}

#[test]
fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection() {
    let server = Octoserve::start(&[]);
    let path = push_blob(&server, "a", &bytes(1 << 20));
    let mut frames = Frames::open(server.connect(), &[]);
    let ended = flood(&mut frames, 2000, |round| {
        (0..50)
            .flat_map(|number| {
                let stream = 2 * (50 * round + number) + 1;
                let cancel = Frame::new(RST_STREAM, 0, stream, 8_u32.to_be_bytes());
                [Frame::request(stream, "GET", &path), cancel]
            })
            .collect()
    });
    assert!(ended, "100,000 streams were opened and reset");
    check(&server, 60 * MIB);
}

#[test]
fn a_list_of_headers_that_is_too_large_is_refused() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_MAX_HEADER_SIZE", "16KiB")]);
    let mut frames = Frames::open(server.connect(), &[]);
    let value = "x".repeat(1000);
    let headers: Vec<(String, &str)> = (0..30)
        .map(|number| (format!("x-{number}"), value.as_str()))
        .collect();
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let block = request_block("GET", "/v2/", &headers);
    let (first, rest) = block.split_at(16_000);
    frames.send(&Frame::new(HEADERS, END_STREAM, 1, first));
    frames.send(&Frame::new(CONTINUATION, END_HEADERS, 1, rest));
    let answer = frames.next_of(HEADERS).unwrap();
    assert_ne!(answer.status(), Some(200), "{answer:?}");
    frames.send(&Frame::request(3, "HEAD", "/v2/"));
    assert_eq!(frames.next_of(HEADERS).unwrap().status(), Some(200));
    check(&server, 30 * MIB);
}

#[test]
fn a_head_that_never_ends_ends_the_connection() {
    let server = Octoserve::start(&[]);
    for piece in [
        Vec::new(),
        vec![0; 1],
        request_block("GET", "/", &[("x", &"y".repeat(15_000))]),
    ] {
        let mut frames = Frames::open(server.connect(), &[]);
        let block = request_block("GET", "/v2/", &[]);
        frames.send(&Frame::new(HEADERS, 0, 1, block));
        let ended = flood(&mut frames, 20_000, |_| {
            vec![Frame::new(CONTINUATION, 0, 1, piece.clone()); 10]
        });
        assert!(ended, "200,000 frames of {} bytes", piece.len());
    }
    check(&server, 30 * MIB);
}

#[test]
fn headers_that_unpack_to_megabytes_are_not_unpacked() {
    let server = Octoserve::start(&[]);
    let mut frames = Frames::open(server.connect(), &[]);
    // One entry of the dynamic table, which each further byte repeats.
    let mut bomb = request_block("GET", "/v2/", &[]);
    bomb.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4000]);
    bomb.resize(16_000, 0xbe);
    frames.send(&Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, bomb));
    flood(&mut frames, 50, |round| {
        let mut again = request_block("GET", "/v2/", &[]);
        again.resize(16_000, 0xbe);
        vec![Frame::new(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * round + 3,
            again,
        )]
    });
    check(&server, 40 * MIB);
}

#[test]
fn questions_whose_answers_nobody_reads_are_not_collected() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_WRITE_TIMEOUT", "300ms")]);
    for frame in [
        Frame::new(PING, 0, 0, [0; 8]),
        Frame::new(SETTINGS, 0, 0, []),
        Frame::new(DATA, 0, 1, []),
        Frame::new(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes()),
    ] {
        let mut frames = Frames::open(server.connect(), &[]);
        if frame.stream == 1 {
            let block = request_block("PUT", "/v2/a/manifests/b", &[]);
            frames.send(&Frame::new(HEADERS, END_HEADERS, 1, block));
        }
        flood(&mut frames, 2000, |_| vec![frame.clone(); 100]);
        check(&server, 40 * MIB);
    }
}

#[test]
fn frames_that_make_no_sense_end_the_connection_with_a_reason() {
    let server = Octoserve::start(&[]);
    for frame in [
        Frame::new(DATA, 0, 0, [0; 8]),
        Frame::new(DATA, 0, 5, [0; 8]),
        Frame::new(HEADERS, END_HEADERS, 2, request_block("GET", "/v2/", &[])),
        Frame::new(HEADERS, END_HEADERS, 1, [0xff; 8]),
        Frame::new(CONTINUATION, END_HEADERS, 1, []),
        Frame::new(PING, 0, 0, [0; 7]),
        Frame::new(SETTINGS, 0, 0, [0; 5]),
        Frame::new(WINDOW_UPDATE, 0, 0, 0_u32.to_be_bytes()),
        Frame::new(DATA, 8, 1, [0xff; 1]),
    ] {
        let mut frames = Frames::open(server.connect(), &[]);
        frames.send(&frame);
        let rest = frames.rest();
        assert!(
            rest.iter().any(|frame| frame.kind == GOAWAY),
            "{frame:?}: {rest:?}"
        );
    }
    check(&server, 30 * MIB);
}

#[test]
fn requests_that_are_malformed_are_refused_one_by_one() {
    let server = Octoserve::start(&[]);
    for block in [
        request_block("GET", "/v2/", &[("Upper", "x")]),
        request_block("GET", "/v2/", &[("connection", "close")]),
        request_block("GET", "/v2/", &[("transfer-encoding", "chunked")]),
        request_block("GET", "/v2/", &[(":status", "200")]),
        request_block("GET", "/v2/", &[("x", "y\r\nz: a")]),
        request_block("GET", "/v2/", &[("x\r\ny", "z")]),
        request_block("GET", "", &[]),
        request_block("", "/v2/", &[]),
    ] {
        let mut frames = Frames::open(server.connect(), &[]);
        let flags = END_STREAM | END_HEADERS;
        frames.send(&Frame::new(HEADERS, flags, 1, block.clone()));
        let is_refused = loop {
            match frames.next() {
                Ok(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => break true,
                Ok(frame) if frame.kind == HEADERS => break frame.status() != Some(200),
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        assert!(is_refused, "{:?}", String::from_utf8_lossy(&block));
    }
    check(&server, 30 * MIB);
}

#[test]
fn bodies_that_are_not_as_long_as_they_say_store_nothing() {
    let server = Octoserve::start(&[]);
    let digest = digest_of(b"hello");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    for length in ["6", "4"] {
        let mut frames = Frames::open(server.connect(), &[]);
        let block = request_block("POST", &path, &[("content-length", length)]);
        frames.send(&Frame::new(HEADERS, END_HEADERS, 1, block));
        frames.send(&Frame::new(DATA, END_STREAM, 1, "hello"));
        frames.send(&Frame::request(3, "HEAD", "/v2/"));
        loop {
            match frames.next() {
                Ok(frame) if frame.stream == 3 => break,
                Ok(frame) if frame.kind == HEADERS => assert_ne!(frame.status(), None),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let blob = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(server.connect().ask(blob).status, 404, "{length}");
    }
}

#[test]
fn a_connection_without_streams_is_closed_after_the_idle_timeout() {
    let server = Octoserve::start(&[("OCTOSERVE_SERVER_IDLE_TIMEOUT", "300ms")]);
    let mut silent = Frames::open(server.connect(), &[]);
    // Pings are no requests.
    let started = Instant::now();
    let mut ended = false;
    while !ended && started.elapsed() < Duration::from_secs(15) {
        ended = silent.try_send(&[Frame::new(PING, 0, 0, [0; 8])]).is_err();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(ended);
}
