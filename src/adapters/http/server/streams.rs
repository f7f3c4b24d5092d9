//! Runs the streams of HTTP/2 connections.
//!
//! The connection's own bytes may flow while one stream stands still, because
//! its peer opens no window for it; so each stream is watched by itself, and
//! reset when its peer has taken nothing of it for too long.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use super::deadline::Deadline;
use super::progress::Progress;

/// The largest piece of a body that a stream is given at once. The peer makes
/// progress when it has taken one, so it is small, and as large as a frame.
pub(super) const PIECE: usize = 16 << 10;

/// What one stream waits for.
#[derive(Debug, Default)]
pub(super) struct StreamProgress {
    /// Since when a piece of the body waits for the peer to make room.
    unread_since: Cell<Option<Instant>>,
}

impl StreamProgress {
    /// The stream asks for the next piece: it has room.
    pub(super) fn taken(&self) {
        self.unread_since.set(None);
    }

    /// The stream was given a piece.
    pub(super) fn given(&self) {
        self.unread_since.set(Some(Instant::now()));
    }
}

/// Spawns the streams of one connection onto its thread.
#[derive(Clone)]
pub(super) struct Streams {
    progress: Rc<Progress>,
    patience: Duration,
}

impl Streams {
    pub(super) fn new(progress: Rc<Progress>, patience: Duration) -> Self {
        Self { progress, patience }
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    /// hyper calls this with a stream right after it called the service with its
    /// request, which is how the two are brought together.
    fn execute(&self, stream: F) {
        let progress = self.progress.new_stream.take();
        let patience = self.patience;
        tokio::task::spawn_local(WatchedStream {
            stream,
            progress: progress.unwrap_or_default(),
            patience,
            deadline: Deadline::default(),
        });
    }
}

pin_project! {
    /// A stream that ends, and thereby is reset, when its peer takes nothing.
    struct WatchedStream<F> {
        #[pin]
        stream: F,
        progress: Rc<StreamProgress>,
        patience: Duration,
        deadline: Deadline,
    }
}

impl<F: Future<Output = ()>> Future for WatchedStream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        match this.progress.unread_since.get() {
            Some(since) => this.deadline.poll(context, since + *this.patience),
            None => Poll::Pending,
        }
    }
}
