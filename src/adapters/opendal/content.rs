//! Content of a bucket on its way to a reader.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::try_unfold;

use super::bucket::{Bucket, pause};
use super::pointer::{Place, Pointer, cut};
use crate::domain::range::ByteRange;
use crate::ports::blob_store::{ContentStream, RemoteContent};
use crate::ports::{StoreError, StoreErrorKind};

/// The content of a blob whose pointer is known.
pub(super) struct BucketContent {
    bucket: Bucket,
    retries: u32,
    pointer: Arc<Pointer>,
}

impl BucketContent {
    pub(super) const fn new(bucket: Bucket, retries: u32, pointer: Arc<Pointer>) -> Self {
        Self {
            bucket,
            retries,
            pointer,
        }
    }
}

impl fmt::Debug for BucketContent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("BucketContent")
            .field(&self.pointer)
            .finish()
    }
}

impl RemoteContent for BucketContent {
    fn stream(&self, range: ByteRange) -> ContentStream {
        let parts = match &self.pointer.place {
            Place::Parts(parts) => cut(parts, range),
            Place::Inline(_) | Place::Removed | Place::Vanishing => Vec::new(),
        };
        let reading = Reading {
            bucket: self.bucket.clone(),
            retries: self.retries,
            rest: parts.into(),
            current: None,
            failures: 0,
        };
        Box::pin(try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await?;
            Ok(piece.map(|piece| (piece, reading)))
        }))
    }
}

struct Reading {
    bucket: Bucket,
    retries: u32,
    /// What is still to be read, of which parts.
    rest: VecDeque<(String, ByteRange)>,
    current: Option<ContentStream>,
    /// How often the reading has failed since something last came.
    failures: u32,
}

impl Reading {
    /// The next bytes. Where a response breaks off, the rest is asked for.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            let Some((key, range)) = self.rest.front_mut() else {
                return Ok(None);
            };
            if range.length() == 0 {
                self.rest.pop_front();
                self.current = None;
                continue;
            }
            let current = self
                .current
                .get_or_insert_with(|| self.bucket.stream(key.clone(), range.start, range.end));
            match current.try_next().await {
                Ok(Some(piece)) => {
                    range.start = (range.start + piece.len() as u64).min(range.end);
                    self.failures = 0;
                    return Ok(Some(piece));
                }
                Ok(None) => {
                    return Err(super::damaged(key));
                }
                Err(error)
                    if error.kind() == StoreErrorKind::Temporary
                        && self.failures < self.retries =>
                {
                    self.current = None;
                    pause(self.failures).await;
                    self.failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
