//! Several ranges in one response: `multipart/byteranges` (RFC 9110, 14.6).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::file_body::{FileBody, Transfer};
use super::remote_body::RemoteBody;
use crate::domain::media_type::OCTET_STREAM;
use crate::domain::range::ByteRange;
use crate::ports::blob_store::BlobSource;

/// What stands between parts. Content is compressed or random; should a blob
/// hold these bytes all the same, the lengths still tell the parts apart.
const BOUNDARY: &str = "octoserve-3d6b6a416f9d4a1cb32a";

/// The content type of such a response.
pub(super) fn content_type() -> String {
    format!("multipart/byteranges; boundary={BOUNDARY}")
}

/// The body of such a response.
#[derive(Default)]
pub(super) struct MultipartBody {
    segments: VecDeque<Segment>,
}

enum Segment {
    Memory(Bytes),
    File(FileBody),
    Remote(RemoteBody),
}

impl MultipartBody {
    /// Adds a part: the bytes of `range` of content of `size` bytes.
    pub(super) fn push(
        &mut self,
        range: ByteRange,
        size: u64,
        source: BlobSource,
        transfer: Transfer,
    ) {
        let head = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {OCTET_STREAM}\r\nContent-Range: {}\r\n\r\n",
            range.content_range(size)
        );
        self.segments.push_back(Segment::Memory(head.into()));
        self.segments.push_back(match source {
            BlobSource::Memory(bytes) => Segment::Memory(bytes),
            BlobSource::File(file, part) => Segment::File(FileBody::new(file, part, transfer)),
            BlobSource::Remote(content, part) => Segment::Remote(RemoteBody::new(content, part)),
            // Nobody asks for a part of it here: see `blobs::several`.
            BlobSource::Redirect(_) => Segment::Memory(Bytes::new()),
        });
    }

    /// Ends the body, and returns it with its length in bytes.
    pub(super) fn end(mut self) -> (Self, u64) {
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        self.segments.push_back(Segment::Memory(tail.into()));
        let length = self.rest();
        (self, length)
    }

    fn rest(&self) -> u64 {
        let lengths = self.segments.iter().map(|segment| match segment {
            Segment::Memory(bytes) => bytes.len() as u64,
            Segment::File(body) => body.size_hint().lower(),
            Segment::Remote(body) => body.size_hint().lower(),
        });
        lengths.sum()
    }
}

impl Body for MultipartBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        while let Some(segment) = self.segments.front_mut() {
            match segment {
                Segment::Memory(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.segments.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Segment::File(body) => match ready!(Pin::new(body).poll_frame(context)) {
                    Some(frame) => return Poll::Ready(Some(frame)),
                    None => {
                        self.segments.pop_front();
                    }
                },
                Segment::Remote(body) => match ready!(Pin::new(body).poll_frame(context)) {
                    Some(frame) => return Poll::Ready(Some(frame)),
                    None => {
                        self.segments.pop_front();
                    }
                },
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.segments.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest())
    }
}
