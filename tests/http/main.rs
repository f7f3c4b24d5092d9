//! What clients see of the registry: every route, called in process.
//!
//! Nearly every test runs twice, once over each store that needs no other
//! service, and expects the same of both to the byte. A call goes through the
//! router as it goes through a connection, and whatever a test asks, each
//! answer is also held to what every answer must be ([`answer::Answer`]).

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, also where the code that tests share finds the failure"
)]

mod answer;
mod call;
mod content;
mod registry;

mod blobs;
mod clients;
mod errors;
mod lists;
mod manifests;
mod routes;
mod uploads;
