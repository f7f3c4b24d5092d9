//! The body of a request, held to making progress.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::time::{Instant, Sleep};

use crate::ports::body::{self, BodyError};

/// The body of a request that has not been read yet.
pub(super) struct RequestBody {
    body: Body,
    length: Option<u64>,
    read_timeout: Duration,
}

impl RequestBody {
    /// A body that fails when nothing of it comes for `read_timeout`.
    pub(super) fn new(body: Body, headers: &HeaderMap, read_timeout: Duration) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        Self {
            body,
            length: length
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok()),
            read_timeout,
        }
    }

    /// Its length in bytes, if the request says.
    pub(super) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Its bytes as they come.
    pub(super) fn stream(self) -> body::Body {
        Box::pin(ProgressingStream {
            stream: self.body.into_data_stream(),
            timeout: self.read_timeout,
            deadline: None,
            sleep: None,
        })
    }

    /// All of its bytes, of which there may be `limit`.
    pub(super) async fn collect(self, limit: u64) -> Result<Bytes, BodyError> {
        if self.length.is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge);
        }
        let mut stream = self.stream();
        let Some(first) = stream.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let mut rest = BytesMut::new();
        while let Some(piece) = stream.next().await.transpose()? {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&piece);
            if rest.len() as u64 > limit {
                return Err(BodyError::TooLarge);
            }
        }
        match (rest.is_empty(), first.len() as u64 > limit) {
            (true, true) => Err(BodyError::TooLarge),
            (true, false) => Ok(first),
            (false, _) => Ok(rest.freeze()),
        }
    }
}

/// Fails when it is waited for, for too long.
///
/// The timer is made when a piece first has to be waited for, and set again
/// only when it goes off: a body that flows costs none.
struct ProgressingStream {
    stream: BodyDataStream,
    timeout: Duration,
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stream for ProgressingStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(piece) = this.stream.poll_next_unpin(context) {
            this.deadline = None;
            return Poll::Ready(piece.map(|piece| piece.map_err(|_| BodyError::Interrupted)));
        }
        let timeout = this.timeout;
        let deadline = *this
            .deadline
            .get_or_insert_with(|| Instant::now() + timeout);
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Some(Err(BodyError::TimedOut)));
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
