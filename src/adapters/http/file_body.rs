//! A part of a file on its way to a client.
//!
//! On a plain HTTP/1.1 connection the file's pages are mapped, a window at a
//! time, and handed to the socket as they are: the kernel copies them once,
//! from the page cache to the socket, and no byte passes through our memory.
//! Elsewhere (TLS, HTTP/2) the program itself reads the bytes, so they are read
//! into a buffer: a mapped page that a truncated file has lost would kill a
//! program that touches it, while a socket only reports an error for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::mapping::Mapped;
use crate::domain::range::ByteRange;

/// The largest part of a file that is mapped at once.
const LARGEST_WINDOW: u64 = 1024 * 1024;

/// The largest part of a file that is read at once.
const LARGEST_READ: u64 = 128 * 1024;

/// The first part is small, so that the first byte comes soon and whoever wants
/// no more of it costs no more; each next one is twice as large.
const FIRST_WINDOW: u64 = 64 * 1024;

/// How the bytes of a file get to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// The socket takes mapped pages.
    Mapped,
    /// The program reads them.
    Read,
}

/// Streams a range of a file, and fails if the file does not have all of it.
pub(super) struct FileBody {
    file: Arc<File>,
    rest: ByteRange,
    window: u64,
    transfer: Transfer,
    loading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    pub(super) fn new(file: Arc<File>, range: ByteRange, transfer: Transfer) -> Self {
        Self {
            file,
            rest: range,
            window: FIRST_WINDOW,
            transfer,
            loading: None,
        }
    }

    /// The part to load next.
    fn next_part(&self) -> ByteRange {
        ByteRange {
            start: self.rest.start,
            end: self
                .rest
                .end
                .min(self.rest.start.saturating_add(self.window)),
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.length() == 0 {
            return Poll::Ready(None);
        }
        let part = self.next_part();
        let this = &mut *self;
        let at_once = match this.loading {
            None => load_at_once(&this.file, part, this.transfer)?,
            Some(_) => None,
        };
        let bytes = match at_once {
            Some(bytes) => bytes,
            None => {
                let loading = this.loading.get_or_insert_with(|| {
                    let (file, transfer) = (Arc::clone(&this.file), this.transfer);
                    tokio::task::spawn_blocking(move || load(&file, part, transfer))
                });
                let loaded = ready!(Pin::new(loading).poll(context));
                this.loading = None;
                loaded.map_err(io::Error::other)??
            }
        };
        this.rest.start = part.end;
        let largest = match this.transfer {
            Transfer::Mapped => LARGEST_WINDOW,
            Transfer::Read => LARGEST_READ,
        };
        this.window = (this.window * 2).min(largest);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.length())
    }
}

/// What can be had without waiting for the disk.
fn load_at_once(file: &File, part: ByteRange, transfer: Transfer) -> io::Result<Option<Bytes>> {
    match transfer {
        Transfer::Read => Ok(None),
        Transfer::Mapped => {
            let mapped = Mapped::new(file, part)?;
            Ok(mapped.is_resident().then(|| mapped.into_bytes()))
        }
    }
}

fn load(file: &File, part: ByteRange, transfer: Transfer) -> io::Result<Bytes> {
    if transfer == Transfer::Mapped {
        let mapped = Mapped::new(file, part)?;
        if mapped.make_resident()? {
            return Ok(mapped.into_bytes());
        }
    }
    let length = usize::try_from(part.length()).map_err(io::Error::other)?;
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, part.start)?;
    Ok(buffer.into())
}
