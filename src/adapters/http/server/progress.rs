//! What a connection has done and is doing, shared by the parts that see it: the
//! stream sees bytes come and go, the service sees requests begin and end, and
//! the driver closes what has waited for too long.
//!
//! Nothing here arms a timer. Whoever sees something happen notes when, and only
//! if it must; the driver works out from the notes when there is something to do
//! at the earliest. A request that comes, is answered and is followed by the next
//! in time costs one look at the clock.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::framing::Framing;
use super::malformed::Malformed;
use super::streams::StreamProgress;

/// How long a connection may take to end once all is said.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a connection may wait, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// What a connection has waited for too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The rest of a request's head.
    Head,
    /// Another request.
    Request,
    /// The peer to read.
    Reader,
    /// The peer to close its side.
    Farewell,
}

/// One connection's notes. It lives on one thread.
pub(super) struct Progress {
    /// When there last was nothing to answer any more.
    quiet_since: Cell<Instant>,
    /// How many requests are being answered.
    in_flight: Cell<u32>,
    /// How many requests there were.
    requests: Cell<u64>,
    /// When the first byte of a head came, while its last has not.
    head_since: Cell<Option<Instant>>,
    /// Since when the peer takes nothing of what is there for it.
    unread_since: Cell<Option<Instant>>,
    /// Since when the connection is only waiting for its end.
    farewell_since: Cell<Option<Instant>>,
    /// Whether the server is stopping, so that this request is the last one.
    draining: Cell<bool>,
    /// While stopping: whether bytes have arrived that were not read yet.
    arriving: Cell<bool>,
    /// Whether the connection is to end without a farewell.
    aborted: Cell<bool>,
    /// Whether all answers so far have been written out.
    settled: Cell<bool>,
    /// What is wrong with a request that could not be read.
    unreadable: Cell<Option<Malformed>>,
    /// The requests on the stream, while it is HTTP/1.
    pub(super) framing: RefCell<Option<Framing>>,
    /// The HTTP/2 stream that was last begun, on its way to its task.
    pub(super) new_stream: RefCell<Option<std::rc::Rc<StreamProgress>>>,
    /// Wakes the driver.
    waker: RefCell<Option<Waker>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            quiet_since: Cell::new(Instant::now()),
            in_flight: Cell::new(0),
            requests: Cell::new(0),
            head_since: Cell::new(None),
            unread_since: Cell::new(None),
            farewell_since: Cell::new(None),
            draining: Cell::new(false),
            arriving: Cell::new(false),
            aborted: Cell::new(false),
            settled: Cell::new(true),
            unreadable: Cell::new(None),
            framing: RefCell::new(None),
            new_stream: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    // What the stream sees.

    /// Bytes were read.
    pub(super) fn read(&self, bytes: &[u8]) {
        let is_inside_head = match self.framing.borrow_mut().as_mut() {
            Some(framing) => {
                framing.follow(bytes);
                framing.is_inside_head()
            }
            None => return,
        };
        self.note_head(is_inside_head);
    }

    /// A head has begun, or it is whole.
    pub(super) fn note_head(&self, has_begun: bool) {
        if !has_begun {
            self.head_since.set(None);
        } else if self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// Bytes were written.
    pub(super) fn wrote(&self) {
        self.unread_since.set(None);
    }

    /// Bytes could not be written, because the peer has not read earlier ones.
    pub(super) fn blocked(&self) {
        if self.unread_since.get().is_none() {
            self.unread_since.set(Some(Instant::now()));
        }
    }

    /// All bytes that there were to write were written.
    pub(super) fn flushed(&self) {
        self.settled.set(self.in_flight.get() == 0);
    }

    /// Whether whatever is written next answers no request that was read: hyper
    /// says that it cannot read one.
    pub(super) fn has_nothing_to_write(&self) -> bool {
        self.settled.get() && self.framing.borrow().is_some()
    }

    pub(super) fn note_unreadable(&self, malformed: Malformed) {
        self.unreadable.set(Some(malformed));
    }

    /// There is nothing left but to close.
    pub(super) fn farewell(&self) {
        if self.farewell_since.get().is_none() {
            self.farewell_since.set(Some(Instant::now()));
        }
    }

    /// Whether the peer may still be sending a request that nobody will read.
    pub(super) fn has_unread_request(&self) -> bool {
        let framing = self.framing.borrow();
        framing.as_ref().is_some_and(|framing| {
            framing.is_inside_body() || framing.is_inside_head() || framing.refused().is_some()
        }) || self.unreadable.get().is_some()
    }

    pub(super) fn set_arriving(&self, arriving: bool) {
        self.arriving.set(arriving);
    }

    // What the service sees.

    /// A request begins. Returns why it is not to be served, if so.
    pub(super) fn begin_request(&self) -> Option<Malformed> {
        self.settled.set(false);
        self.in_flight.set(self.in_flight.get() + 1);
        self.requests.set(self.requests.get() + 1);
        let framing = self.framing.borrow();
        let (number, malformed) = framing.as_ref()?.refused()?;
        (number == self.requests.get()).then_some(malformed)
    }

    /// Whether an HTTP/1 connection ends with the answer that is being made: the
    /// server is stopping, or the rest of the request's body is not wanted, or it
    /// is not known where the request ends. The peer is told, so that it sends
    /// its next request elsewhere.
    pub(super) fn is_last_answer(&self) -> bool {
        let number = self.requests.get();
        let framing = self.framing.borrow();
        let is_last = framing.as_ref().is_some_and(|framing| {
            let refused = framing.refused();
            framing.is_inside_body_of(number) || refused.is_some_and(|(first, _)| first <= number)
        });
        is_last || self.is_draining()
    }

    /// A request has its answer, or will never have one.
    pub(super) fn end_request(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if self.in_flight.get() == 0 {
            self.quiet_since.set(Instant::now());
        }
    }

    // What the driver sees.

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    pub(super) fn keep_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    /// The server is stopping.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether nothing is lost by ending the connection after what it is at: a
    /// request is being answered, or none has begun to come.
    pub(super) fn may_end(&self) -> bool {
        self.in_flight.get() > 0 || (self.head_since.get().is_none() && !self.arriving.get())
    }

    /// What is wrong with a request that hyper could not read, if there was one.
    pub(super) fn unreadable(&self) -> Option<Malformed> {
        self.unreadable.get()
    }

    /// The peer is to notice that the connection did not end well.
    pub(super) fn abort(&self) {
        self.aborted.set(true);
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    /// Until when the connection may stay as it is, and what it waits for.
    pub(super) fn due(&self, patience: &Patience) -> Option<(Instant, Overdue)> {
        if let Some(since) = self.unread_since.get() {
            return Some((since + patience.write, Overdue::Reader));
        }
        if self.in_flight.get() > 0 {
            return None;
        }
        let quiet_since = self.quiet_since.get();
        Some(match (self.farewell_since.get(), self.head_since.get()) {
            (Some(since), _) => (since.max(quiet_since) + FAREWELL, Overdue::Farewell),
            (None, Some(since)) => (since.max(quiet_since) + patience.header, Overdue::Head),
            (None, None) => (quiet_since + patience.idle, Overdue::Request),
        })
    }
}
