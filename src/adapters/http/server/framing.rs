//! Follows where one HTTP/1.1 request ends and the next one begins.
//!
//! hyper parses the requests. Two things it does not tell: that a request came
//! with both `Content-Length` and `Transfer-Encoding`, for it drops the former,
//! and whether a connection that waits is between requests or inside the head of
//! one. So the bytes that it reads pass by here. Bodies are skipped by their
//! length, and a line that is whole is looked at where it lies, so that following
//! costs next to nothing. What hyper would refuse is not refused again here: then
//! the connection ends anyway, and this loses track.

use memchr::memchr;

use super::malformed::Malformed;

/// The longest request line, in bytes. Nothing in a registry's URLs is long; a
/// push that names a hundred tags fits.
pub(super) const LONGEST_REQUEST_LINE: usize = 16 << 10;

/// Where in the stream of requests a connection is.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    head: Head,
    /// The part of a line that came so far, if its end is not there yet.
    line: Vec<u8>,
    largest_head: usize,
    heads: u64,
    refused: Option<(u64, Malformed)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    Trailers,
    Lost,
}

/// What is known of a head whose end has not come.
#[derive(Debug, Default)]
struct Head {
    size: usize,
    lines: usize,
    long_request_line: bool,
    is_http_10: bool,
    has_bare_line_feed: bool,
    hosts: usize,
    content_length: Option<u64>,
    has_transfer_encoding: bool,
}

impl Framing {
    pub(super) fn new(largest_head: usize) -> Self {
        Self {
            state: State::Head,
            head: Head::default(),
            line: Vec::new(),
            largest_head,
            heads: 0,
            refused: None,
        }
    }

    /// The first request that is not to be served: its number, from 1, and why.
    pub(super) const fn refused(&self) -> Option<(u64, Malformed)> {
        self.refused
    }

    /// Whether a part of a head has come, and its end has not.
    pub(super) const fn is_inside_head(&self) -> bool {
        matches!(self.state, State::Head) && (self.head.lines > 0 || !self.line.is_empty())
    }

    /// Whether the end of a request's body has not come.
    pub(super) const fn is_inside_body(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Whether that is the body of the request with this number, from 1.
    pub(super) const fn is_inside_body_of(&self, number: u64) -> bool {
        self.is_inside_body() && self.heads == number
    }

    /// Goes on by what was read.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Body(left) => {
                    let (rest, left) = skip(bytes, left);
                    self.state = if left == 0 {
                        State::Head
                    } else {
                        State::Body(left)
                    };
                    rest
                }
                State::ChunkData(left) => {
                    let (rest, left) = skip(bytes, left);
                    self.state = if left == 0 {
                        State::ChunkSize
                    } else {
                        State::ChunkData(left)
                    };
                    rest
                }
                State::Lost => return,
                State::Head | State::ChunkSize | State::Trailers => self.follow_line(bytes),
            };
        }
    }

    fn follow_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((line, rest)) =
            memchr(b'\n', bytes).and_then(|end| bytes.split_at_checked(end + 1))
        else {
            self.line.extend_from_slice(bytes);
            if self.state != State::Head && self.line.len() > self.largest_head {
                self.state = State::Lost;
            }
            return &[];
        };
        if self.line.is_empty() {
            self.end_line(line);
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.end_line(&whole);
            whole.clear();
            self.line = whole;
        }
        rest
    }

    fn end_line(&mut self, line: &[u8]) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match self.state {
            State::Head => {
                self.head.size += line.len();
                self.head.has_bare_line_feed |= !line.ends_with(b"\r\n");
                if !text.is_empty() {
                    self.head.line(text);
                } else if self.head.lines > 0 {
                    self.end_head();
                } else {
                    // Empty lines before a request are none of it.
                    self.head = Head::default();
                }
            }
            State::ChunkSize => {
                self.state = match chunk_size(text) {
                    Some(0) => State::Trailers,
                    // The data's own line end comes along.
                    Some(size) => State::ChunkData(size.saturating_add(2)),
                    None => State::Lost,
                };
            }
            State::Trailers if text.is_empty() => self.state = State::Head,
            State::Trailers | State::Body(_) | State::ChunkData(_) | State::Lost => {}
        }
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.heads += 1;
        let malformed = if head.long_request_line {
            Some(Malformed::LongRequestLine)
        } else if head.size > self.largest_head {
            Some(Malformed::LargeHead)
        } else if head.has_transfer_encoding && head.content_length.is_some() {
            Some(Malformed::TwoLengths)
        } else if head.has_bare_line_feed {
            Some(Malformed::BareLineFeed)
        } else if head.hosts != 1 && !head.is_http_10 {
            Some(Malformed::Host)
        } else {
            None
        };
        if let (None, Some(malformed)) = (self.refused, malformed) {
            self.refused = Some((self.heads, malformed));
        }
        self.state = match head {
            Head {
                has_transfer_encoding: true,
                ..
            } => State::ChunkSize,
            Head {
                content_length: Some(length),
                ..
            } if length > 0 => State::Body(length),
            _ => State::Head,
        };
    }
}

impl Head {
    fn line(&mut self, text: &[u8]) {
        if self.lines == 0 {
            self.long_request_line = text.len() > LONGEST_REQUEST_LINE;
            self.is_http_10 = text.ends_with(b"HTTP/1.0");
        } else {
            match text.first().map(u8::to_ascii_lowercase) {
                Some(b'c') => {
                    if let Some(value) = value_of(text, b"content-length:") {
                        // What is no number hyper refuses.
                        self.content_length = Some(decimal(value).unwrap_or(0));
                    }
                }
                Some(b't') => {
                    self.has_transfer_encoding |= value_of(text, b"transfer-encoding:").is_some();
                }
                Some(b'h') => self.hosts += usize::from(value_of(text, b"host:").is_some()),
                _ => {}
            }
        }
        self.lines += 1;
    }
}

fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    match usize::try_from(left)
        .ok()
        .and_then(|left| bytes.get(left..))
    {
        Some(rest) => (rest, 0),
        None => (&[], left.saturating_sub(bytes.len() as u64)),
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

fn decimal(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    let digits = std::str::from_utf8(digits.trim_ascii()).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: usize = 1000;

    /// Follows this text in pieces of every size, which must make no difference.
    fn follow(text: &str) -> Framing {
        let mut whole = Framing::new(LARGEST);
        whole.follow(text.as_bytes());
        for size in 1..text.len() {
            let mut pieces = Framing::new(LARGEST);
            for piece in text.as_bytes().chunks(size) {
                pieces.follow(piece);
            }
            assert_eq!(pieces.state, whole.state, "pieces of {size}");
            assert_eq!(pieces.heads, whole.heads, "pieces of {size}");
            assert_eq!(pieces.refused, whole.refused, "pieces of {size}");
            assert_eq!(pieces.is_inside_head(), whole.is_inside_head());
        }
        whole
    }

    #[test]
    fn requests_follow_one_another_whatever_their_bodies() {
        let framing = follow(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n\
             PUT /b HTTP/1.1\r\nhost: a\r\nContent-LENGTH: 7\r\n\r\nGET / H\
             \r\n\
             PATCH /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
             5;x=y\r\nhello\r\n00A\r\n0123456789\r\n0\r\ntrailer: x\r\n\r\n\
             GET / HTTP/1.0\r\n\r\n\
             GET / HTTP/1.1\r\nHo",
        );
        assert_eq!(framing.heads, 4);
        assert_eq!(framing.refused(), None);
        assert!(framing.is_inside_head());
        assert!(!framing.is_inside_body());
    }

    #[test]
    fn a_body_that_has_not_ended_is_known() {
        let length = follow("PUT /b HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n123456");
        assert!(length.is_inside_body() && length.is_inside_body_of(1));
        let next = follow(
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n\
             PUT /b HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n1",
        );
        assert!(next.is_inside_body_of(2) && !next.is_inside_body_of(1));
        let chunked =
            follow("PUT /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n");
        assert!(chunked.is_inside_body());
        assert!(!follow("GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\n").is_inside_head());
    }

    #[test]
    fn two_lengths_are_refused_in_either_order_and_counted_right() {
        for headers in [
            "content-length: 3\r\nTransfer-Encoding: chunked",
            "transfer-encoding: chunked\r\nCONTENT-LENGTH:3",
        ] {
            let framing = follow(&format!(
                "GET / HTTP/1.1\r\nhost: a\r\n\r\n\
                 PUT / HTTP/1.1\r\nhost: a\r\n{headers}\r\n\r\n0\r\n\r\n\
                 GET / HTTP/1.1\r\n\r\n"
            ));
            assert_eq!(framing.refused(), Some((2, Malformed::TwoLengths)));
        }
    }

    #[test]
    fn a_line_of_a_head_ends_with_both_its_bytes() {
        let refused = |text| follow(text).refused();
        let bare = Some((1, Malformed::BareLineFeed));
        assert_eq!(refused("GET / HTTP/1.1\nhost: a\r\n\r\n"), bare);
        assert_eq!(refused("GET / HTTP/1.1\r\nhost: a\n\r\n"), bare);
        assert_eq!(refused("GET / HTTP/1.1\r\nhost: a\r\n\n"), bare);
        assert_eq!(refused("\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"), None);
    }

    #[test]
    fn a_request_names_one_host() {
        let refused = |text| follow(text).refused();
        assert_eq!(
            refused("GET / HTTP/1.1\r\n\r\n"),
            Some((1, Malformed::Host))
        );
        let twice = "GET / HTTP/1.1\r\nhost: a\r\nHOST: b\r\n\r\n";
        assert_eq!(refused(twice), Some((1, Malformed::Host)));
    }

    #[test]
    fn a_head_and_its_first_line_have_a_largest_size() {
        let long = "x".repeat(LARGEST);
        let large = follow(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"));
        assert_eq!(large.refused(), Some((1, Malformed::LargeHead)));
        let line = "x".repeat(LONGEST_REQUEST_LINE);
        let mut framing = Framing::new(LARGEST);
        framing.follow(format!("GET /{line} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        assert_eq!(framing.refused(), Some((1, Malformed::LongRequestLine)));
    }
}
