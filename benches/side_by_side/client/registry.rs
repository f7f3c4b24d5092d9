//! The requests that registry clients make, in the order in which they make them.

use sha2::{Digest as _, Sha256};

use super::connection::{Connection, Response};
use crate::Result;
use crate::content::{self, Image, LargePayload, MANIFEST_TYPE};

/// The path of a blob.
pub(crate) fn blob_path(repository: &str, digest: &str) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// The path of a manifest, by tag or digest.
pub(crate) fn manifest_path(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

/// Path and query of what may be an absolute address.
pub(crate) fn relative(location: &str) -> Result<String> {
    let Some((_, rest)) = location.split_once("://") else {
        return Ok(location.to_owned());
    };
    rest.find('/')
        .map(|slash| rest[slash..].to_owned())
        .ok_or_else(|| format!("no path in {location:?}").into())
}

/// Path and query of the PUT that ends an upload.
pub(crate) fn finish_path(location: &str, digest: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// An upload session that has been begun.
pub(crate) struct Begin {
    /// Where its next request goes.
    pub(crate) location: String,
}

impl Begin {
    /// POST: begins an upload.
    pub(crate) fn upload(connection: &mut Connection, repository: &str) -> Result<Self> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let response = connection
            .request("POST", &path, "", &[])?
            .expect(202, "POST of an upload")?;
        Self::from(&response)
    }

    /// Where a response says that the upload goes on.
    pub(crate) fn from(response: &Response) -> Result<Self> {
        let location = response
            .header("location")
            .ok_or("an upload's response has no Location")?;
        Ok(Self {
            location: relative(location)?,
        })
    }
}

/// POST and PUT, as containerd does it once it knows that the blob is missing.
pub(crate) fn push_blob(
    connection: &mut Connection,
    repository: &str,
    digest: &str,
    bytes: &[u8],
) -> Result<()> {
    let upload = Begin::upload(connection, repository)?;
    let path = finish_path(&upload.location, digest);
    connection
        .request(
            "PUT",
            &path,
            "Content-Type: application/octet-stream\r\n",
            bytes,
        )?
        .expect(201, "PUT of a blob")?;
    Ok(())
}

/// PUT of a manifest.
pub(crate) fn put_manifest(
    connection: &mut Connection,
    repository: &str,
    reference: &str,
    manifest: &[u8],
) -> Result<()> {
    let path = manifest_path(repository, reference);
    let content_type = format!("Content-Type: {MANIFEST_TYPE}\r\n");
    connection
        .request("PUT", &path, &content_type, manifest)?
        .expect(201, "PUT of a manifest")?;
    Ok(())
}

/// A new image as containerd pushes it: HEAD before everything, POST and PUT, manifest last.
pub(crate) fn push_image(
    connection: &mut Connection,
    repository: &str,
    tag: &str,
    image: &Image,
) -> Result<()> {
    for (digest, bytes) in &image.blobs {
        connection
            .request("HEAD", &blob_path(repository, digest), "", &[])?
            .expect(404, "HEAD of a new blob")?;
        push_blob(connection, repository, digest, bytes)?;
    }
    let accept = format!("Accept: {MANIFEST_TYPE}, */*\r\n");
    connection
        .request("HEAD", &manifest_path(repository, tag), &accept, &[])?
        .expect(404, "HEAD of a new tag")?;
    put_manifest(connection, repository, tag, &image.manifest)
}

/// A large blob as Docker pushes it: POST, one PATCH of unknown length, PUT without a body.
pub(crate) fn push_large_chunked(
    connection: &mut Connection,
    repository: &str,
    payload: &LargePayload,
) -> Result<()> {
    let upload = Begin::upload(connection, repository)?;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        upload.location,
        connection.authority()
    );
    connection.send(head.as_bytes())?;
    payload
        .chunked_pieces()
        .try_for_each(|piece| connection.send(piece))?;
    let patched = connection.receive(false)?.expect(202, "PATCH of a blob")?;
    let path = finish_path(&Begin::from(&patched)?.location, &payload.digest);
    connection
        .request("PUT", &path, "", &[])?
        .expect(201, "PUT after PATCH")?;
    Ok(())
}

/// A large blob as containerd pushes it: POST, then all of it in one PUT.
pub(crate) fn push_large_single(
    connection: &mut Connection,
    location: &str,
    payload: &LargePayload,
) -> Result<()> {
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        finish_path(location, &payload.digest),
        connection.authority(),
        payload.size
    );
    connection.send(head.as_bytes())?;
    payload
        .pieces()
        .try_for_each(|piece| connection.send(piece))?;
    connection
        .receive(false)?
        .expect(201, "PUT of a large blob")?;
    Ok(())
}

/// GET, and the digest of what came: `sha256:…`.
pub(crate) fn pull_digest(connection: &mut Connection, path: &str) -> Result<String> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: {MANIFEST_TYPE}, */*\r\n\r\n",
        connection.authority()
    );
    connection.send(head.as_bytes())?;
    let mut hasher = Sha256::new();
    let (head, _) = connection.receive_into(false, |piece| hasher.update(piece))?;
    if head.status != 200 {
        return Err(format!("GET {path}: status {}", head.status).into());
    }
    Ok(content::named(hasher))
}
