//! Makes a line of every event.
//!
//! A line is flat: it says what an event says, and of the spans around it at most
//! which they are. There is a line for each request, so making one is made to be cheap.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Debug, Display, Write};
use std::time::SystemTime;

use opentelemetry::Context as TraceContext;
use opentelemetry::trace::TraceContextExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::buffer::LineBuffer;
use super::escape::{Escaping, LONGEST, escape_cut, quote};
use crate::adapters::settings::LogFormat;

/// Writes events to a buffer, each as a line.
pub(super) struct Lines {
    format: LogFormat,
    buffer: LineBuffer,
    /// Whether there can be a trace that an event belongs to.
    is_traced: bool,
}

impl Lines {
    pub(super) const fn new(format: LogFormat, buffer: LineBuffer, is_traced: bool) -> Self {
        Self {
            format,
            buffer,
            is_traced,
        }
    }

    fn write(&self, event: &Event<'_>, line: &mut String) {
        let metadata = event.metadata();
        let level = *metadata.level();
        let mut line = Line::begin(self.format, line, level, metadata.target());
        event.record(&mut line);
        if self.is_traced {
            line.put_trace();
        }
        self.buffer.push(line.end(), level <= Level::WARN);
    }
}

thread_local! {
    /// The line in the making. Its memory is used again for the next.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.write(event, &mut line),
            // An event from within the formatting of another's fields.
            Err(_) => self.write(event, &mut String::new()),
        });
    }
}

/// The line that says that so many others were dropped.
pub(super) fn dropped_notice(format: LogFormat, dropped: u64) -> Vec<u8> {
    let mut text = String::new();
    let mut line = Line::begin(format, &mut text, Level::WARN, module_path!());
    line.field("message", |line| {
        line.text("log lines were dropped, because the output is too slow");
    });
    line.field("dropped", |line| line.bare(dropped));
    line.end().to_vec()
}

/// A line in the making.
struct Line<'a> {
    format: LogFormat,
    text: &'a mut String,
    /// Where the event comes from, until it is written.
    target: Option<&'a str>,
    /// Whether the value that is being written is the message.
    is_message: bool,
}

impl<'a> Line<'a> {
    fn begin(format: LogFormat, text: &'a mut String, level: Level, target: &'a str) -> Self {
        text.clear();
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let _ = match format {
            LogFormat::Json => write!(text, r#"{{"timestamp":"{now}","level":"{level}""#),
            LogFormat::Text => write!(text, "{now} {level:<5}"),
        };
        Self {
            format,
            text,
            target: Some(target),
            is_message: false,
        }
    }

    fn end(mut self) -> &'a [u8] {
        self.put_target();
        self.text.push_str(match self.format {
            LogFormat::Json => "}\n",
            LogFormat::Text => "\n",
        });
        self.text.as_bytes()
    }

    /// Writes one field. The target comes right after the message, which is the
    /// first field of an event if it has one.
    fn field(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        self.is_message = name == "message";
        if !self.is_message {
            self.put_target();
        }
        match self.format {
            LogFormat::Json => {
                self.text.push_str(",\"");
                self.text.push_str(name);
                self.text.push_str("\":");
            }
            LogFormat::Text => {
                self.text.push(' ');
                if !self.is_message {
                    self.text.push_str(name);
                    self.text.push('=');
                }
            }
        }
        value(self);
    }

    fn put_target(&mut self) {
        if let Some(target) = self.target.take() {
            self.field("target", |line| line.text(target));
        }
    }

    /// Says which trace the event belongs to, if it belongs to one.
    fn put_trace(&mut self) {
        TraceContext::map_current(|context| {
            let span = context.span();
            let span = span.span_context();
            if span.is_valid() {
                self.field("trace_id", |line| line.display(span.trace_id()));
                self.field("span_id", |line| line.display(span.span_id()));
            }
        });
    }

    /// A value that needs no quotes, such as a number.
    fn bare(&mut self, value: impl Display) {
        let _ = write!(self.text, "{value}");
    }

    fn text(&mut self, text: &str) {
        match self.format {
            LogFormat::Json => quote(self.text, text),
            LogFormat::Text if self.is_message => escape_cut(self.text, text),
            LogFormat::Text if is_word(text) => self.text.push_str(text),
            LogFormat::Text => quote(self.text, text),
        }
    }

    fn display(&mut self, value: impl Display) {
        if self.format == LogFormat::Text {
            // Whether it needs quotes is known when all of it is there.
            self.text(&value.to_string());
            return;
        }
        self.text.push('"');
        // If it fails, because it is too long, its beginning is better than nothing.
        let _ = write!(Escaping::new(self.text), "{value}");
        self.text.push('"');
    }
}

/// Whether a text is told from what is around it without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'='))
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field.name(), |line| line.text(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), |line| line.bare(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field.name(), |line| line.bare(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), |line| line.bare(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.field(field.name(), |line| line.bare(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.field(field.name(), |line| line.bare(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field.name(), |line| match value.is_finite() {
            true => line.bare(value),
            // JSON has no such number.
            false => line.display(value),
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.field(field.name(), |line| line.display(Chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field.name(), |line| line.display(Debugged(value)));
    }
}

struct Debugged<'a>(&'a dyn Debug);

impl Display for Debugged<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An error and what caused it.
struct Chain<'a>(&'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
