//! What particular clients do that others do not, each with its name: the
//! requests as it sends them, and what it would not forgive in an answer.

mod buildkit;
mod container_libs;
mod containerd;
mod docker;
mod go_containerregistry;
mod lazy_pull;
mod oras;
mod pollers;
mod regclient;
mod zb;
