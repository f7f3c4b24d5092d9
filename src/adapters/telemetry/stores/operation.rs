//! One operation of a store, watched from its begin to its end.

use std::sync::Arc;
use std::time::Instant;

use tracing::{Instrument, Span, field};

use crate::adapters::telemetry::{Metrics, SPANS, Tally};
use crate::ports::{StoreError, StoreErrorKind};

/// Who wants to know what is asked of a store.
#[derive(Clone, Debug)]
pub struct StoreObserver {
    /// What the store is called, such as `filesystem`.
    pub adapter: &'static str,
    /// Counts its operations.
    pub metrics: Option<Arc<Metrics>>,
}

/// How an operation ended.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    /// A word for it, of which there are few.
    pub(super) outcome: &'static str,
    /// How many bytes of content it was about, if of any.
    pub(super) bytes: Option<u64>,
}

impl Ended {
    pub(super) const fn as_(outcome: &'static str) -> Self {
        Self {
            outcome,
            bytes: None,
        }
    }

    /// It found what it was asked for, or did not.
    pub(super) const fn found(found: bool) -> Self {
        Self::as_(match found {
            true => "ok",
            false => "absent",
        })
    }

    pub(super) const fn with_bytes(self, bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..self
        }
    }
}

impl StoreObserver {
    /// Has an operation done, and reports it. `ended` says how it ended, if it
    /// did not fail.
    pub(super) async fn watch<T>(
        &self,
        operation: &'static str,
        key_kind: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
        ended: impl FnOnce(&T) -> Ended,
    ) -> Result<T, StoreError> {
        let tally = Tally::current();
        let span = match tally.as_ref().is_some_and(|tally| tally.is_traced()) {
            true => self.span(operation, key_kind),
            false => Span::none(),
        };
        let mut running = Running {
            observer: self,
            operation,
            tally,
            span,
            started: Instant::now(),
            ended: Ended::as_("cancelled"),
        };
        let result = work.instrument(running.span.clone()).await;
        running.ended = match &result {
            Ok(value) => ended(value),
            Err(error) => {
                running.span.record("error.type", kind(error));
                running
                    .span
                    .record("otel.status_description", field::display(error));
                Ended::as_("error")
            }
        };
        result
    }

    fn span(&self, operation: &'static str, key_kind: &'static str) -> Span {
        tracing::info_span!(
            target: SPANS,
            "storage",
            otel.name = operation,
            octoserve.storage.adapter = self.adapter,
            octoserve.storage.operation = operation,
            octoserve.storage.key.kind = key_kind,
            octoserve.storage.outcome = field::Empty,
            octoserve.storage.bytes = field::Empty,
            error.type = field::Empty,
            otel.status_description = field::Empty,
        )
    }
}

/// An operation that has begun. It is reported when this is dropped: then it has
/// ended, or whoever waited for it has gone.
struct Running<'a> {
    observer: &'a StoreObserver,
    operation: &'static str,
    tally: Option<Arc<Tally>>,
    span: Span,
    started: Instant,
    ended: Ended,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let Ended { outcome, bytes } = self.ended;
        self.span.record("octoserve.storage.outcome", outcome);
        if let Some(bytes) = bytes {
            // Traces have no unsigned numbers.
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.span.record("octoserve.storage.bytes", bytes);
        }
        if let Some(tally) = &self.tally {
            tally.add(duration);
        }
        if let Some(metrics) = &self.observer.metrics {
            metrics.storage_operation(self.observer.adapter, self.operation, outcome, duration);
        }
    }
}

const fn kind(error: &StoreError) -> &'static str {
    match error.kind() {
        StoreErrorKind::Full => "full",
        StoreErrorKind::Temporary => "temporary",
        StoreErrorKind::Damaged => "damaged",
        StoreErrorKind::Permanent => "permanent",
    }
}
