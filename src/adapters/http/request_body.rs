//! The body of a request, held to making progress.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep};

use crate::adapters::telemetry::Tally;
use crate::ports::body::{self, BodyError};

/// The body of a request that has not been read yet.
pub(super) struct RequestBody {
    body: Body,
    length: Option<u64>,
    read_timeout: Duration,
    tally: Option<Arc<Tally>>,
}

impl RequestBody {
    /// A body that fails when nothing of it comes for `read_timeout`. What comes
    /// is counted in `tally`, if there is one.
    pub(super) fn new(
        body: Body,
        headers: &HeaderMap,
        read_timeout: Duration,
        tally: Option<Arc<Tally>>,
    ) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        Self {
            body,
            length: length
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok()),
            read_timeout,
            tally,
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
            tally: self.tally,
            deadline: None,
            sleep: None,
        })
    }

    /// All of its bytes, of which there may be `limit`, and the room that they
    /// take.
    pub(super) async fn collect(
        self,
        limit: u64,
        room: &Room,
    ) -> Result<(Bytes, RoomTaken<'_>), CollectError> {
        let length = self.length;
        if length.is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge.into());
        }
        let mut taken = RoomTaken { room, permit: None };
        let mut stream = self.stream();
        let Some(first) = stream.next().await.transpose()? else {
            return Ok((Bytes::new(), taken));
        };
        let mut rest = BytesMut::new();
        while let Some(piece) = stream.next().await.transpose()? {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            let size = rest.len() + piece.len();
            if size as u64 > limit {
                return Err(BodyError::TooLarge.into());
            }
            if !taken.grow(size) {
                return Err(CollectError::NoRoom);
            }
            if size > SMALL
                && let Some(length) = length.and_then(|all| usize::try_from(all).ok())
            {
                // Growing by doubling would take up to twice the room.
                rest.reserve(length.saturating_sub(rest.len()));
            }
            rest.extend_from_slice(&piece);
        }
        match (rest.is_empty(), first.len() as u64 > limit) {
            (true, true) => Err(BodyError::TooLarge.into()),
            (true, false) => Ok((first, taken)),
            (false, _) => Ok((rest.freeze(), taken)),
        }
    }
}

/// Why a body was not collected.
#[derive(Debug)]
pub(super) enum CollectError {
    /// By its own fault.
    Body(BodyError),
    /// By that of the others.
    NoRoom,
}

impl From<BodyError> for CollectError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

/// How large a body may be that takes no room. Nearly all manifests are smaller.
const SMALL: usize = 64 << 10;

/// How much is kept of all bodies together that are larger than that.
const ROOM: u64 = 64 << 20;

/// Room is counted in units of so many bytes.
const UNIT: usize = 1 << 10;

/// The room that bodies have which are kept as a whole. Nobody has to be trusted
/// to send bodies, and each may be megabytes and trickle for hours, so all of
/// them together have a bound.
pub(super) struct Room(Semaphore);

impl Room {
    /// Room for bodies of at most so many bytes each: for two of them at least.
    pub(super) fn for_bodies_of(largest: u64) -> Self {
        let bytes = usize::try_from(largest.saturating_mul(2).max(ROOM)).unwrap_or(usize::MAX);
        Self(Semaphore::new(
            bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS),
        ))
    }
}

/// What a body takes of the room.
pub(super) struct RoomTaken<'a> {
    room: &'a Room,
    permit: Option<SemaphorePermit<'a>>,
}

impl RoomTaken<'_> {
    /// Takes room for so many bytes in all. Whether there is any.
    fn grow(&mut self, size: usize) -> bool {
        let units = size.saturating_sub(SMALL).div_ceil(UNIT);
        let has = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(units.saturating_sub(has)) else {
            return false;
        };
        match (self.room.0.try_acquire_many(more), &mut self.permit) {
            (Err(_), _) => false,
            (Ok(more), Some(permit)) => {
                permit.merge(more);
                true
            }
            (Ok(more), none) => {
                *none = Some(more);
                true
            }
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
    tally: Option<Arc<Tally>>,
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stream for ProgressingStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(piece) = this.stream.poll_next_unpin(context) {
            this.deadline = None;
            if let (Some(tally), Some(Ok(piece))) = (&this.tally, &piece) {
                tally.receive(piece.len() as u64);
            }
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
