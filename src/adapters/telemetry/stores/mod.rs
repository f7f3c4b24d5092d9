//! Stores that report what is asked of them.
//!
//! Each wraps another store of its port, does what that does, and has every
//! operation counted, timed and, in a request that is traced, made a span.
//! Where nobody wants to know, the stores are not wrapped.

mod blobs;
mod operation;
mod records;

pub use self::blobs::ObservedBlobs;
pub use self::operation::StoreObserver;
pub use self::records::ObservedRecords;
