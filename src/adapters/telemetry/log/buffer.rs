//! Lines on their way to standard output.
//!
//! A request that is logged copies its line into memory and goes on. One thread
//! writes what has gathered: after a tenth of a second, or sooner if there is
//! much of it, or if a line is urgent. When the output does not keep up, memory
//! stays bounded and requests stay fast: lines are dropped, and how many is said
//! as soon as there is room.

use std::io::Write;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a line may wait for others.
const GATHER: Duration = Duration::from_millis(100);

/// So many bytes do not wait for more.
const ENOUGH: usize = 32 << 10;

/// So many bytes may wait for a slow output.
const BOUND: usize = 1 << 20;

/// How long to wait for the output to take what is left at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Gathers lines for one output. Clones are one and the same.
#[derive(Clone)]
pub(super) struct LineBuffer(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or to write at once.
    filled: Condvar,
    /// Something was written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    /// Whether what waits is not to wait for more.
    urgent: bool,
    /// How many bytes were taken and how many of them were written, ever.
    taken: u64,
    written: u64,
}

impl LineBuffer {
    /// A buffer that a thread of its own writes to `output`. `notice` makes the
    /// line that says how many were dropped.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        notice: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> std::io::Result<Self> {
        let buffer = Self(Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
        }));
        let shared = Arc::clone(&buffer.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_for_ever(output, notice))?;
        Ok(buffer)
    }

    /// Takes a line. Never waits for the output.
    pub(super) fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > BOUND {
            state.dropped += 1;
            return;
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(line);
        state.taken += line.len() as u64;
        let enough = before < ENOUGH && state.waiting.len() >= ENOUGH;
        let hurry = (urgent || enough) && !state.urgent;
        state.urgent |= hurry;
        drop(state);
        if hurry || before == 0 {
            self.0.filled.notify_one();
        }
    }

    /// Waits until all that was taken is written, or the output is stuck.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FAREWELL;
        let mut state = self.0.lock();
        let taken = state.taken;
        state.urgent = true;
        self.0.filled.notify_one();
        while state.written < taken {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_for_ever(&self, mut output: impl Write, notice: impl Fn(u64) -> Vec<u8>) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.wait_for_lines();
            mem::swap(&mut state.waiting, &mut lines);
            state.urgent = false;
            let dropped = mem::take(&mut state.dropped);
            drop(state);

            let taken = lines.len() as u64;
            if dropped > 0 {
                lines.extend_from_slice(&notice(dropped));
            }
            // There is nobody to tell that the log cannot be written.
            let _ = output.write_all(&lines).and_then(|()| output.flush());
            lines.clear();
            // A burst is over when there is little to write again.
            if taken < ENOUGH as u64 {
                lines.shrink_to(2 * ENOUGH);
            }
            self.lock().written += taken;
            self.written.notify_all();
        }
    }

    /// Waits until there is something, and then for more unless it is urgent.
    fn wait_for_lines(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        let state = self
            .filled
            .wait_while(state, |state| state.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        self.filled
            .wait_timeout_while(state, GATHER, |state| !state.urgent)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that takes a write when it is let.
    struct Gate {
        open: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.open.recv().map_err(std::io::Error::other)?;
            self.written
                .send(bytes.to_vec())
                .map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (LineBuffer, Sender<()>, Receiver<Vec<u8>>) {
        let (opener, open) = channel();
        let (written, read) = channel();
        let notice = |dropped: u64| format!("dropped {dropped}\n").into_bytes();
        let buffer = LineBuffer::start(Gate { open, written }, notice).unwrap();
        (buffer, opener, read)
    }

    #[test]
    fn lines_are_written_in_order_and_together() {
        let (buffer, open, written) = gate();
        buffer.push(b"one\n", false);
        buffer.push(b"two\n", false);
        open.send(()).unwrap();
        buffer.flush();
        assert_eq!(written.recv().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn an_urgent_line_does_not_wait_for_more() {
        let (buffer, open, written) = gate();
        open.send(()).unwrap();
        let pushed = Instant::now();
        buffer.push(b"quick\n", true);
        assert_eq!(written.recv().unwrap(), b"quick\n");
        assert!(pushed.elapsed() < GATHER);
    }

    #[test]
    fn when_the_output_is_stuck_lines_are_dropped_and_later_counted() {
        let (buffer, open, written) = gate();
        let line = [b'x'; 1 << 10];
        // The thread takes this one and is stuck with it.
        buffer.push(&line, true);
        let mut stuck = false;
        while !stuck {
            stuck = buffer.0.lock().waiting.is_empty();
        }
        for _ in 0..BOUND / line.len() + 3 {
            buffer.push(&line, false);
        }
        assert_eq!(buffer.0.lock().waiting.len(), BOUND);
        open.send(()).unwrap();
        open.send(()).unwrap();
        written.recv().unwrap();
        let rest = written.recv().unwrap();
        assert!(rest.starts_with(&line) && rest.ends_with(b"xdropped 3\n"));
    }
}
