//! Upload sessions: begun, appended to, finished and abandoned by any replica.
//!
//! What a request changes of a session it changes once, at its end, by
//! compare-and-swap from what it found at its begin. So of two requests that
//! race one loses, its bytes are objects that nothing names, and the session
//! never shows half of anything. A body that is large says first that it is
//! coming: then the other one is refused before it is received.
//!
//! A finish claims the session first, in one step that only one request takes;
//! then it writes the pointer, and then the session goes. An abandon claims it
//! likewise, and leaves the bytes to the collector of leftovers; so bytes that
//! became a blob are never removed. A claim whose request has died is void after a while.
//!
//! Work goes on in a task of its own when the request that asked for it is
//! dropped, as if its body had been interrupted there: what has been received
//! is kept, and what has been begun comes to its end.

use std::future::Future;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use opendal::Buffer;
use tokio::sync::oneshot;

use super::bucket::{Condition, Object, Put};
use super::pointer::{LARGEST_INLINE, Place, Pointer, cut};
use super::receive::{Held, Receipt};
use super::session::{LONGEST_END, Session, State};
use super::{OpendalStore, Patience, damaged, layout, unencodable};
use crate::domain::digest::Digest;
use crate::domain::hasher::Hasher;
use crate::domain::range::ByteRange;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::blob_store::{AppendOutcome, FinishOutcome, UploadStatus};
use crate::ports::body::{Body, BodyError};
use crate::ports::{StoreError, StoreErrorKind};

/// Sessions that are read at once to see how old they are.
const LOOKUPS: usize = 16;

/// Why a request may not go on with a session.
enum Refused {
    Unknown,
    OutOfOrder { received: u64 },
}

impl OpendalStore {
    pub(super) async fn begin_upload(&self, begun: &UploadSession) -> Result<(), StoreError> {
        let key = layout::upload(begun.id);
        let session = Session::begin(begun.clone(), self.now());
        let object = session.encode().map_err(unencodable)?;
        match self
            .bucket()
            .put_if(&key, &object, &Condition::Absent)
            .await?
        {
            Put::Written(etag) => {
                self.remember_session(session, etag);
                Ok(())
            }
            Put::Refused => Err(StoreError::new(
                StoreErrorKind::Permanent,
                "begin an upload that has begun:",
                begun.id,
            )),
        }
    }

    pub(super) async fn upload_status(
        &self,
        id: UploadId,
    ) -> Result<Option<UploadStatus>, StoreError> {
        let Some((session, etag)) = self.standing(id).await? else {
            return Ok(None);
        };
        let status = UploadStatus {
            received: session.received(),
            session: session.begun.clone(),
        };
        self.remember_session(session, etag);
        Ok(Some(status))
    }

    pub(super) async fn append_upload(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        let store = self.clone();
        outlive(body, move |body| async move {
            let mut held = match store.hold(id, offset).await? {
                Ok(held) => held,
                Err(Refused::Unknown) => return Ok(AppendOutcome::Unknown),
                Err(Refused::OutOfOrder { received }) => {
                    return Ok(AppendOutcome::OutOfOrder { received });
                }
            };
            let Some(receipt) = store.receive(&mut held, body, None).await? else {
                return store.lost_append(id).await;
            };
            let failure = receipt.failure;
            match store.keep(&mut held, receipt).await? {
                None => store.lost_append(id).await,
                Some(received) => Ok(match failure {
                    None => AppendOutcome::Appended { received },
                    Some(error) => AppendOutcome::BodyFailed(error),
                }),
            }
        })
        .await
    }

    pub(super) async fn finish_upload(
        &self,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let (store, digest) = (self.clone(), *digest);
        outlive(body, move |body| async move {
            let mut held = match store.hold(id, offset).await? {
                Ok(held) => held,
                Err(refused) => return Ok(refused.into()),
            };
            let other = match digest.algorithm() == held.session.begun.algorithm {
                true => None,
                false => Some(store.hash_again(&held.session, &digest).await?),
            };
            let Some(receipt) = store.receive(&mut held, body, other).await? else {
                return Ok(store.refusal(id).await?.into());
            };
            if let Some(error) = receipt.failure {
                return match store.keep(&mut held, receipt).await? {
                    None => Ok(store.refusal(id).await?.into()),
                    Some(_) => Ok(FinishOutcome::BodyFailed(error)),
                };
            }
            store.publish_upload(held, receipt, &digest).await
        })
        .await
    }

    pub(super) async fn abandon_upload(&self, id: UploadId) -> Result<bool, StoreError> {
        let store = self.clone();
        outlive(crate::ports::body::empty(), move |_| async move {
            let key = layout::upload(id);
            let mut patience = Patience::new(&key);
            loop {
                let Some((session, etag)) = store.session(id).await? else {
                    return Ok(false);
                };
                match session.state {
                    State::Open | State::Receiving(_) => {}
                    // Somebody is at it, or was and has died.
                    State::Finished(_) | State::Abandoned => {
                        return store.clear_ended(&session).await;
                    }
                }
                let mut ended = session.clone();
                ended.state = State::Abandoned;
                ended.used = store.now();
                let mut held = Held::new(session, etag);
                if store.replace_session(&mut held, &ended).await? {
                    store.remove_session(&ended).await?;
                    return Ok(true);
                }
                patience.spend()?;
            }
        })
        .await
    }

    pub(super) async fn stale_sessions(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        let listed = self
            .bucket()
            .list(layout::UPLOADS, None, usize::MAX)
            .await?;
        let ids = listed.try_filter_map(async |object| {
            let name = object.key.strip_prefix(layout::UPLOADS);
            Ok(name.and_then(|name| name.parse::<UploadId>().ok()))
        });
        let stale = ids.map_ok(|id| async move {
            let session = self.session(id).await?;
            let is_stale = |session: &Session| {
                let is_ended = matches!(session.state, State::Finished(_) | State::Abandoned);
                session.used < before && (!is_ended || self.is_past(session.used, LONGEST_END))
            };
            Ok(session
                .is_some_and(|(session, _)| is_stale(&session))
                .then_some(id))
        });
        stale
            .try_buffered(LOOKUPS)
            .try_filter_map(async |id| Ok(id))
            .take(limit)
            .try_collect()
            .await
    }

    /// Reads a session, with what its object is called.
    async fn session(&self, id: UploadId) -> Result<Option<(Session, String)>, StoreError> {
        let key = layout::upload(id);
        let Some(Object { content, etag, .. }) = self.bucket().get(&key).await? else {
            return Ok(None);
        };
        let session = Session::decode(id, &content).ok_or_else(|| damaged(&key))?;
        Ok(Some((session, etag)))
    }

    /// Reads a session that is not gone.
    async fn standing(&self, id: UploadId) -> Result<Option<(Session, String)>, StoreError> {
        let Some((session, etag)) = self.session(id).await? else {
            return Ok(None);
        };
        let is_gone = match session.state {
            State::Open | State::Receiving(_) => false,
            State::Abandoned => true,
            // Unless it was finished, it can be gone on with.
            State::Finished(digest) => {
                !session.is_busy(self.now()) && self.is_published(&session, &digest).await?
            }
        };
        Ok((!is_gone).then_some((session, etag)))
    }

    /// Finds a session that a request may go on with, as it was when it was
    /// last looked at if that was just now: what it is compared with at the end
    /// is what counts.
    async fn hold(
        &self,
        id: UploadId,
        offset: Option<u64>,
    ) -> Result<Result<Held, Refused>, StoreError> {
        if let Some((session, etag)) = self.recall_session(id) {
            let fits = offset.is_some_and(|offset| offset == session.received());
            if fits && !session.is_busy(self.now()) {
                return Ok(Ok(Held::new(session, etag)));
            }
        }
        let Some((session, etag)) = self.standing(id).await? else {
            return Ok(Err(Refused::Unknown));
        };
        // Whoever was receiving and has died leaves what was kept before.
        let is_busy = session.is_busy(self.now());
        let received = match is_busy {
            true => session.received(),
            false => session.kept(),
        };
        if is_busy || offset.is_some_and(|offset| offset != received) {
            return Ok(Err(Refused::OutOfOrder { received }));
        }
        Ok(Ok(Held::new(session, etag)))
    }

    /// Adds what was received to a session; `None` if the session is meanwhile
    /// somebody else's, and what was received is discarded.
    async fn keep(&self, held: &mut Held, receipt: Receipt) -> Result<Option<u64>, StoreError> {
        let failed = receipt.failure;
        if failed.is_some_and(|error| !error.keeps_received()) {
            self.release(held).await;
            return Ok(Some(held.session.kept()));
        }
        let mut session = held.session.clone();
        session.parts.extend(receipt.parts.iter().cloned());
        session.tail = receipt.tail;
        session.hasher = receipt.hasher;
        session.state = State::Open;
        session.used = self.now();
        match self.replace_session(held, &session).await? {
            true => {
                let received = session.kept();
                self.remember_session(session, held.etag.clone());
                Ok(Some(received))
            }
            false => {
                self.discard(&receipt.parts).await;
                Ok(None)
            }
        }
    }

    /// Makes a session, with what was received last, a blob.
    async fn publish_upload(
        &self,
        mut held: Held,
        receipt: Receipt,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let id = held.session.begun.id;
        let hasher = receipt.other.unwrap_or_else(|| receipt.hasher.clone());
        let actual = hasher.finish();
        if actual != *digest {
            self.discard(&receipt.parts).await;
            self.release(&mut held).await;
            return Ok(FinishOutcome::DigestDiffers { actual });
        }
        let mut ended = held.session.clone();
        ended.parts.extend(receipt.parts);
        ended.tail = receipt.tail;
        let is_inline = ended.parts.is_empty() && ended.tail.len() <= LARGEST_INLINE;
        if !is_inline && !ended.tail.is_empty() {
            let tail = Buffer::from(std::mem::take(&mut ended.tail));
            let part = self.store_part(id.uuid(), tail).await?;
            ended.parts.push(part);
        }
        ended.hasher = receipt.hasher;
        ended.state = State::Finished(*digest);
        ended.used = self.now();
        if !self.replace_session(&mut held, &ended).await? {
            let kept = held.session.parts.len();
            self.discard(ended.parts.get(kept..).unwrap_or_default())
                .await;
            return Ok(self.refusal(id).await?.into());
        }
        let place = match is_inline {
            true => Place::Inline(ended.tail.clone()),
            false => Place::Parts(ended.parts.clone()),
        };
        match self.publish(digest, ended.kept(), place).await {
            Ok(stat) => {
                // Should this fail, the session is over all the same.
                let _ = self.bucket().delete(&layout::upload(id)).await;
                Ok(FinishOutcome::Finished(stat))
            }
            Err(error) => {
                self.reopen(held, ended, digest).await;
                Err(error)
            }
        }
    }

    /// Opens a session again that could not be made a blob, unless it was.
    async fn reopen(&self, mut held: Held, mut session: Session, digest: &Digest) {
        if let Ok(false) = self.is_published(&session, digest).await {
            session.state = State::Open;
            session.used = self.now();
            let _ = self.replace_session(&mut held, &session).await;
        }
    }

    /// Why a request that has lost a session did.
    async fn refusal(&self, id: UploadId) -> Result<Refused, StoreError> {
        Ok(match self.standing(id).await? {
            Some((session, _)) => Refused::OutOfOrder {
                received: session.received(),
            },
            None => Refused::Unknown,
        })
    }

    async fn lost_append(&self, id: UploadId) -> Result<AppendOutcome, StoreError> {
        Ok(match self.refusal(id).await? {
            Refused::Unknown => AppendOutcome::Unknown,
            Refused::OutOfOrder { received } => AppendOutcome::OutOfOrder { received },
        })
    }

    /// The hash of all that a session has, by another algorithm than its own.
    async fn hash_again(&self, session: &Session, digest: &Digest) -> Result<Hasher, StoreError> {
        let mut hasher = Hasher::new(digest.algorithm());
        let all = ByteRange {
            start: 0,
            end: session.kept(),
        };
        for (key, range) in cut(&session.parts, all) {
            let mut content = self.bucket().stream(key, range.start, range.end);
            while let Some(piece) = content.try_next().await? {
                hasher.update(&piece);
            }
        }
        hasher.update(&session.tail);
        Ok(hasher)
    }

    /// Removes what is left of a session that is over; `false` if who ended it
    /// may still be at it.
    async fn clear_ended(&self, session: &Session) -> Result<bool, StoreError> {
        if !self.is_past(session.used, LONGEST_END) {
            return Ok(false);
        }
        match session.state {
            State::Finished(digest) if self.is_published(session, &digest).await? => {
                self.bucket()
                    .delete(&layout::upload(session.begun.id))
                    .await?;
            }
            _ => self.remove_session(session).await?,
        }
        Ok(true)
    }

    /// Whether a blob's pointer names what a session has received.
    async fn is_published(&self, session: &Session, digest: &Digest) -> Result<bool, StoreError> {
        let key = layout::blob(digest);
        let Some(object) = self.bucket().get(&key).await? else {
            return Ok(false);
        };
        let pointer = Pointer::decode(&object.content).ok_or_else(|| damaged(&key))?;
        let former = pointer.former.iter().flat_map(|former| &former.parts);
        if former.into_iter().any(|part| session.parts.contains(part)) {
            return Ok(true);
        }
        Ok(match pointer.place {
            Place::Inline(_) => session.parts.is_empty(),
            Place::Parts(parts) => parts.iter().any(|part| session.parts.contains(part)),
            Place::Removed | Place::Vanishing => false,
        })
    }

    /// Removes a session, and none of its parts: a pointer that names them may
    /// still be on its way, from a finish that was given up when the bucket did
    /// not answer. They are left to whoever collects leftovers, who reads all
    /// pointers first.
    async fn remove_session(&self, session: &Session) -> Result<(), StoreError> {
        let key = layout::upload(session.begun.id);
        self.bucket().delete(&key).await
    }
}

impl From<Refused> for FinishOutcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::Unknown,
            Refused::OutOfOrder { received } => Self::OutOfOrder { received },
        }
    }
}

/// Runs work on a body to its end, even if this future is dropped; then the
/// body is interrupted at that moment.
async fn outlive<T, W, F>(body: Body, work: W) -> Result<T, StoreError>
where
    T: Send + 'static,
    W: FnOnce(Body) -> F,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let (_asked, dropped) = oneshot::channel::<()>();
    let task = tokio::spawn(work(until_dropped(body, dropped)));
    match task.await {
        Ok(result) => result,
        Err(panicked) => {
            Err(
                StoreError::new(StoreErrorKind::Permanent, "finish", "a storage task")
                    .caused_by(panicked),
            )
        }
    }
}

fn until_dropped(body: Body, dropped: oneshot::Receiver<()>) -> Body {
    let interrupted = futures_util::stream::once(async {
        let _ = dropped.await;
        Err::<Bytes, BodyError>(BodyError::Interrupted)
    });
    let mut interrupted = Box::pin(interrupted);
    let mut body = Some(body);
    Box::pin(futures_util::stream::poll_fn(move |context| {
        let Some(open) = &mut body else {
            return std::task::Poll::Ready(None);
        };
        let mut polled = open.as_mut().poll_next(context);
        if polled.is_pending() {
            polled = interrupted.as_mut().poll_next(context);
        }
        if !matches!(
            polled,
            std::task::Poll::Pending | std::task::Poll::Ready(Some(Ok(_)))
        ) {
            body = None;
        }
        polled
    }))
}
