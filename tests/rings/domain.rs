//! The ring `domain` compiled alone: it can name no other ring, because here
//! there is none. That this compiles is the test.
#![allow(warnings, reason = "the library is where the code is linted")]

#[path = "../../src/domain/mod.rs"]
mod domain;

fn main() {}
