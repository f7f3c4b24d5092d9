//! Collecting, step by step, over the stores in memory and in a directory.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it says"
)]

mod blobs;
mod jobs;
mod meddling;
mod pushes;
mod setup;
mod untagged;
mod uploads;
#[path = "../support/world.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod world;
