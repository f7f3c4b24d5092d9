//! What the store promises, where something stops it in the middle.
//!
//! Every use case in [`use_cases`] is stopped at every step that it takes, and
//! what it leaves behind is held to [`stored::Stored`], which reads the store
//! itself and trusts nobody's word for it.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where something is not as it says"
)]

#[cfg(target_arch = "x86_64")]
mod at_system_calls;
mod at_the_ports;
#[cfg(target_arch = "x86_64")]
mod bad_disk;
#[cfg(target_arch = "x86_64")]
mod child;
mod content;
mod damage;
mod facts;
mod load;
#[cfg(target_arch = "x86_64")]
mod power_loss;
mod registry;
mod server;
mod servers;
mod stopping;
mod stored;
#[cfg(target_arch = "x86_64")]
mod tracing;
mod use_cases;
