//! What a `Range` header selects lies inside the content and costs a bounded
//! amount of work. An input reads `<size> <header>`.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use octoserve::domain::range::{ByteRange, MOST_RANGES, Selection, select};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let Some((size, header)) = text.split_once(' ') else {
        return Corpus::Reject;
    };
    let Ok(size) = size.parse::<u64>() else {
        return Corpus::Reject;
    };
    let selection = select(header, size);
    match &selection {
        Selection::Whole | Selection::Unsatisfiable => {}
        Selection::Single(range) => check(*range, size),
        Selection::Several(ranges) => {
            assert!((2..=MOST_RANGES.get()).contains(&ranges.len()));
            for range in ranges {
                check(*range, size);
            }
            // Ranges may overlap a little, but nobody has a large blob sent a
            // hundred times with one small request.
            let bytes: u128 = ranges.iter().map(|range| u128::from(range.length())).sum();
            assert!(bytes <= 2 * u128::from(size), "{bytes} bytes of {size}");
        }
    }
    if let Some(ranges) = well_formed(header) {
        let satisfiable: Vec<ByteRange> = ranges
            .iter()
            .filter_map(|range| range.within(size))
            .collect();
        match selection {
            Selection::Whole => assert_eq!(size, 0, "ignored: {header:?}"),
            Selection::Single(range) => assert_eq!(vec![range], satisfiable),
            Selection::Several(ranges) => assert_eq!(ranges, satisfiable),
            Selection::Unsatisfiable => {
                let reversed = ranges
                    .iter()
                    .any(|range| matches!(range, Spec::Between(first, last) if first > last));
                let refused_as_work =
                    ranges.len() > MOST_RANGES.get() || overlaps(&satisfiable) > 1;
                assert!(
                    satisfiable.is_empty() || reversed || refused_as_work,
                    "{header:?}"
                );
            }
        }
    }
    Corpus::Keep
});

fn check(range: ByteRange, size: u64) {
    assert!(range.start < range.end && range.end <= size);
    assert_eq!(range.length(), range.end - range.start);
    let expected = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    assert_eq!(range.content_range(size), expected);
}

/// A range as RFC 9110 has it.
enum Spec {
    Between(u64, u64),
    From(u64),
    Last(u64),
}

impl Spec {
    /// The bytes that it names of content of `size` bytes, if there are any.
    fn within(&self, size: u64) -> Option<ByteRange> {
        let (start, end) = match *self {
            Self::Between(first, last) => (first, last.saturating_add(1).min(size)),
            Self::From(first) => (first, size),
            Self::Last(length) => (size - length.min(size), size),
        };
        (start < end).then_some(ByteRange { start, end })
    }
}

/// The ranges of a header that nobody could read otherwise: `bytes=` and ranges
/// in numbers that 64 bits hold, with a comma between two of them.
fn well_formed(header: &str) -> Option<Vec<Spec>> {
    let ranges = header.strip_prefix("bytes=")?.split(',');
    ranges
        .map(|range| {
            let (first, last) = range.trim_matches([' ', '\t']).split_once('-')?;
            match (first, last) {
                ("", length) => Some(Spec::Last(number(length)?)),
                (first, "") => Some(Spec::From(number(first)?)),
                (first, last) => Some(Spec::Between(number(first)?, number(last)?)),
            }
        })
        .collect::<Option<Vec<Spec>>>()
        .filter(|_| !header.ends_with([' ', '\t']))
}

fn number(digits: &str) -> Option<u64> {
    let plain =
        (1..=19).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// How many ranges begin before one that begins earlier has ended.
fn overlaps(ranges: &[ByteRange]) -> usize {
    let mut ranges = ranges.to_vec();
    ranges.sort_by_key(|range| range.start);
    let mut end = 0;
    let mut overlaps = 0;
    for range in ranges {
        overlaps += usize::from(range.start < end);
        end = end.max(range.end);
    }
    overlaps
}
