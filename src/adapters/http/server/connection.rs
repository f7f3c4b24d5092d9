//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use tracing::debug;

use super::content::RequestContent;
use super::deadline::Deadline;
use super::framing::Framing;
use super::progress::{Overdue, Patience, Progress};
use super::refusing::refuse;
use super::service::Requests;
use super::stream::{Transport, WatchedStream};
use super::streams::Streams;
use super::{ConnectionInfo, Limits};

/// What HTTP/2 begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes of a large body are read, or answered, at once.
const LARGEST_BUFFER: usize = 256 << 10;

/// How many streams of an HTTP/2 connection may be open.
const STREAMS: u32 = 128;

/// How much of an HTTP/2 stream's answer waits for its peer, at most.
const STREAM_BUFFER: usize = 64 << 10;

/// How many bytes the peer of an HTTP/2 connection may send ahead.
const WINDOW: u32 = 1 << 20;

/// The largest frame of an HTTP/2 upload.
const FRAME: u32 = 256 << 10;

/// How connections of either protocol are served.
pub(super) struct Protocols {
    http1: http1::Builder,
    largest_head: usize,
    patience: Patience,
    tls: Option<TlsAcceptor>,
}

/// Why a connection ended that might have gone on.
enum Ending {
    Overdue(Overdue),
    Broken(Box<dyn Error + Send + Sync>),
}

impl Protocols {
    pub(super) fn new(limits: &Limits, tls: Option<TlsAcceptor>) -> Self {
        // hyper's bounds lie above ours, so that what is just over ours is
        // answered by us, in words.
        let largest_head = limits.largest_head * 2;
        let mut http1 = http1::Builder::new();
        http1
            .header_read_timeout(None)
            .max_header_size(largest_head)
            .max_buf_size(largest_head.max(LARGEST_BUFFER));
        Self {
            http1,
            largest_head: limits.largest_head,
            patience: Patience {
                header: limits.header_timeout,
                idle: limits.idle_timeout,
                write: limits.write_timeout,
            },
            tls,
        }
    }

    /// Serves a connection until it ends.
    pub(super) async fn serve<S, B>(
        &self,
        stream: TcpStream,
        connection: ConnectionInfo,
        progress: Rc<Progress>,
        application: S,
    ) where
        S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>
            + Clone
            + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let peer = connection.peer;
        match self.run(stream, connection, progress, application).await {
            Ok(()) => {}
            Err(Ending::Overdue(Overdue::Request)) => debug!(%peer, "closed an idle connection"),
            Err(Ending::Overdue(Overdue::Head)) => {
                debug!(%peer, "closed a connection: the head of its request did not come");
            }
            Err(Ending::Overdue(Overdue::Reader)) => {
                debug!(%peer, "closed a connection: its peer does not read");
            }
            Err(Ending::Overdue(Overdue::Farewell)) => {
                debug!(%peer, "closed a connection that its peer kept open");
            }
            Err(Ending::Broken(error)) => {
                let error = error.as_ref();
                debug!(%peer, error, "a connection broke");
            }
        }
    }

    async fn run<S, B>(
        &self,
        stream: TcpStream,
        connection: ConnectionInfo,
        progress: Rc<Progress>,
        application: S,
    ) -> Result<(), Ending>
    where
        S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>
            + Clone
            + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let patience = &self.patience;
        let transport = match &self.tls {
            None => Transport::Plain(stream),
            Some(acceptor) => {
                // A handshake is as long as a head may take.
                progress.note_head(true);
                let mut handshake = Opening(acceptor.accept(stream));
                let stream = driven(&mut handshake, &progress, patience).await?;
                progress.note_head(false);
                Transport::Tls(Box::new(stream))
            }
        };
        let mut stream = WatchedStream::new(transport, Rc::clone(&progress));
        let mut detection = Opening(Box::pin(detect(&mut stream, &progress)));
        let protocol = driven(&mut detection, &progress, patience).await?;
        drop(detection);
        match protocol {
            None => Ok(()),
            Some(Protocol::Http1) => {
                progress
                    .framing
                    .replace(Some(Framing::new(self.largest_head)));
                let requests = Requests::new(
                    application.clone(),
                    Rc::clone(&progress),
                    connection.clone(),
                );
                let serving = self.http1.serve_connection(TokioIo::new(stream), requests);
                let mut serving = Http1(serving);
                let served = driven(&mut serving, &progress, patience).await;
                let Some(malformed) = progress.unreadable() else {
                    return served;
                };
                let stream = serving.0.into_parts().io.into_inner();
                let refusing = refuse(stream, malformed, connection, &progress, application);
                driven(&mut Closing(Box::pin(refusing)), &progress, patience).await
            }
            Some(Protocol::Http2) => {
                let requests = Requests::of_streams(application, Rc::clone(&progress), connection);
                let streams = Streams::new(Rc::clone(&progress), patience.write);
                let serving = self
                    .http2(streams)
                    .serve_connection(TokioIo::new(stream), requests);
                driven(&mut Http2(serving), &progress, patience).await
            }
        }
    }

    fn http2(&self, streams: Streams) -> http2::Builder<Streams> {
        let mut http2 = http2::Builder::new(streams);
        http2
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(STREAM_BUFFER)
            .max_header_list_size(u32::try_from(self.largest_head).unwrap_or(u32::MAX))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME);
        http2
    }
}

enum Protocol {
    Http1,
    Http2,
}

/// Reads enough to know the protocol; nothing if the peer closes instead. What
/// was read will be read again.
async fn detect(stream: &mut WatchedStream, progress: &Progress) -> io::Result<Option<Protocol>> {
    let mut space = [0; PREFACE.len()];
    let mut buffer = ReadBuf::new(&mut space);
    loop {
        let before = buffer.filled().len();
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await?;
        let bytes = buffer.filled();
        let protocol = if bytes.len() == before {
            return Ok(None);
        } else if bytes == PREFACE {
            progress.note_head(false);
            Protocol::Http2
        } else if PREFACE.starts_with(bytes) {
            progress.note_head(true);
            continue;
        } else {
            progress.note_head(true);
            Protocol::Http1
        };
        stream.unread(bytes);
        return Ok(Some(protocol));
    }
}

/// A part of a connection's life.
trait Part: Unpin {
    type Output;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::Output, Ending>>;

    /// Makes it end as soon as nothing is lost by that, if it can.
    fn finish(&mut self) -> Result<(), Ending>;
}

/// Before the first request: there is nothing to lose.
struct Opening<F>(F);

impl<T, F: Future<Output = io::Result<T>> + Unpin> Part for Opening<F> {
    type Output = T;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Ending>> {
        let opened = Pin::new(&mut self.0).poll(context);
        opened.map_err(|error| Ending::Broken(error.into()))
    }

    fn finish(&mut self) -> Result<(), Ending> {
        Err(Ending::Overdue(Overdue::Request))
    }
}

/// After the last request: all that is left is to say so.
struct Closing<F>(F);

impl<F: Future<Output = io::Result<()>> + Unpin> Part for Closing<F> {
    type Output = ();

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let closed = Pin::new(&mut self.0).poll(context);
        closed.map_err(|error| Ending::Broken(error.into()))
    }

    fn finish(&mut self) -> Result<(), Ending> {
        Ok(())
    }
}

struct Http1<S>(http1::Connection<TokioIo<WatchedStream>, S>)
where
    S: hyper::service::HttpService<Incoming>;

struct Http2<S>(http2::Connection<TokioIo<WatchedStream>, S, Streams>)
where
    S: hyper::service::HttpService<Incoming>;

macro_rules! impl_part {
    ($part:ident) => {
        impl<S, B> Part for $part<Requests<S>>
        where
            S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>
                + Clone
                + 'static,
            B: Body<Data = Bytes> + 'static,
            B::Error: Into<Box<dyn Error + Send + Sync>>,
        {
            type Output = ();

            fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ending>> {
                let served = Pin::new(&mut self.0).poll(context);
                served.map_err(|error| Ending::Broken(error.into()))
            }

            fn finish(&mut self) -> Result<(), Ending> {
                Pin::new(&mut self.0).graceful_shutdown();
                Ok(())
            }
        }
    };
}

impl_part!(Http1);
impl_part!(Http2);

/// Drives a part to its end, and ends it early when something is overdue or the
/// server stops.
async fn driven<P: Part>(
    part: &mut P,
    progress: &Progress,
    patience: &Patience,
) -> Result<P::Output, Ending> {
    let mut deadline = Deadline::default();
    let mut finishing = false;
    poll_fn(|context| {
        progress.keep_waker(context.waker());
        loop {
            if let Poll::Ready(ended) = part.poll(context) {
                return Poll::Ready(ended);
            }
            if progress.is_draining() && !finishing && progress.may_end() {
                finishing = true;
            } else {
                let Some((due, overdue)) = progress.due(patience) else {
                    return Poll::Pending;
                };
                ready!(deadline.poll(context, due));
                if overdue != Overdue::Request || finishing {
                    if overdue == Overdue::Reader {
                        progress.abort();
                    }
                    return Poll::Ready(Err(Ending::Overdue(overdue)));
                }
                finishing = true;
            }
            part.finish()?;
            progress.farewell();
        }
    })
    .await
}
