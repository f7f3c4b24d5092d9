//! What is told of what happens: the log, traces and metrics.
//!
//! The log is always there. Traces and metrics are off until they are asked
//! for, and what is off costs nothing: the stores are not wrapped, and a request
//! is handled as if there were no such thing.
//!
//! - [`Log`] writes lines on standard output.
//! - [`Traces`] sends spans to a collector. Whether a request is traced is
//!   decided once, when it comes; for one that is not no span is ever made.
//! - [`Metrics`] counts, and [`MetricsServer`] tells the counts to who asks.
//! - [`Observer`] is what the HTTP adapter reports requests to, and the
//!   stores of [`ObservedBlobs`] and [`ObservedRecords`] report what is asked
//!   of a store.

mod log;
mod metrics;
mod observer;
mod stores;
mod tally;
mod traces;

pub use self::log::Log;
pub use self::metrics::{CollectorRun, Metrics, MetricsServer, RequestLabels, Sources};
pub use self::observer::Observer;
pub use self::stores::{ObservedBlobs, ObservedRecords, StoreObserver};
pub use self::tally::Tally;
pub use self::traces::Traces;

/// What every span that is exported has as its target.
pub const SPANS: &str = "octoserve::trace";
