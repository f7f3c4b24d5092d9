//! Content to push, and pushing it.

use octoserve::domain::digest::{Algorithm, Digest};

use crate::client::Client;
use crate::process::Octoserve;

/// So many bytes, which repeat after a length that no buffer has.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    let mut content: Vec<u8> = std::iter::repeat_with(&mut next).take(100_003).collect();
    while content.len() < count {
        content.extend_from_within(..);
    }
    content.truncate(count);
    content
}

pub(crate) fn digest_of(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Begins an upload and returns where it goes on.
pub(crate) fn begin_upload(client: &mut Client, repository: &str) -> String {
    let answer = client.ask(format!(
        "POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
    ));
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

/// Pushes a blob in one request and returns its path.
pub(crate) fn push_blob(server: &Octoserve, repository: &str, content: &[u8]) -> String {
    push_blob_by(&mut server.connect(), repository, content)
}

/// The same, on this connection.
pub(crate) fn push_blob_by(client: &mut Client, repository: &str, content: &[u8]) -> String {
    let digest = digest_of(content);
    client.send(format!(
        "POST /v2/{repository}/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\n\
         content-length: {}\r\n\r\n",
        content.len()
    ));
    client.send(content);
    let answer = client.answer();
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/v2/{repository}/blobs/{digest}")
}
