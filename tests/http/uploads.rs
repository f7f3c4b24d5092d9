//! Pushing blobs: every way in, and every way it goes wrong.

mod chunks;
mod finishing;
mod limits;
mod mounting;
mod racing;
mod sessions;
mod single_request;
