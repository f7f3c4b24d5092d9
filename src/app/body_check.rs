//! Holds a body to what was announced of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use crate::ports::body::{Body, BodyError};

/// Passes a body on; ends it with an error where it has more than `largest`
/// bytes, or does not have exactly the announced `length`.
pub(super) fn checked(body: Body, length: Option<u64>, largest: u64) -> Body {
    Box::pin(CheckedBody {
        body,
        length,
        largest,
        passed: 0,
    })
}

struct CheckedBody {
    body: Body,
    length: Option<u64>,
    largest: u64,
    passed: u64,
}

impl Stream for CheckedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = match ready!(self.body.as_mut().poll_next(context)) {
            Some(Ok(bytes)) => {
                self.passed = self.passed.saturating_add(bytes.len() as u64);
                if self.length.is_some_and(|length| self.passed > length) {
                    Some(Err(BodyError::LengthDiffers))
                } else if self.passed > self.largest {
                    Some(Err(BodyError::TooLarge))
                } else {
                    Some(Ok(bytes))
                }
            }
            None if self.length.is_some_and(|length| self.passed < length) => {
                Some(Err(BodyError::LengthDiffers))
            }
            end => end,
        };
        Poll::Ready(item)
    }
}
