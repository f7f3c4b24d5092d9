//! Pages of a file as bytes, without copying them.

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};

use crate::domain::range::ByteRange;

/// A part of a file as bytes that are only for the kernel to read, as the
/// source of a write to a socket. Should the file be truncated after it was
/// mapped, such a write fails; a program that read the bytes itself would be
/// killed.
pub(super) struct Mapped(Mmap);

impl Mapped {
    /// Maps a part of a file, which must have all of it. Its pages may still be
    /// on the disk.
    pub(super) fn new(file: &File, part: ByteRange) -> io::Result<Self> {
        // A mapping reaches past the end of a file that was truncated: to the
        // end of its last page it reads as zeros, and beyond that not at all.
        if file.metadata()?.len() < part.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::try_from(part.length()).map_err(io::Error::other)?;
        let mut options = MmapOptions::new();
        options.offset(part.start).len(length);
        #[expect(
            unsafe_code,
            reason = "stored content is never written again, only replaced by a rename, which \
                      leaves the mapped file as it is; and nothing here reads the bytes"
        )]
        // SAFETY: the mapping is of a file that no process of ours modifies.
        // Damage from outside can change or unmap the pages; since only the
        // kernel reads them, it sends other bytes or reports an error.
        let mapped = unsafe { options.map(file) }?;
        Ok(Self(mapped))
    }

    /// Whether all of its pages are in memory, so that nothing that reads them
    /// waits for the disk.
    pub(super) fn is_resident(&self) -> bool {
        let page = rustix::param::page_size();
        let before = self.0.as_ptr().addr() % page;
        let length = self.0.len() + before;
        let mut pages = vec![0_u8; length.div_ceil(page)];
        #[expect(unsafe_code, reason = "no safe binding of mincore exists")]
        // SAFETY: the range is that of the mapping, from the start of the page
        // that it starts in, and there is a byte for each page of it.
        let answered = unsafe {
            let start = self.0.as_ptr().sub(before);
            libc::mincore(start.cast_mut().cast(), length, pages.as_mut_ptr())
        };
        answered == 0 && pages.iter().all(|page| page & 1 == 1)
    }

    /// Brings its pages into memory; fails if the file does not have them.
    /// `false` where the kernel cannot do that (before Linux 5.14).
    pub(super) fn make_resident(&self) -> io::Result<bool> {
        match self.0.advise(Advice::PopulateRead) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}
