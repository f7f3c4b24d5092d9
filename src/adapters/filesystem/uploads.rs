//! Upload sessions, from their beginning to the blob they become.

use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use super::blobs::{blob_stat, renew};
use super::durability::{failed, if_found};
use super::receive::{Opened, Received, Receiver, Refusal};
use super::session::SessionDirectory;
use super::{Shared, blocking};
use crate::domain::digest::Digest;
use crate::domain::upload::{UploadId, UploadSession};
use crate::ports::StoreError;
use crate::ports::blob_store::{AppendOutcome, FinishOutcome, UploadStatus};
use crate::ports::body::Body;

impl Shared {
    fn session(&self, id: UploadId) -> SessionDirectory {
        SessionDirectory {
            path: self.layout.upload(id),
        }
    }

    pub(super) fn begin_upload(&self, session: &UploadSession) -> Result<(), StoreError> {
        self.session(session.id).create(session)
    }

    pub(super) fn upload_status(&self, id: UploadId) -> Result<Option<UploadStatus>, StoreError> {
        let directory = self.session(id);
        let Some(session) = directory.read(id)? else {
            return Ok(None);
        };
        let received = directory.received()?;
        Ok(Some(UploadStatus { session, received }))
    }

    pub(super) async fn append_upload(
        shared: &Arc<Self>,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
    ) -> Result<AppendOutcome, StoreError> {
        let receiver = Receiver::new(shared.session(id), id, offset, None);
        let Received {
            receiver,
            rest,
            body,
        } = match receiver.receive(body).await? {
            Ok(received) => received,
            Err(refusal) => return Ok(refusal.into()),
        };
        blocking(move || {
            let (directory, mut opened) = match receiver.complete(&rest)? {
                Ok(completed) => completed,
                Err(refusal) => return Ok(refusal.into()),
            };
            if let Err(error) = body
                && !error.keeps_received()
            {
                opened.roll_back();
                return Ok(AppendOutcome::BodyFailed(error));
            }
            let received = opened.upload.received;
            if !directory.put_hash_aside(received, &opened.hasher)? {
                return Ok(AppendOutcome::Unknown);
            }
            Ok(match body {
                Ok(()) => AppendOutcome::Appended { received },
                Err(error) => AppendOutcome::BodyFailed(error),
            })
        })
        .await
    }

    pub(super) async fn finish_upload(
        shared: &Arc<Self>,
        id: UploadId,
        offset: Option<u64>,
        body: Body,
        digest: Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let algorithm = Some(digest.algorithm());
        let receiver = Receiver::new(shared.session(id), id, offset, algorithm);
        let Received {
            receiver,
            rest,
            body,
        } = match receiver.receive(body).await? {
            Ok(received) => received,
            Err(refusal) => return Ok(refusal.into()),
        };
        let shared = Arc::clone(shared);
        blocking(move || {
            let (directory, mut opened) = match receiver.complete(&rest)? {
                Ok(completed) => completed,
                Err(refusal) => return Ok(refusal.into()),
            };
            if let Err(error) = body {
                if !error.keeps_received() {
                    opened.roll_back();
                } else if !directory.put_hash_aside(opened.upload.received, &opened.hasher)? {
                    return Ok(FinishOutcome::Unknown);
                }
                return Ok(FinishOutcome::BodyFailed(error));
            }
            let actual = opened.hasher.clone().finish();
            if actual != digest {
                opened.roll_back();
                return Ok(FinishOutcome::DigestDiffers { actual });
            }
            shared.publish(&directory, &mut opened, &digest)
        })
        .await
    }

    /// Makes the data of a session a blob, in place of whatever is there: should
    /// that be damaged, this repairs it.
    fn publish(
        &self,
        directory: &SessionDirectory,
        opened: &mut Opened,
        digest: &Digest,
    ) -> Result<FinishOutcome, StoreError> {
        let path = directory.data();
        if let Err(error) = self.durability.sync_file(opened.data(), &path) {
            // The kernel forgets what it could not write, and would say the next
            // time that all is well. So nothing may come of these bytes any more.
            directory.remove()?;
            return Err(error);
        }
        let target = self.layout.blob(digest);
        let mut changed = Vec::new();
        let mut place = || {
            let _lock = self.locks.lock(&self.layout, &target)?;
            renew(opened.data(), &path)?;
            self.durability.rename(&path, &target, &mut changed)
        };
        if let Err(error) = place() {
            if !path.exists() {
                // Cancelled meanwhile.
                return Ok(FinishOutcome::Unknown);
            }
            opened.roll_back();
            return Err(error);
        }
        self.durability.sync(changed)?;
        directory.remove()?;
        let metadata = opened.data().metadata().map_err(failed("stat", &target))?;
        Ok(FinishOutcome::Finished(blob_stat(&metadata, &target)?))
    }

    pub(super) fn abandon_upload(&self, id: UploadId) -> Result<bool, StoreError> {
        self.session(id).remove()
    }

    pub(super) fn stale_uploads(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<UploadId>, StoreError> {
        let uploads = self.layout.uploads();
        let mut stale = Vec::new();
        for entry in fs::read_dir(&uploads).map_err(failed("list", &uploads))? {
            let entry = entry.map_err(failed("list", &uploads))?;
            // What is not called by a UUID is not ours.
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // Nor is a file, which no session is.
            let kind = if_found(entry.file_type()).map_err(failed("stat", &uploads))?;
            if !kind.is_some_and(|kind| kind.is_dir()) {
                continue;
            }
            let last_used = self.session(id).last_used()?;
            if last_used.is_some_and(|last_used| last_used < before) {
                stale.push(id);
                if stale.len() == limit {
                    break;
                }
            }
        }
        Ok(stale)
    }
}

impl From<Refusal> for AppendOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::Unknown,
            Refusal::OutOfOrder { received } => Self::OutOfOrder { received },
        }
    }
}

impl From<Refusal> for FinishOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::Unknown,
            Refusal::OutOfOrder { received } => Self::OutOfOrder { received },
        }
    }
}
