//! Request bodies, and content to send in them.

use bytes::Bytes;
use futures_util::stream;
use octoserve::ports::body::{Body, BodyError};
use tokio::sync::mpsc;

/// How large the pieces are that a body arrives in: no divisor of the sizes that
/// adapters gather them into.
const PIECE: usize = 30_000;

/// More than any adapter keeps to itself before it stores what has come.
pub(crate) const LARGE: usize = 700_001;

/// `length` bytes that differ with `seed`.
pub(crate) fn content(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let words = std::iter::repeat_with(next);
    words.flatten().take(length).collect::<Vec<u8>>().into()
}

/// A body that arrives whole.
pub(crate) fn whole(content: &Bytes) -> Body {
    Box::pin(stream::iter(pieces(content).map(Ok)))
}

/// A body that fails after its last byte.
pub(crate) fn failing(content: &Bytes, error: BodyError) -> Body {
    let end = std::iter::once(Err(error));
    let items: Vec<_> = pieces(content).map(Ok).chain(end).collect();
    Box::pin(stream::iter(items))
}

fn pieces(content: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let content = content.clone();
    let starts = (0..content.len()).step_by(PIECE);
    starts.map(move |start| content.slice(start..content.len().min(start + PIECE)))
}

/// Hands a body over piece by piece; dropped, it ends the body.
pub(crate) struct Feed(mpsc::UnboundedSender<Result<Bytes, BodyError>>);

impl Feed {
    /// The next bytes.
    pub(crate) fn send(&self, content: &Bytes) {
        // A store that has refused the request reads no more of its body.
        let _ = self.0.send(Ok(content.clone()));
    }

    /// Breaks the body off.
    pub(crate) fn fail(self, error: BodyError) {
        let _ = self.0.send(Err(error));
    }
}

/// A body that the test feeds.
pub(crate) fn fed() -> (Feed, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let body = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (Feed(sender), Box::pin(body))
}
