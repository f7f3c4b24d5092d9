//! Byte ranges: which part of a blob a pull asks for.

use std::num::NonZeroUsize;

use http_range_header::{
    RangeInvalid, RangeUnsatisfiableError, parse_range_header_with_max_ranges,
};

/// The most ranges that one response answers: as many pieces of a layer as
/// podman asks for at once.
pub const MOST_RANGES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Bytes `start..end` of some content: half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The position of the first byte.
    pub start: u64,
    /// The position after the last byte.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes the range holds.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The part of the range that content of `size` bytes has; empty, at the
    /// content's end, if it has none of it.
    #[must_use]
    pub const fn within(self, size: u64) -> Self {
        let end = if self.end < size { self.end } else { size };
        let start = if self.start < end { self.start } else { end };
        Self { start, end }
    }

    /// As `Content-Range` has it: `bytes 0-9/100` for ten of a hundred bytes.
    #[must_use]
    pub fn content_range(self, size: u64) -> String {
        let last = self.end.saturating_sub(1);
        format!("bytes {}-{last}/{size}", self.start)
    }
}

/// What a `Range` header selects of content of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: there is no range, or one that RFC 9110 has us ignore.
    Whole,
    /// One range.
    Single(ByteRange),
    /// Two or more ranges, in the order they were asked for.
    Several(Vec<ByteRange>),
    /// Nothing that the content has.
    Unsatisfiable,
}

/// Reads a `Range` header against content of `size` bytes.
///
/// A header that is no byte range is ignored (RFC 9110, 14.2). One whose end
/// lies before its start is unsatisfiable, as are more ranges, or more
/// overlapping ones, than any client has use for.
#[must_use]
pub fn select(header: &str, size: u64) -> Selection {
    let ranges = parse_range_header_with_max_ranges(header, MOST_RANGES)
        .and_then(|parsed| parsed.validate(size));
    match ranges {
        Ok(ranges) => {
            let mut ranges: Vec<ByteRange> = ranges
                .into_iter()
                .map(|range| ByteRange {
                    start: *range.start(),
                    end: range.end().saturating_add(1),
                })
                .collect();
            match ranges.len() {
                0 => Selection::Whole,
                1 => Selection::Single(ranges.remove(0)),
                _ => Selection::Several(ranges),
            }
        }
        Err(RangeUnsatisfiableError::Invalid(reason)) if reason != RangeInvalid::Reversed => {
            Selection::Whole
        }
        Err(_) => Selection::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn a_range_selects_what_it_names() {
        for (header, selection) in [
            ("bytes=0-0", Selection::Single(bytes(0, 1))),
            ("bytes=10-19", Selection::Single(bytes(10, 20))),
            ("bytes=90-", Selection::Single(bytes(90, 100))),
            ("bytes=0-", Selection::Single(bytes(0, 100))),
            ("bytes=-10", Selection::Single(bytes(90, 100))),
            ("bytes=-1000", Selection::Single(bytes(0, 100))),
            ("bytes=50-1000", Selection::Single(bytes(50, 100))),
            (
                "bytes=0-1,50-59, -1",
                Selection::Several(vec![bytes(0, 2), bytes(50, 60), bytes(99, 100)]),
            ),
            ("bytes=0-9,200-300", Selection::Single(bytes(0, 10))),
        ] {
            assert_eq!(select(header, 100), selection, "{header}");
        }
    }

    #[test]
    fn a_range_outside_the_content_is_unsatisfiable() {
        for header in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=50-40"] {
            assert_eq!(select(header, 100), Selection::Unsatisfiable, "{header}");
        }
        assert_eq!(select("bytes=0-0", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn a_flood_of_overlapping_ranges_is_unsatisfiable() {
        let header = format!("bytes=0-{}", ",0-".repeat(50));
        assert_eq!(select(&header, 100), Selection::Unsatisfiable);
    }

    #[test]
    fn what_is_no_byte_range_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "items=0-1",
            "0-1",
            "bytes=-",
        ] {
            assert_eq!(select(header, 100), Selection::Whole, "{header}");
        }
    }
}
