//! What is stored, as a collector goes through it: blobs in order, and what
//! nobody needs any more.
//!
//! An object that holds content is needed if an upload session names it or a
//! pointer does. Content passes from a session to a pointer, and the session is
//! removed after the pointer is written; so the sessions are read first, and
//! then the pointers, and what neither names was named by none. What is not
//! named yet is young.

use std::collections::HashMap;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::bucket::{Listed, Object};
use super::pointer::{Part, Place, Pointer};
use super::session::Session;
use super::{OpendalStore, damaged, layout};
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;
use crate::ports::StoreError;
use crate::ports::blob_store::{Leftover, ListedBlob};

/// Objects that are read at once.
const LOOKUPS: usize = 16;

/// Stands between the key of a pointer and its nonce in a leftover's name.
const VERSION_MARK: char = '@';

/// Until when objects are needed, by their keys; `None` is for ever.
type Needed = HashMap<String, Option<SystemTime>>;

impl OpendalStore {
    pub(super) async fn list_blobs(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let start = after.map(layout::blob);
        let listed = self.bucket().list(layout::BLOBS, start, limit).await?;
        let digests = listed.try_filter_map(async |object| Ok(layout::digest(&object.key)));
        let blobs = digests.map_ok(|digest| async move {
            let found = self.pointer(&digest).await?;
            Ok(found.map(|(pointer, _)| ListedBlob {
                digest,
                stat: pointer.stat(),
            }))
        });
        let stored = blobs
            .try_buffered(LOOKUPS)
            .try_filter_map(async |blob| Ok(blob));
        stored.take(limit).try_collect().await
    }

    pub(super) async fn list_leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        let objects = self.bucket().list(layout::DATA, None, usize::MAX).await?;
        let old = objects.try_filter(|object| {
            let is_old = object.modified.is_some_and(|modified| modified < before);
            std::future::ready(is_old)
        });
        let old: Vec<Listed> = old.try_collect().await?;
        let mut leftovers = Vec::new();
        let mut needed = self.needed_by_sessions().await?;
        self.needed_by_blobs(before, &mut needed, &mut leftovers)
            .await?;
        let is_needed = |object: &Listed| {
            let until = needed.get(&object.key);
            until.is_some_and(|until| until.is_none_or(|until| until >= before))
        };
        let unneeded = old.into_iter().filter(|object| !is_needed(object));
        leftovers.extend(unneeded.map(|object| Leftover {
            name: object.key,
            size: object.size,
        }));
        leftovers.truncate(limit);
        Ok(leftovers)
    }

    /// What the upload sessions name.
    async fn needed_by_sessions(&self) -> Result<Needed, StoreError> {
        let listed = self
            .bucket()
            .list(layout::UPLOADS, None, usize::MAX)
            .await?;
        let parts = listed.map_ok(|object| async move { self.parts_of_session(&object.key).await });
        let parts: Vec<Vec<Part>> = parts.try_buffered(LOOKUPS).try_collect().await?;
        let keys = parts.into_iter().flatten().map(|part| (part.key, None));
        Ok(keys.collect())
    }

    async fn parts_of_session(&self, key: &str) -> Result<Vec<Part>, StoreError> {
        let id = key.strip_prefix(layout::UPLOADS);
        let Some(id) = id.and_then(|id| id.parse::<UploadId>().ok()) else {
            return Ok(Vec::new());
        };
        let Some(Object { content, .. }) = self.bucket().get(key).await? else {
            return Ok(Vec::new());
        };
        let session = Session::decode(id, &content).ok_or_else(|| damaged(key))?;
        Ok(session.parts)
    }

    /// What the pointers name, and the pointers to blobs that were removed.
    async fn needed_by_blobs(
        &self,
        before: SystemTime,
        needed: &mut Needed,
        leftovers: &mut Vec<Leftover>,
    ) -> Result<(), StoreError> {
        let listed = self.bucket().list(layout::BLOBS, None, usize::MAX).await?;
        // What is not called by a digest is somebody else's.
        let ours =
            listed.try_filter(|listed| std::future::ready(layout::digest(&listed.key).is_some()));
        let keys: Vec<Listed> = ours.try_collect().await?;
        let pointers = stream::iter(keys).map(|listed| async move {
            let Some(object) = self.bucket().get(&listed.key).await? else {
                return Ok(None);
            };
            let pointer = Pointer::decode(&object.content);
            let pointer = pointer.ok_or_else(|| damaged(&listed.key))?;
            Ok::<_, StoreError>(Some((listed, pointer)))
        });
        let mut pointers = pointers.buffered(LOOKUPS);
        while let Some(found) = pointers.try_next().await? {
            let Some((Listed { key, size, .. }, pointer)) = found else {
                continue;
            };
            for former in pointer.former {
                for part in former.parts {
                    let until = needed.entry(part.key).or_insert(Some(former.until));
                    *until = until.map(|until| until.max(former.until));
                }
            }
            match pointer.place {
                Place::Parts(parts) => {
                    needed.extend(parts.into_iter().map(|part| (part.key, None)));
                }
                Place::Removed | Place::Vanishing if pointer.leased < before => {
                    let name = format!("{key}{VERSION_MARK}{}", pointer.nonce);
                    leftovers.push(Leftover { name, size });
                }
                Place::Inline(_) | Place::Removed | Place::Vanishing => {}
            }
        }
        Ok(())
    }

    pub(super) async fn take_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        if let Some((key, nonce)) = leftover.name.split_once(VERSION_MARK) {
            let Some(object) = self.bucket().get(key).await? else {
                return Ok(false);
            };
            let pointer = Pointer::decode(&object.content).ok_or_else(|| damaged(key))?;
            if pointer.is_stored() || pointer.nonce.to_string() != nonce {
                return Ok(false);
            }
            return self.vanish(key, object.etag).await;
        }
        // Only names that were listed come here, but they come from outside.
        let name = leftover.name.as_str();
        let directory = name.rfind('/').and_then(|end| name.get(..=end));
        let Some(directory) = directory.filter(|name| name.starts_with(layout::DATA)) else {
            return Ok(false);
        };
        let mut beside = self.bucket().list(directory, None, usize::MAX).await?;
        while let Some(object) = beside.try_next().await? {
            if object.key == name {
                self.bucket().delete(name).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
