//! The use cases: what a registry does, over the ports.
//!
//! [`Registry`] is the whole of it. Its methods take parsed values and return
//! values of the domain; they know nothing of HTTP or of any store. The order
//! in which they write is what keeps the store valid whenever they stop:
//! bytes, then claim, then revision, then referrer, then hint, then tag.

mod blobs;
mod body_check;
mod cache_counts;
pub mod collect;
mod delete;
mod error;
mod facts;
mod jobs;
mod listing;
mod manifests;
mod references;
mod registry;
mod retire;
mod uploads;

pub use blobs::ClaimedBlob;
pub use cache_counts::{CacheCounts, Lookups};
pub use collect::{CollectObserver, CollectRules, CollectStep, Collected};
pub use error::RegistryError;
pub use listing::Referrers;
pub use manifests::{AcceptedManifest, FoundManifest, ManifestPush, PushedTo};
pub use registry::{AllowMissing, Registry, RegistryRules};
pub use uploads::Chunk;
