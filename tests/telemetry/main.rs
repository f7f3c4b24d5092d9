//! What an operator sees of the registry: the real program, driven over HTTP,
//! with its traces going to a collector made of the published OTLP definitions
//! and its metrics asked for as Prometheus does.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, also where the code that tests share finds the failure"
)]

mod collector;
mod exchange;
mod failing_collectors;
mod metrics;
mod names;
mod server;
mod traces;
