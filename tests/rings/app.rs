//! The ring `app` over `ports` and `domain` alone: it can name no adapter. That
//! this compiles is the test.
#![allow(warnings, reason = "the library is where the code is linted")]

#[path = "../../src/app/mod.rs"]
mod app;
#[path = "../../src/domain/mod.rs"]
mod domain;
#[path = "../../src/ports/mod.rs"]
mod ports;

fn main() {}
