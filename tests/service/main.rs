//! The service as an operator meets it: the real binary, over real sockets.
//!
//! Each test starts a process of its own on ports that the kernel chooses, and
//! whatever it asks, the process may not have panicked when the test is over
//! ([`process::Octoserve`]). Timeouts are configured short, and what a test waits
//! for is an event: a line of the log, an answer, a connection that ends.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, also where the code that tests share finds the failure"
)]

mod client;
mod content;
mod frames;
mod process;

mod collecting;
mod collecting_under_load;
mod commands;
mod configuration;
mod hostile_bodies;
mod http1;
mod http2;
mod http2_abuse;
mod log_lines;
mod malformed;
mod memory;
mod paths;
mod signals;
mod timeouts;
mod tls;
