//! Manifests: pushed, pulled, tagged, deleted.

mod conditions;
mod deleting;
mod documents;
mod pulling;
mod pushing;
mod references;
mod tags;
