//! Bytes on their way into or out of a store.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use thiserror::Error;

/// The body of an upload request, in the pieces it arrives in.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// A body of no bytes.
#[must_use]
pub fn empty() -> Body {
    Box::pin(futures_util::stream::empty())
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("the body broke off")]
    Interrupted,
    /// Nothing came for too long.
    #[error("the body made no progress")]
    TimedOut,
    /// The body is longer or shorter than it was announced.
    #[error("the body's length is not the announced one")]
    LengthDiffers,
    /// The blob would be larger than allowed.
    #[error("the blob is too large")]
    TooLarge,
}

impl BodyError {
    /// Whether the bytes before the error are good, so that the client can go
    /// on after them; otherwise the request is to leave nothing behind.
    #[must_use]
    pub const fn keeps_received(self) -> bool {
        matches!(self, Self::Interrupted | Self::TimedOut)
    }
}
