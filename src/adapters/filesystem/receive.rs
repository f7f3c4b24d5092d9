//! From a request's body into the data of an upload session.
//!
//! Bytes are gathered into batches, and each batch is hashed and written in one
//! go on a blocking thread while the next one is gathered. So the thread that
//! serves the connections never waits for the disk, a large upload changes
//! threads a few thousand times a gigabyte, and holds two batches at the most.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::durability::failed;
use super::session::{SessionDirectory, Taken, Upload};
use crate::domain::digest::Algorithm;
use crate::domain::hasher::Hasher;
use crate::domain::upload::UploadId;
use crate::ports::StoreError;
use crate::ports::body::{Body, BodyError};

/// How many bytes are hashed and written in one go.
const BATCH: usize = 1024 * 1024;

/// How long bytes wait for a batch to fill. A client that trickles holds no
/// more memory than what it sends in this time.
const LINGER: Duration = Duration::from_millis(50);

/// Pieces smaller than this are copied together: kept as they are, each would
/// hold on to the whole buffer that it was read into.
const SMALL_PIECE: usize = 8 * 1024;

/// Bytes on their way to the disk.
#[derive(Default)]
pub(super) struct Batch {
    pieces: Vec<Bytes>,
    small: BytesMut,
    length: usize,
}

impl Batch {
    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < SMALL_PIECE {
            self.small.extend_from_slice(&piece);
        } else {
            self.seal();
            self.pieces.push(piece);
        }
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }

    fn take(&mut self) -> Self {
        self.seal();
        std::mem::take(self)
    }
}

/// Why a session takes no bytes.
pub(super) enum Refusal {
    Unknown,
    OutOfOrder { received: u64 },
}

/// A session that bytes are to be appended to. It is opened when the first
/// batch is written.
pub(super) struct Receiver {
    pub(super) directory: SessionDirectory,
    pub(super) id: UploadId,
    /// Where the caller thinks that the data ends.
    pub(super) offset: Option<u64>,
    /// What to hash with, if not with what the session was begun with.
    pub(super) algorithm: Option<Algorithm>,
    opened: Option<Opened>,
}

/// An opened session.
pub(super) struct Opened {
    pub(super) upload: Upload,
    pub(super) hasher: Hasher,
    /// How long the data was before this request.
    start: u64,
}

/// A receiver between two steps, and what has not been written yet.
pub(super) struct Received {
    pub(super) receiver: Receiver,
    pub(super) rest: Batch,
    /// How the body ended.
    pub(super) body: Result<(), BodyError>,
}

impl Receiver {
    pub(super) const fn new(
        directory: SessionDirectory,
        id: UploadId,
        offset: Option<u64>,
        algorithm: Option<Algorithm>,
    ) -> Self {
        Self {
            directory,
            id,
            offset,
            algorithm,
            opened: None,
        }
    }

    /// Writes a body, all but its last batch, which is returned: with a small
    /// body, whoever ends the request does everything in one step.
    pub(super) async fn receive(
        self,
        mut body: Body,
    ) -> Result<Result<Received, Refusal>, StoreError> {
        let mut batch = Batch::default();
        let mut writing = None;
        let mut idle = Some(self);
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        let end = loop {
            let full = batch.length >= BATCH;
            if full || (batch.length > 0 && linger.is_elapsed()) {
                let receiver = match idle.take() {
                    Some(receiver) => receiver,
                    None => match settle(&mut writing).await? {
                        Ok(receiver) => receiver,
                        Err(refusal) => return Ok(Err(refusal)),
                    },
                };
                let full_batch = batch.take();
                writing = Some(tokio::task::spawn_blocking(move || {
                    let mut receiver = receiver;
                    Ok(receiver.write(&full_batch)?.map(|()| receiver))
                }));
            }
            let piece = if batch.length == 0 {
                body.next().await
            } else {
                tokio::select! {
                    biased;
                    piece = body.next() => piece,
                    () = &mut linger => continue,
                }
            };
            match piece {
                Some(Ok(piece)) => {
                    if batch.length == 0 {
                        linger.as_mut().reset(tokio::time::Instant::now() + LINGER);
                    }
                    batch.push(piece);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        let receiver = match idle {
            Some(receiver) => receiver,
            None => match settle(&mut writing).await? {
                Ok(receiver) => receiver,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        Ok(Ok(Received {
            receiver,
            rest: batch.take(),
            body: end,
        }))
    }

    /// Hashes and writes a batch. On a failure the data is as before the
    /// request: on a full disk it gives back the room that it took.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<Result<(), Refusal>, StoreError> {
        let opened = match &mut self.opened {
            Some(opened) => opened,
            None => match self.open()? {
                Ok(opened) => self.opened.insert(opened),
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        for piece in &batch.pieces {
            opened.hasher.update(piece);
        }
        let written = write_all_at(&opened.upload.data, &batch.pieces, opened.upload.received);
        if let Err(error) = written {
            opened.roll_back();
            return Err(failed("write", &self.directory.data())(error));
        }
        opened.upload.received += batch.length as u64;
        Ok(Ok(()))
    }

    /// Writes the rest of a body, and hands over the session.
    pub(super) fn complete(
        mut self,
        rest: &Batch,
    ) -> Result<Result<(SessionDirectory, Opened), Refusal>, StoreError> {
        Ok(match self.write(rest)? {
            Err(refusal) => Err(refusal),
            Ok(()) => self
                .opened
                .map(|opened| (self.directory, opened))
                .ok_or(Refusal::Unknown),
        })
    }

    fn open(&self) -> Result<Result<Opened, Refusal>, StoreError> {
        let Some(session) = self.directory.read(self.id)? else {
            return Ok(Err(Refusal::Unknown));
        };
        let upload = match self.directory.take()? {
            Taken::Taken(upload) => upload,
            Taken::Unknown => return Ok(Err(Refusal::Unknown)),
            Taken::Busy => {
                let received = self.directory.received()?;
                return Ok(Err(Refusal::OutOfOrder { received }));
            }
        };
        let received = upload.received;
        if self.offset.is_some_and(|offset| offset != received) {
            return Ok(Err(Refusal::OutOfOrder { received }));
        }
        let algorithm = self.algorithm.unwrap_or(session.algorithm);
        let hasher = self.directory.hasher(&upload.data, received, algorithm)?;
        Ok(Ok(Opened {
            upload,
            hasher,
            start: received,
        }))
    }
}

impl Opened {
    /// Takes back what this request has appended.
    pub(super) fn roll_back(&mut self) {
        // Should this fail, the session has bytes that its client does not
        // expect, and the next chunk is refused as out of order.
        let _ = self.upload.data.set_len(self.start);
        self.upload.received = self.start;
    }

    pub(super) const fn data(&self) -> &Arc<File> {
        &self.upload.data
    }
}

/// Writes pieces one after the other, as few system calls as there can be: the
/// more a file system is given at once, the less it costs.
fn write_all_at(file: &File, pieces: &[Bytes], mut offset: u64) -> io::Result<()> {
    // Linux takes no more at once.
    const MOST_SLICES: usize = 1024;
    for pieces in pieces.chunks(MOST_SLICES) {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

type Writing = tokio::task::JoinHandle<Result<Result<Receiver, Refusal>, StoreError>>;

/// Waits for the batch that is being written.
async fn settle(writing: &mut Option<Writing>) -> Result<Result<Receiver, Refusal>, StoreError> {
    match writing.take() {
        None => Ok(Err(Refusal::Unknown)),
        Some(task) => match task.await {
            Ok(result) => result,
            Err(panicked) => Err(super::task_failed(panicked)),
        },
    }
}
