//! Objects that hold a small JSON document and, after a line feed, bytes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::record::{RecordError, decode, encode};

/// The object that holds these.
pub(super) fn frame<D: Serialize>(document: &D, bytes: &[u8]) -> Result<Bytes, RecordError> {
    let mut object = encode(document)?.to_vec();
    object.push(b'\n');
    object.extend_from_slice(bytes);
    Ok(object.into())
}

/// What such an object holds.
pub(super) fn unframe<D: DeserializeOwned>(object: &Bytes) -> Result<(D, Bytes), RecordError> {
    // JSON as we write it has no line feed.
    let end = object.iter().position(|byte| *byte == b'\n');
    let end = end.unwrap_or(object.len());
    let document = decode(object.get(..end).unwrap_or_default())?;
    Ok((document, object.slice((end + 1).min(object.len())..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_found_again() {
        for bytes in [&b""[..], b"\n", b"content", b"{}\n{}"] {
            let object = frame(&"a\nb".to_owned(), bytes).expect("JSON");
            let (document, rest) = unframe::<String>(&object).expect("a document");
            assert_eq!((document.as_str(), &*rest), ("a\nb", bytes));
        }
        assert_eq!(
            unframe::<u8>(&Bytes::from_static(b"7")).expect("a document"),
            (7, Bytes::new())
        );
        assert!(unframe::<u8>(&Bytes::new()).is_err());
    }
}
