//! The names of upload sessions and the ranges of chunks.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use octoserve::domain::upload::{ChunkRange, UploadId, received_range};
use octoserve_fuzz::grammar;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };

    let id = text.parse::<UploadId>();
    assert_eq!(id.is_ok(), grammar::is_upload_id(text), "{text:?}");
    if let Ok(id) = id {
        assert_eq!(id.to_string(), text);
    }

    let range = text.parse::<ChunkRange>().ok();
    let expected = chunk_range(text);
    assert_eq!(
        range.map(|range| (range.first, range.length)),
        expected,
        "{text:?}"
    );
    if let Some(ChunkRange { first, length }) = range {
        assert!(length >= 1);
        let last = first + (length - 1);
        let canonical = format!("{first}-{last}");
        assert_eq!(canonical.parse(), Ok(ChunkRange { first, length }));
        // What a session says that it has is the range of a chunk, and, but for
        // the empty session, of just so many bytes.
        let received = received_range(length).parse::<ChunkRange>();
        assert_eq!(received, Ok(ChunkRange { first: 0, length }));
    }
    Corpus::Keep
});

/// What the grammar makes of a range, in numbers that cannot overflow: its
/// first byte and its length.
fn chunk_range(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let (text, total) = match text.split_once('/') {
        Some((text, "*")) => (text, None),
        Some((text, total)) => (text, Some(number(total)?)),
        None => (text, None),
    };
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = u64::try_from((last + 1).checked_sub(first)?).ok()?;
    let fits = length >= 1 && total.is_none_or(|total| total > last);
    fits.then_some((u64::try_from(first).ok()?, length))
}

/// Digits alone, of a number that 64 bits hold.
fn number(digits: &str) -> Option<u128> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let significant = digits.trim_start_matches('0');
    if !only_digits || significant.len() > 20 {
        return None;
    }
    let number: u128 = if significant.is_empty() {
        0
    } else {
        significant.parse().ok()?
    };
    (number <= u128::from(u64::MAX)).then_some(number)
}
