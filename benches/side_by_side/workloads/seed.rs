//! Puts content where a contestant serves it from: pushed to a registry, written as a file
//! for a server of static files. The paths are the same for both.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::Result;
use crate::client::{self, Begin};
use crate::content::{Image, LargePayload, digest_of};
use crate::peers::Contestant;
use crate::server::Server;

/// Stores a small blob, and pulls it once to check it.
pub(super) fn blob(server: &Server<'_>, repository: &str, bytes: &[u8]) -> Result<()> {
    let digest = digest_of(bytes);
    let path = client::blob_path(repository, &digest);
    if let Some(root) = server.static_root()? {
        file(root, &path)?.write_all(bytes)?;
    } else if server.contestant.is_registry() {
        client::push_blob(&mut server.connect()?, repository, &digest, bytes)?;
    }
    check(server, &path, &digest)
}

/// Stores a large blob, and pulls it once to check it; afterwards it is in the page cache.
pub(super) fn large_blob(
    server: &Server<'_>,
    repository: &str,
    payload: &LargePayload,
) -> Result<()> {
    let path = client::blob_path(repository, &payload.digest);
    if let Some(root) = server.static_root()? {
        let mut file = file(root, &path)?;
        payload
            .pieces()
            .try_for_each(|piece| file.write_all(piece))?;
        file.sync_all()?;
    } else if server.contestant.is_registry() {
        let mut connection = server.connect()?;
        let upload = Begin::upload(&mut connection, repository)?;
        client::push_large_single(&mut connection, &upload.location, payload)?;
    }
    check(server, &path, &payload.digest)
}

/// Stores an image under a tag, and pulls its manifest once, by tag and by digest, to check it.
pub(super) fn image(server: &Server<'_>, repository: &str, tag: &str, image: &Image) -> Result<()> {
    let by_tag = client::manifest_path(repository, tag);
    let by_digest = client::manifest_path(repository, &image.digest);
    if let Some(root) = server.static_root()? {
        file(root, &by_tag)?.write_all(&image.manifest)?;
        file(root, &by_digest)?.write_all(&image.manifest)?;
    } else if server.contestant.is_registry() {
        client::push_image(&mut server.connect()?, repository, tag, image)?;
    }
    check(server, &by_tag, &image.digest)?;
    check(server, &by_digest, &image.digest)
}

/// That what is served has this digest. The floor's content is its own.
pub(super) fn check(server: &Server<'_>, path: &str, digest: &str) -> Result<()> {
    if server.contestant == Contestant::Floor {
        return Ok(());
    }
    let pulled = client::pull_digest(&mut server.connect()?, path)?;
    if pulled == digest {
        Ok(())
    } else {
        Err(format!("GET {path} brought {pulled}").into())
    }
}

fn file(root: &Path, path: &str) -> Result<File> {
    let path = root.join(path.trim_start_matches('/'));
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    Ok(File::create(path)?)
}
