//! The log: what happens, line by line, on standard output.

mod buffer;
mod escape;
mod layer;
#[cfg(test)]
mod tests;

use std::io;
use std::panic;

use tracing::error;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::buffer::LineBuffer;
use self::layer::{Lines, dropped_notice};
use super::settings::LogFormat;

/// The log of this process. What is logged is written soon after, and by
/// [`Log::flush`] at once. Clones are one and the same.
#[derive(Clone)]
pub struct Log(LineBuffer);

impl Log {
    /// Logs from now on, panics included.
    ///
    /// # Errors
    /// When no thread can be started, or the process has a log already.
    pub fn start(filter: Targets, format: LogFormat) -> io::Result<Self> {
        let buffer =
            LineBuffer::start(io::stdout(), move |dropped| dropped_notice(format, dropped))?;
        tracing_subscriber::registry()
            .with(filter)
            .with(Lines::new(format, buffer.clone()))
            .try_init()
            .map_err(|error: TryInitError| io::Error::other(error))?;
        log_panics(buffer.clone());
        Ok(Self(buffer))
    }

    /// Writes out what was logged so far.
    pub fn flush(&self) {
        self.0.flush();
    }
}

fn log_panics(buffer: LineBuffer) {
    panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        error!(
            thread = thread.name(),
            location = panic.location().map(tracing::field::display),
            "panicked: {}",
            panic
                .payload_as_str()
                .unwrap_or("for a reason that is no text"),
        );
        buffer.flush();
    }));
}
