//! A part of remote content on its way through to a client.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::{Body, Frame, SizeHint};

use crate::domain::range::ByteRange;
use crate::ports::StoreError;
use crate::ports::blob_store::{ContentStream, RemoteContent};

/// Streams a range of remote content, and fails if fewer bytes come.
pub(super) struct RemoteBody {
    content: Arc<dyn RemoteContent>,
    range: ByteRange,
    stream: Option<ContentStream>,
    /// How many bytes are still to come.
    rest: u64,
}

impl RemoteBody {
    /// Nothing is read before the body is.
    pub(super) fn new(content: Arc<dyn RemoteContent>, range: ByteRange) -> Self {
        Self {
            content,
            range,
            stream: None,
            rest: range.length(),
        }
    }

    /// Reads the first piece now, so that what fails at once fails before the
    /// response has begun.
    pub(super) async fn begun(mut self) -> Result<Self, StoreError> {
        if self.rest > 0 {
            let mut stream = self.content.stream(self.range);
            let first = stream.next().await.transpose()?;
            let first = stream::iter(first.map(Ok));
            self.stream = Some(Box::pin(first.chain(stream)));
        }
        Ok(self)
    }
}

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest == 0 {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let stream = this
            .stream
            .get_or_insert_with(|| this.content.stream(this.range));
        let piece = ready!(stream.as_mut().poll_next(context));
        Poll::Ready(Some(match piece {
            None => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Err(error)) => Err(io::Error::other(error)),
            Some(Ok(piece)) => match this.rest.checked_sub(piece.len() as u64) {
                None => Err(io::ErrorKind::InvalidData.into()),
                Some(rest) => {
                    this.rest = rest;
                    Ok(Frame::data(piece))
                }
            },
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest)
    }
}
