//! What the use cases need of the world, as traits.
//!
//! A miss is an `Option` or a variant of an outcome, never an error; an error
//! is never a miss. Every method's documentation lists, point by point, what
//! the contract suite in `tests/contract` asks of each adapter.

pub mod blob_store;
pub mod body;
pub mod clock;
pub mod identifiers;
pub mod record_store;
pub mod store_error;

pub use blob_store::BlobStore;
pub use clock::Clock;
pub use identifiers::Identifiers;
pub use record_store::RecordStore;
pub use store_error::{StoreError, StoreErrorKind};
