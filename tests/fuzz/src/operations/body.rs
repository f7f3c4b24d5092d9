//! The bodies of requests.

use std::collections::VecDeque;
use std::task::Poll;

use bytes::Bytes;
use octoserve::ports::body::{Body, BodyError};

use super::instructions::End;

/// A body as it will come.
#[derive(Clone, Debug)]
pub(super) struct Pieces(VecDeque<Result<Bytes, BodyError>>);

impl Pieces {
    /// `content` in so many pieces. One that does not come whole ends in the
    /// middle of them.
    pub(super) fn new(content: &Bytes, count: usize, end: End) -> Self {
        let length = content.len().div_ceil(count).max(1);
        let mut pieces: VecDeque<_> = (0..content.len())
            .step_by(length)
            .map(|start| Ok(content.slice(start..content.len().min(start + length))))
            .collect();
        let error = match end {
            End::Whole => return Self(pieces),
            End::Interrupted => BodyError::Interrupted,
            End::TimedOut => BodyError::TimedOut,
        };
        pieces.truncate(pieces.len().div_ceil(2));
        pieces.push_back(Err(error));
        Self(pieces)
    }

    /// What a store is to make of it where `length` bytes were announced and
    /// there is room for `room`: the bytes that it keeps, and how it ends.
    pub(super) fn outcome(
        &self,
        length: Option<u64>,
        room: u64,
    ) -> (Vec<u8>, Result<(), BodyError>) {
        let mut kept = Vec::new();
        for piece in &self.0 {
            match piece {
                Ok(bytes) => kept.extend_from_slice(bytes),
                Err(error) => return (kept, Err(*error)),
            }
            if length.is_some_and(|length| kept.len() as u64 > length) {
                return (Vec::new(), Err(BodyError::LengthDiffers));
            }
            if kept.len() as u64 > room {
                return (Vec::new(), Err(BodyError::TooLarge));
            }
        }
        match length.is_some_and(|length| length > kept.len() as u64) {
            true => (Vec::new(), Err(BodyError::LengthDiffers)),
            false => (kept, Ok(())),
        }
    }

    /// Every byte that may reach the store.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flatten().flatten().copied().collect()
    }

    /// The body. Before each piece it is not ready once, as a socket is not.
    pub(super) fn body(self) -> Body {
        let mut pieces = self.0;
        let mut ready = true;
        Box::pin(futures_util::stream::poll_fn(move |context| {
            ready = !ready;
            match ready {
                true => Poll::Ready(pieces.pop_front()),
                false => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }))
    }
}
