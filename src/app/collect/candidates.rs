//! Blobs that may be removed, until something is found to refer to them.

use crate::domain::digest::Digest;
use crate::ports::blob_store::{BlobVersion, ListedBlob};

/// A blob whose lease had run out when it was listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) digest: Digest,
    /// Its length in bytes.
    pub(super) size: u64,
    /// Which state of it was listed.
    pub(super) version: BlobVersion,
    is_needed: bool,
}

/// Candidates in the order of their digests, under a hundred bytes each.
///
/// They are kept page by page, as they were listed: one vector would be copied
/// as it grows, and hold twice as much meanwhile.
#[derive(Default)]
pub(super) struct Candidates {
    pages: Vec<Vec<Candidate>>,
    count: usize,
}

impl Candidates {
    pub(super) fn add_page(&mut self, blobs: impl Iterator<Item = ListedBlob>) {
        let page: Vec<Candidate> = blobs
            .map(|ListedBlob { digest, stat }| Candidate {
                digest,
                size: stat.size,
                version: stat.version,
                is_needed: false,
            })
            .collect();
        if !page.is_empty() {
            self.count += page.len();
            self.pages.push(page);
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Says that something refers to a blob, which may be a candidate.
    pub(super) fn keep(&mut self, digest: &Digest) {
        let following = self
            .pages
            .partition_point(|page| page.first().is_some_and(|first| first.digest <= *digest));
        let page = following
            .checked_sub(1)
            .and_then(|at| self.pages.get_mut(at));
        if let Some(page) = page
            && let Ok(at) = page.binary_search_by(|candidate| candidate.digest.cmp(digest))
            && let Some(candidate) = page.get_mut(at)
        {
            candidate.is_needed = true;
        }
    }

    /// Those to which nothing refers.
    pub(super) fn unneeded(&self) -> impl Iterator<Item = &Candidate> + Clone {
        let all = self.pages.iter().flatten();
        all.filter(|candidate| !candidate.is_needed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::domain::digest::Algorithm;
    use crate::ports::blob_store::BlobStat;

    #[test]
    fn what_is_kept_is_no_longer_unneeded_in_whichever_page_it_is() {
        let mut digests: Vec<Digest> = (0..100_u8)
            .map(|number| Digest::of(Algorithm::Sha256, &[number]))
            .collect();
        digests.sort_unstable();
        let listed = |digest: &Digest| ListedBlob {
            digest: *digest,
            stat: BlobStat {
                size: 1,
                leased: SystemTime::UNIX_EPOCH,
                version: BlobVersion::new([0; 16]),
            },
        };
        for page_size in [1, 7, 100] {
            let mut candidates = Candidates::default();
            for page in digests.chunks(page_size) {
                candidates.add_page(page.iter().map(listed));
                candidates.add_page(std::iter::empty());
            }
            for digest in digests.iter().step_by(2) {
                candidates.keep(digest);
            }
            candidates.keep(&Digest::of(Algorithm::Sha256, b"none of them"));
            candidates.keep(&Digest::of(Algorithm::Sha512, b"none of them"));
            let unneeded: Vec<Digest> = candidates
                .unneeded()
                .map(|candidate| candidate.digest)
                .collect();
            let expected: Vec<Digest> = digests.iter().copied().skip(1).step_by(2).collect();
            assert_eq!(unneeded, expected, "in pages of {page_size}");
            assert_eq!(candidates.count(), 100);
        }
    }
}
