//! Errors: what each reason to refuse is on the wire.

mod failing_store;
mod table;
