//! The ring `ports` over `domain` alone: it can name neither a use case nor an
//! adapter. That this compiles is the test.
#![allow(warnings, reason = "the library is where the code is linted")]

#[path = "../../src/domain/mod.rs"]
mod domain;
#[path = "../../src/ports/mod.rs"]
mod ports;

fn main() {}
