//! Octoserve.
#![forbid(unsafe_op_in_unsafe_fn)]
#[cfg(feature = "server")]
pub mod adapters;
pub mod app;
pub mod domain;
pub mod ports;
