//! Pagination of tag lists and of the catalog.

use thiserror::Error;

/// The most entries one page holds, asked for or not.
pub const LARGEST_PAGE: usize = 10_000;

/// Which page of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// The most entries the client wants.
    pub limit: Option<usize>,
    /// Entries start after this text. It is compared, never looked up, so a
    /// cursor outlives the entry it was made from.
    pub after: Option<String>,
}

/// An `n` that is not a whole number of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("n is the number of entries wanted: a whole number, zero or more")]
pub struct ParsePageError;

impl PageRequest {
    /// Reads the query parameters `n` and `last`.
    ///
    /// # Errors
    /// When `n` is negative or no number. A number that is too large to count
    /// with asks for the largest page.
    pub fn parse(n: Option<&str>, last: Option<&str>) -> Result<Self, ParsePageError> {
        let limit = match n {
            None => None,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(ParsePageError);
            }
            Some(digits) => Some(digits.parse().unwrap_or(usize::MAX)),
        };
        Ok(Self {
            limit,
            after: last.filter(|last| !last.is_empty()).map(str::to_owned),
        })
    }

    /// How many entries the page holds at the most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.limit.unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE)
    }
}

/// Some consecutive entries of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in the byte order of their texts.
    pub entries: Vec<T>,
    /// Whether entries follow; never said of an empty page, whose reader could
    /// not go on from it.
    pub more: bool,
}

impl<T> Page<T> {
    /// A page of at most `size` of `entries`, which hold one more if more follow.
    #[must_use]
    pub fn cut(mut entries: Vec<T>, size: usize) -> Self {
        let more = size > 0 && entries.len() > size;
        entries.truncate(size);
        Self { entries, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_is_a_whole_number() {
        let limit = |n| PageRequest::parse(Some(n), None).map(|page| page.limit);
        assert_eq!(limit("0"), Ok(Some(0)));
        assert_eq!(limit("100"), Ok(Some(100)));
        assert_eq!(limit("99999999999999999999999"), Ok(Some(usize::MAX)));
        for n in ["", "-1", "+1", "ten", "1.5", "1 "] {
            assert_eq!(limit(n), Err(ParsePageError), "{n}");
        }
    }

    #[test]
    fn no_page_is_larger_than_the_largest() {
        let page = PageRequest::parse(Some("999999"), None).expect("a number");
        assert_eq!(page.size(), LARGEST_PAGE);
        assert_eq!(PageRequest::default().size(), LARGEST_PAGE);
    }

    #[test]
    fn a_page_says_whether_more_follows() {
        assert!(Page::cut(vec![1, 2, 3], 2).more);
        assert!(!Page::cut(vec![1, 2], 2).more);
        assert!(!Page::cut(vec![1], 0).more);
    }
}
