//! A request's body on its way into the bucket.
//!
//! However large a body is, it becomes one object: it is cut into pieces, which
//! are the parts of one multipart upload, and only so many pieces are in memory
//! at once. A body of less than one piece is one request; of little more than
//! nothing it is none, for it is kept in the session's own object.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use opendal::{Buffer, Writer};
use std::future::pending;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::bucket::{Condition, Put, failed};
use super::pointer::{LARGEST_INLINE, Part};
use super::session::{HEARTBEAT, Session, State};
use super::{OpendalStore, layout};
use crate::domain::hasher::Hasher;
use crate::ports::StoreError;
use crate::ports::body::{Body, BodyError};

/// Pieces of one object: a multipart upload has at most 10,000 parts.
const MOST_PIECES: usize = 9_990;

/// A piece of a body below this is copied, so that it does not keep the buffer
/// it was read into.
const SMALL: usize = 4096;

/// A session as it was found, to be changed if it is still so.
pub(super) struct Held {
    pub(super) session: Session,
    /// What its object is called now.
    pub(super) etag: String,
    /// Whether the object says that a body is being received.
    announced: bool,
}

/// What a session has once a body is received.
pub(super) struct Receipt {
    /// The objects that hold the body, and the tail before it.
    pub(super) parts: Vec<Part>,
    pub(super) tail: Bytes,
    pub(super) hasher: Hasher,
    /// A hash of another algorithm that was asked for.
    pub(super) other: Option<Hasher>,
    /// Why the body ended, if not by its end.
    pub(super) failure: Option<BodyError>,
}

impl Held {
    pub(super) const fn new(session: Session, etag: String) -> Self {
        Self {
            session,
            etag,
            announced: false,
        }
    }
}

impl OpendalStore {
    /// Replaces a session by another one; `false` if it is not as it was found.
    pub(super) async fn replace_session(
        &self,
        held: &mut Held,
        session: &Session,
    ) -> Result<bool, StoreError> {
        let key = layout::upload(session.begun.id);
        let object = session.encode().map_err(super::unencodable)?;
        let condition = Condition::Matches(held.etag.clone());
        match self.bucket().put_if(&key, &object, &condition).await? {
            Put::Refused => Ok(false),
            Put::Written(etag) => {
                held.etag = etag;
                held.announced = matches!(session.state, State::Receiving(_));
                Ok(true)
            }
        }
    }

    /// Says that a body is being received, of which so many bytes have come, so
    /// that others let the session be; `false` if it is not as it was found.
    async fn announce(&self, held: &mut Held, received: u64) -> Result<bool, StoreError> {
        let mut session = held.session.clone();
        session.state = State::Receiving(received);
        session.used = self.now();
        self.replace_session(held, &session).await
    }

    /// Takes back that a body is being received. Should it fail, that is taken
    /// back by the silence.
    pub(super) async fn release(&self, held: &mut Held) {
        if held.announced {
            let mut session = held.session.clone();
            session.state = State::Open;
            session.used = self.now();
            let _ = self.replace_session(held, &session).await;
        }
    }

    /// Removes objects that nobody knows of. Those that stay are collected.
    pub(super) async fn discard(&self, parts: &[Part]) {
        for part in parts {
            let _ = self.bucket().delete(&part.key).await;
        }
    }

    /// Receives a body; `None` if the session is meanwhile somebody else's. On
    /// a failure nothing is left behind.
    pub(super) async fn receive(
        &self,
        held: &mut Held,
        body: Body,
        other: Option<Hasher>,
    ) -> Result<Option<Receipt>, StoreError> {
        let mut receiver = Receiver::new(self, &held.session, other);
        let ended = match receiver.receive(held, body).await {
            Ok(Some(failure)) => receiver.end(failure).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        if !matches!(ended, Ok(Some(_))) {
            receiver.discard().await;
        }
        if ended.is_err() {
            self.release(held).await;
        }
        ended
    }
}

type Writing = BoxFuture<'static, (Writer, opendal::Result<()>)>;

struct Receiver<'a> {
    store: &'a OpendalStore,
    session: Uuid,
    hasher: Hasher,
    other: Option<Hasher>,
    /// Bytes of this body so far.
    received: u64,
    /// What has not gone on yet.
    pieces: Vec<Bytes>,
    gathered: usize,
    object: Option<Object>,
    parts: Vec<Part>,
}

/// An object that is being written.
struct Object {
    part: Part,
    pieces: usize,
    writer: Option<Writer>,
    writing: Option<Writing>,
}

enum Event {
    Piece(Option<Result<Bytes, BodyError>>),
    Written(opendal::Result<()>),
    Heartbeat,
}

impl<'a> Receiver<'a> {
    fn new(store: &'a OpendalStore, session: &Session, other: Option<Hasher>) -> Self {
        Self {
            store,
            session: session.begun.id.uuid(),
            hasher: session.hasher.clone(),
            other,
            received: 0,
            gathered: session.tail.len(),
            pieces: Some(session.tail.clone())
                .filter(|tail| !tail.is_empty())
                .into_iter()
                .collect(),
            object: None,
            parts: Vec::new(),
        }
    }

    /// Receives a body to its end, and returns why that came; `None` if the
    /// session is somebody else's.
    async fn receive(
        &mut self,
        held: &mut Held,
        mut body: Body,
    ) -> Result<Option<Option<BodyError>>, StoreError> {
        let mut heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let object = self.object.as_mut();
            let event = tokio::select! {
                piece = body.next() => Event::Piece(piece),
                written = Object::written(object) => Event::Written(written),
                () = sleep_until(heartbeat) => Event::Heartbeat,
            };
            match event {
                Event::Piece(None) => return Ok(Some(None)),
                Event::Piece(Some(Err(error))) => return Ok(Some(Some(error))),
                Event::Piece(Some(Ok(piece))) => self.take(piece).await?,
                Event::Written(written) => written.map_err(failed("write", "a part"))?,
                Event::Heartbeat => {}
            }
            let is_large = self.received >= self.store.options().announce_after;
            if Instant::now() >= heartbeat || (is_large && !held.announced) {
                if !self.store.announce(held, self.received).await? {
                    return Ok(None);
                }
                heartbeat = Instant::now() + HEARTBEAT;
            }
        }
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), StoreError> {
        // A buffer that begins with nothing is never read to its end.
        if piece.is_empty() {
            return Ok(());
        }
        self.hasher.update(&piece);
        if let Some(other) = &mut self.other {
            other.update(&piece);
        }
        self.received += piece.len() as u64;
        self.gathered += piece.len();
        self.pieces.push(match piece.len() < SMALL {
            true => Bytes::copy_from_slice(&piece),
            false => piece,
        });
        if self.gathered >= self.store.options().part_size {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what has been gathered as the next piece of the object. The piece
    /// before it must have been taken; this one is taken while the next is
    /// gathered.
    async fn send(&mut self) -> Result<(), StoreError> {
        if let Some(object) = &mut self.object {
            object.settle().await?;
            if object.pieces == MOST_PIECES {
                self.close().await?;
            }
        }
        let object = match &mut self.object {
            Some(object) => object,
            None => {
                let key = layout::fresh_part(self.session);
                let concurrency = self.store.options().concurrency;
                let writer = self.store.bucket().writer(&key, concurrency).await?;
                self.object.insert(Object {
                    part: Part { key, size: 0 },
                    pieces: 0,
                    writer: Some(writer),
                    writing: None,
                })
            }
        };
        let content: Buffer = std::mem::take(&mut self.pieces).into_iter().collect();
        object.part.size += self.gathered as u64;
        object.pieces += 1;
        self.gathered = 0;
        if let Some(mut writer) = object.writer.take() {
            object.writing = Some(Box::pin(async move {
                let written = writer.write(content).await;
                (writer, written)
            }));
        }
        Ok(())
    }

    /// Ends the object that is being written.
    async fn close(&mut self) -> Result<(), StoreError> {
        if let Some(object) = &mut self.object {
            object.settle().await?;
            if let Some(writer) = &mut object.writer {
                let closed = writer.close().await;
                closed.map_err(failed("write", &object.part.key))?;
            }
        }
        self.parts
            .extend(self.object.take().map(|object| object.part));
        Ok(())
    }

    /// Stores the rest.
    async fn end(&mut self, failure: Option<BodyError>) -> Result<Receipt, StoreError> {
        let mut tail = Bytes::new();
        if failure.is_some_and(|failure| !failure.keeps_received()) {
            self.discard().await;
        } else if self.object.is_some() {
            if self.gathered > 0 {
                self.send().await?;
            }
            self.close().await?;
        } else if self.gathered <= LARGEST_INLINE {
            let content: Buffer = std::mem::take(&mut self.pieces).into_iter().collect();
            tail = content.to_bytes();
        } else {
            let content: Buffer = std::mem::take(&mut self.pieces).into_iter().collect();
            let part = self.store.store_part(self.session, content).await?;
            self.parts.push(part);
        }
        Ok(Receipt {
            parts: std::mem::take(&mut self.parts),
            tail,
            hasher: self.hasher.clone(),
            other: self.other.take(),
            failure,
        })
    }

    /// Removes what has been stored of the body.
    async fn discard(&mut self) {
        if let Some(mut object) = self.object.take() {
            let _ = object.settle().await;
            if let Some(writer) = &mut object.writer {
                let _ = writer.abort().await;
            }
        }
        let parts = std::mem::take(&mut self.parts);
        self.store.discard(&parts).await;
    }
}

impl Object {
    /// Waits until the piece under way is taken; forever if there is none.
    async fn written(this: Option<&mut Self>) -> opendal::Result<()> {
        let Some((object, writing)) =
            this.and_then(|object| object.writing.take().map(|writing| (object, writing)))
        else {
            return pending().await;
        };
        // Put back first: this may be dropped while it waits.
        let writing = object.writing.insert(writing);
        let (writer, written) = writing.await;
        object.writing = None;
        object.writer = Some(writer);
        written
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        match self.writing {
            None => Ok(()),
            Some(_) => {
                let written = Self::written(Some(self)).await;
                written.map_err(failed("write", &self.part.key))
            }
        }
    }
}

impl OpendalStore {
    /// Stores content as one object of a session.
    pub(super) async fn store_part(
        &self,
        session: Uuid,
        content: Buffer,
    ) -> Result<Part, StoreError> {
        let key = layout::fresh_part(session);
        let size = content.len() as u64;
        self.bucket().put_fresh(&key, content).await?;
        Ok(Part { key, size })
    }
}
