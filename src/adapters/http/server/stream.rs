//! The bytes of a connection, watched as they pass.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::malformed::Malformed;
use super::progress::Progress;

/// How much of a request that nobody wants is still read, so that its sender
/// reads the answer instead of meeting a reset.
const LARGEST_DISCARD: usize = 64 << 20;

/// A connection's bytes, in the clear or not.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether the kernel has bytes for us. Asks it, whatever the runtime knows.
    fn has_arrivals(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(self.socket())
            .peek(&mut byte)
            .is_ok_and(|read| read > 0)
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }
}

/// A transport that tells the connection's progress what it does.
pub(super) struct WatchedStream {
    transport: Transport,
    progress: Rc<Progress>,
    /// What was read to find out the protocol, to be read again.
    prefix: Vec<u8>,
    closing: Closing,
    /// Whether it is not hyper who writes.
    ours: bool,
}

enum Closing {
    Not,
    /// Our side is closed; so many bytes of the peer's were thrown away.
    Discarding(usize),
}

impl WatchedStream {
    pub(super) fn new(transport: Transport, progress: Rc<Progress>) -> Self {
        Self {
            transport,
            progress,
            prefix: Vec::new(),
            closing: Closing::Not,
            ours: false,
        }
    }

    /// Makes these the next bytes that are read.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.prefix = bytes.to_vec();
    }

    /// From now on what is written is written, and what is closed is closed.
    pub(super) fn take_over(&mut self) {
        self.ours = true;
    }

    /// Keeps back what hyper answers to a request that it cannot read: a status
    /// and no more. It is answered in words once hyper is done with it. Returns
    /// whether these bytes are that.
    fn keep_back(&self, bytes: &[u8]) -> bool {
        if self.ours {
            return false;
        }
        if self.progress.unreadable().is_none() {
            if !self.progress.has_nothing_to_write() {
                return false;
            }
            let status = bytes
                .get("HTTP/1.1 ".len()..)
                .and_then(|rest| rest.get(..3));
            let status = status.and_then(|status| StatusCode::from_bytes(status).ok());
            let malformed = Malformed::of_unreadable(status.unwrap_or(StatusCode::BAD_REQUEST));
            self.progress.note_unreadable(malformed);
        }
        true
    }

    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); 16 << 10];
        while let Closing::Discarding(discarded) = &mut self.closing
            && *discarded < LARGEST_DISCARD
        {
            let mut buffer = ReadBuf::uninit(&mut space);
            // An error is as good an end as any other.
            if ready!(Pin::new(&mut self.transport).poll_read(context, &mut buffer)).is_err()
                || buffer.filled().is_empty()
            {
                break;
            }
            *discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

/// An aborted connection leaves nothing for the kernel to go on sending.
impl Drop for WatchedStream {
    fn drop(&mut self) {
        if self.progress.is_aborted() {
            // If it cannot be done, the kernel gives up by itself later.
            let _ = SockRef::from(self.transport.socket()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if !this.prefix.is_empty() {
            let now = this.prefix.len().min(buffer.remaining());
            buffer.put_slice(this.prefix.get(..now).unwrap_or_default());
            this.prefix.drain(..now);
        }
        let read = Pin::new(&mut this.transport).poll_read(context, buffer);
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            this.progress.read(bytes);
            return Poll::Ready(Ok(()));
        }
        if read.is_pending() && this.progress.is_draining() {
            this.progress.set_arriving(this.transport.has_arrivals());
        }
        read
    }
}

impl WatchedStream {
    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &written {
            Poll::Ready(_) => self.progress.wrote(),
            Poll::Pending => self.progress.blocked(),
        }
        written
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.keep_back(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.transport).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.keep_back(slices.first().map_or(&[], |first| first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.transport).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(context);
        if flushed.is_ready() {
            self.progress.flushed();
        }
        self.note(flushed)
    }

    /// Closes our side. If the peer may be sending what nobody will read, reads
    /// it for a while: closing outright would answer it with a reset, and that
    /// makes the peer's kernel throw away an answer that it has not read yet.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress.unreadable().is_some() && !self.ours {
            return Poll::Ready(Ok(()));
        }
        if matches!(self.closing, Closing::Not) {
            let closed = Pin::new(&mut self.transport).poll_shutdown(context);
            ready!(self.note(closed))?;
            if !self.progress.has_unread_request() {
                return Poll::Ready(Ok(()));
            }
            self.progress.farewell();
            self.closing = Closing::Discarding(0);
        }
        self.poll_discard(context)
    }
}
