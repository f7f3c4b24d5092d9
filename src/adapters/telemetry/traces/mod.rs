//! Traces on their way to a collector.
//!
//! The spans are those of the `tracing` crate whose target is
//! [`SPANS`](super::SPANS); one that has ended waits in memory (`queue`) for
//! a thread of its own to send it (`exporter`). Requests never wait for that
//! thread: when it does not keep up spans are dropped, and counted.

mod exporter;
mod queue;
mod sampling;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

pub(super) use self::queue::SpanCounts;
use self::queue::SpanQueue;
use self::sampling::Sampling;
use crate::adapters::settings::TraceSettings;

/// The header that says which trace a request belongs to.
const TRACEPARENT: &str = "traceparent";

/// Traces requests, and sends what it has of them to a collector.
pub struct Traces {
    provider: SdkTracerProvider,
    propagator: TraceContextPropagator,
    sampling: Sampling,
    queue: SpanQueue,
}

impl Traces {
    /// Starts the thread that sends spans. Whether there is a collector shows
    /// when there are some.
    ///
    /// # Errors
    /// When the thread cannot be started, or the certificate cannot be read.
    pub fn start(settings: &TraceSettings) -> io::Result<Arc<Self>> {
        let resource = exporter::resource(settings);
        let queue = SpanQueue::start(settings, resource.clone())?;
        let provider = SdkTracerProvider::builder()
            // A span is made only for what is sampled.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .with_span_processor(queue.clone())
            .build();
        Ok(Arc::new(Self {
            provider,
            propagator: TraceContextPropagator::new(),
            sampling: Sampling::new(settings.sampler, settings.ratio),
            queue,
        }))
    }

    /// The context that a request's span is to have as its parent, if the
    /// request is to be traced.
    #[must_use]
    pub fn sample(&self, headers: &HeaderMap) -> Option<Context> {
        if !headers.contains_key(TRACEPARENT) {
            return self.sampling.takes(None).then(Context::new);
        }
        let extractor = HeaderExtractor(headers);
        let context = self
            .propagator
            .extract_with_context(&Context::new(), &extractor);
        let takes = {
            let span = context.span();
            let parent = span.span_context();
            self.sampling.takes(parent.is_valid().then_some(parent))
        };
        takes.then_some(context)
    }

    /// Waits until what has ended is sent, but not for longer than it may take.
    pub fn flush(&self, patience: Duration) {
        self.queue.flush(patience);
    }

    pub(super) fn counts(&self) -> SpanCounts {
        self.queue.counts()
    }

    /// What makes spans of the collector's out of those of the program.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_tracer(self.provider.tracer("octoserve"))
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Traces").finish_non_exhaustive()
    }
}
