//! Spans that wait to be sent.
//!
//! Ending a span puts it into a queue of bounded length, and that is all that a
//! request has to do with it. One thread takes spans out, some hundred at a
//! time, and sends them. What does not fit into the queue, or does not reach the
//! collector, is dropped and counted, and once a minute at most the log says so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tracing::warn;

use super::exporter::exporter;
use crate::adapters::settings::TraceSettings;

/// So many spans are sent at once, and so many do not wait for more.
const BATCH: usize = 512;

/// How often the log may say that spans were dropped.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What became of the spans that ended, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct SpanCounts {
    /// The collector has them.
    pub(in super::super) exported: u64,
    /// The queue was full.
    pub(in super::super) dropped: u64,
    /// The collector did not take them.
    pub(in super::super) failed: u64,
}

/// The queue. Clones are one and the same.
#[derive(Clone)]
pub(super) struct SpanQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    capacity: usize,
    /// There is something to send, or to send at once.
    filled: Notify,
    /// All that there was has been sent, or dropped.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<SpanData>,
    sending: bool,
    /// Whether what waits is not to wait for more.
    urgent: bool,
    counts: SpanCounts,
}

impl SpanQueue {
    /// A queue that a thread of its own sends to the collector.
    pub(super) fn start(settings: &TraceSettings, resource: Resource) -> io::Result<Self> {
        let queue = Self(Arc::new(Shared {
            state: Mutex::default(),
            capacity: settings.queue_size,
            filled: Notify::new(),
            emptied: Condvar::new(),
        }));
        let (shared, settings) = (Arc::clone(&queue.0), settings.clone());
        let (started, starts) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                let prepared = Builder::new_current_thread().enable_all().build();
                let runtime = match prepared {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                runtime.block_on(async {
                    let mut exporter = match exporter(&settings) {
                        Ok(exporter) => exporter,
                        Err(error) => {
                            let error = io::Error::other(error.to_string());
                            return drop(started.send(Err(error)));
                        }
                    };
                    exporter.set_resource(&resource);
                    let _ = started.send(Ok(()));
                    shared.send_for_ever(&settings, &exporter).await;
                });
            })?;
        starts.recv().map_err(io::Error::other)??;
        Ok(queue)
    }

    /// Waits until all that has ended is sent, but not for longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let mut state = self.0.lock();
        state.urgent = true;
        self.0.filled.notify_one();
        let waited = self.0.emptied.wait_timeout_while(state, patience, |state| {
            state.sending || !state.waiting.is_empty()
        });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn counts(&self) -> SpanCounts {
        self.0.lock().counts
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut state = self.0.lock();
        if state.waiting.len() >= self.0.capacity {
            state.counts.dropped += 1;
            return;
        }
        state.waiting.push_back(span);
        let (is_first, is_enough) = (state.waiting.len() == 1, state.waiting.len() == BATCH);
        state.urgent |= is_enough;
        drop(state);
        if is_first || is_enough {
            self.0.filled.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SpanQueue").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_for_ever(&self, settings: &TraceSettings, exporter: &OtlpExporter) {
        let mut warnings = Warnings::default();
        loop {
            self.wait_for_spans(settings.delay).await;
            while let Some(batch) = self.take_batch() {
                let spans = batch.len() as u64;
                let sent = tokio::time::timeout(settings.timeout, exporter.export(batch)).await;
                let problem = match sent {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("the collector did not answer in time".to_owned()),
                };
                let counts = self.count_sent(spans, problem.is_some());
                warnings.consider(counts, problem, &settings.endpoint);
            }
        }
    }

    /// Waits until there is something, and then for more unless it is urgent.
    async fn wait_for_spans(&self, delay: Duration) {
        while self.lock().waiting.is_empty() {
            self.filled.notified().await;
        }
        let enough = async {
            while !self.lock().urgent {
                self.filled.notified().await;
            }
        };
        // Too late is as good as enough.
        let _ = tokio::time::timeout(delay, enough).await;
    }

    fn take_batch(&self) -> Option<Vec<SpanData>> {
        let mut state = self.lock();
        let size = state.waiting.len().min(BATCH);
        state.sending = size > 0;
        if !state.sending {
            state.urgent = false;
            self.emptied.notify_all();
            return None;
        }
        if size == state.waiting.len() {
            // Nothing of a burst's memory stays.
            return Some(mem::take(&mut state.waiting).into());
        }
        Some(state.waiting.drain(..size).collect())
    }

    fn count_sent(&self, spans: u64, failed: bool) -> SpanCounts {
        let mut state = self.lock();
        match failed {
            false => state.counts.exported += spans,
            true => state.counts.failed += spans,
        }
        state.counts
    }
}

/// Says that spans were lost, but not too often.
#[derive(Default)]
struct Warnings {
    last: Option<Instant>,
    /// What was said so far.
    told: SpanCounts,
    problem: Option<String>,
}

impl Warnings {
    fn consider(&mut self, counts: SpanCounts, problem: Option<String>, endpoint: &str) {
        self.problem = problem.or(self.problem.take());
        let (dropped, failed) = (
            counts.dropped - self.told.dropped,
            counts.failed - self.told.failed,
        );
        let is_recent = |last: Instant| last.elapsed() < WARNING_INTERVAL;
        if (dropped, failed) == (0, 0) || self.last.is_some_and(is_recent) {
            return;
        }
        warn!(
            endpoint,
            dropped,
            failed,
            error = self.problem.take(),
            "traces do not reach the collector, and spans were dropped"
        );
        self.last = Some(Instant::now());
        self.told = counts;
    }
}
