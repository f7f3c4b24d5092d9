//! What the storage ports promise, asked of every adapter.
//!
//! Each test is one point of a port's documentation, written once against
//! `Arc<dyn Port>`. `on_every_adapter!` in [`adapters`] makes a `#[test]` of it
//! for each adapter; a new adapter is one more module there. What only a
//! directory tree can show, such as damage from outside, is in [`filesystem`].
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it says"
)]

#[macro_use]
mod adapters;
mod blob_store;
mod bodies;
mod filesystem;
mod names;
mod record_store;
#[path = "../support/world.rs"]
mod world;
