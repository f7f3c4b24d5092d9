//! What is pushed and pulled: bytes that no server can have seen before, and their digests.

use sha2::{Digest as _, Sha256};

/// Bytes of the block that a large payload repeats.
const BLOCK: usize = 1024 * 1024;
/// Bytes of one chunk of a chunked request: what Docker's client copies at a time.
const CHUNK: usize = 32 * 1024;

/// `sha256:…` of these bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    named(Sha256::new_with_prefix(bytes))
}

/// `sha256:…` of what the hasher has seen.
pub(crate) fn named(hasher: Sha256) -> String {
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

/// That many bytes that look random, the same ones for the same seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x0c70_5e4e;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A payload of hundreds of MiB that costs the client one MiB of memory: one block, repeated.
pub(crate) struct LargePayload {
    /// Bytes in all.
    pub(crate) size: u64,
    /// Its digest.
    pub(crate) digest: String,
    block: Vec<u8>,
    framed: Vec<u8>,
}

impl LargePayload {
    /// `size` is a multiple of one MiB.
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        let block = bytes(seed, BLOCK);
        let mut hasher = Sha256::new();
        for _ in 0..size / BLOCK as u64 {
            hasher.update(&block);
        }
        let mut framed = Vec::with_capacity(BLOCK + 16 * (BLOCK / CHUNK));
        for chunk in block.chunks(CHUNK) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        Self {
            size,
            digest: named(hasher),
            block,
            framed,
        }
    }

    /// The payload, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::repeat_n(self.block.as_slice(), self.blocks())
    }

    /// The payload as the body of a request with `Transfer-Encoding: chunked`, piece by piece.
    pub(crate) fn chunked_pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::repeat_n(self.framed.as_slice(), self.blocks())
            .chain(std::iter::once(b"0\r\n\r\n".as_slice()))
    }

    fn blocks(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX) / BLOCK
    }
}

/// A small image: two layers, a configuration and the manifest that names them.
pub(crate) struct Image {
    /// Configuration and layers, each with its digest.
    pub(crate) blobs: Vec<(String, Vec<u8>)>,
    /// The manifest's bytes.
    pub(crate) manifest: Vec<u8>,
    /// The manifest's digest.
    pub(crate) digest: String,
}

/// The media type of [`Image::manifest`].
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

impl Image {
    /// An image that shares no blob with one of another seed.
    pub(crate) fn new(seed: u64) -> Self {
        let layers = [bytes(seed * 2, 4096), bytes(seed * 2 + 1, 2048)];
        let layer_digests: Vec<String> = layers.iter().map(|layer| digest_of(layer)).collect();
        let configuration = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": layer_digests},
            "history": [{"created_by": format!("image {seed}")}],
        })
        .to_string()
        .into_bytes();
        let mut blobs = vec![(digest_of(&configuration), configuration)];
        blobs.extend(layer_digests.into_iter().zip(layers));
        let descriptor = |media_type: &str, (digest, content): &(String, Vec<u8>)| serde_json::json!({"mediaType": media_type, "digest": digest, "size": content.len()});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &blobs[0]),
            "layers": blobs[1..]
                .iter()
                .map(|blob| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob))
                .collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes();
        Self {
            digest: digest_of(&manifest),
            blobs,
            manifest,
        }
    }
}
