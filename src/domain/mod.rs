//! The law of the registry: values and decisions, pure and synchronous.
//!
//! Nothing here reads a clock, a file or a socket. A value that exists is
//! valid: each type has one parser, and past it no raw string is passed on.

pub mod descriptor;
pub mod digest;
pub mod hasher;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod page;
pub mod precondition;
pub mod push;
pub mod range;
pub mod record;
pub mod record_key;
pub mod referrers;
pub mod upload;
