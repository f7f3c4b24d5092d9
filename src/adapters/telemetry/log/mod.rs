//! The log: what happens, line by line, on standard output.

mod buffer;
mod escape;
mod layer;
#[cfg(test)]
mod tests;

use std::io;
use std::panic;

use tracing::{Level, error};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::buffer::LineBuffer;
use self::layer::{Lines, dropped_notice};
use super::{SPANS, Traces};
use crate::adapters::settings::LogFormat;

/// The log of this process. What is logged is written soon after, and by
/// [`Log::flush`] at once. Clones are one and the same.
#[derive(Clone)]
pub struct Log(LineBuffer);

impl Log {
    /// Logs from now on, panics included. With `traces`, what happens is traced
    /// as well, and lines say to which trace they belong.
    ///
    /// # Errors
    /// When no thread can be started, or the process has a log already.
    pub fn start(filter: Targets, format: LogFormat, traces: Option<&Traces>) -> io::Result<Self> {
        let buffer =
            LineBuffer::start(io::stdout(), move |dropped| dropped_notice(format, dropped))?;
        let lines = Lines::new(format, buffer.clone(), traces.is_some());
        let started = match traces {
            None => tracing_subscriber::registry()
                .with(filter)
                .with(lines)
                .try_init(),
            // What is logged and what is traced have nothing to do with each
            // other, so each has a filter of its own; that costs a little.
            Some(traces) => tracing_subscriber::registry()
                .with(traces.layer().with_filter(spans()))
                .with(lines.with_filter(filter))
                .try_init(),
        };
        started.map_err(|error: TryInitError| io::Error::other(error))?;
        log_panics(buffer.clone());
        Ok(Self(buffer))
    }

    /// Writes out what was logged so far.
    pub fn flush(&self) {
        self.0.flush();
    }
}

/// The spans that are ours to trace.
fn spans() -> Targets {
    Targets::new().with_target(SPANS, Level::INFO)
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
