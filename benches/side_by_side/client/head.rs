//! The head of a response, read as far as a client under load needs it.

use crate::Result;

/// How the body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, or none at all.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What a response's head says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// How the body's end is known.
    pub(crate) framing: Framing,
    /// Whether the server closes the connection after this response.
    pub(crate) closes: bool,
    /// Bytes of the head, its empty line included.
    pub(crate) bytes: usize,
}

/// Reads a head from the start of these bytes; none while it is incomplete.
pub(crate) fn parse(received: &[u8]) -> Result<Option<Head>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if received.len() > 64 * 1024 {
            Err("a response head of over 64 KiB".into())
        } else {
            Ok(None)
        };
    };
    let status = received
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| std::str::from_utf8(code).ok())
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| {
            format!(
                "not HTTP/1.1: {:?}",
                String::from_utf8_lossy(&received[..end.min(80)])
            )
        })?;
    let mut head = Head {
        status,
        framing: Framing::Length(0),
        closes: false,
        bytes: end + 4,
    };
    for (name, value) in fields(&received[..end]) {
        // The length of a name tells nearly all headers apart without looking at it.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                head.framing =
                    Framing::Length(value.parse().map_err(|_| "Content-Length is no number")?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                head.framing = Framing::Chunked
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                head.closes = value.eq_ignore_ascii_case("close")
            }
            _ => {}
        }
    }
    Ok(Some(head))
}

/// The value of a header.
pub(crate) fn header<'a>(head: &'a [u8], wanted: &str) -> Option<&'a str> {
    fields(head)
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
        .map(|(_, value)| value)
}

fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &str)> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = std::str::from_utf8(line.get(colon + 1..)?).ok()?;
            Some((line.get(..colon)?, value.trim()))
        })
}
