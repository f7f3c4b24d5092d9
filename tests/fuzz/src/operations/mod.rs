//! Whole runs of a registry: whatever order requests come in, what the registry
//! answers and what it stores is what a simple model says.
//!
//! An input is read as a program (`instructions`): pushes in chunks, mounts,
//! manifests, deletes, restarts, requests that are dropped half way. Each step
//! is asked of the registry and of the [`model::Model`] (`perform`), which holds
//! maps and knows nothing of stores. Then everything that can be asked is asked
//! (`verify`), before and after a last restart, and on the file system the tree
//! itself is compared.

mod body;
mod documents;
mod instructions;
mod interrupted;
mod model;
mod perform;
mod verify;
mod world;

use instructions::Instructions;
use model::Model;
use octoserve::app::{AllowMissing, RegistryRules};
use world::World;

/// The adapter that a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// Maps.
    Memory,
    /// A directory that is removed after the run.
    Filesystem,
}

/// Runs a program and panics where registry and model differ.
pub fn run(adapter: Adapter, program: &[u8]) {
    let mut instructions = Instructions::new(program);
    let rules = RegistryRules {
        allow_missing: instructions.pick(&[
            AllowMissing::None,
            AllowMissing::None,
            AllowMissing::Children,
            AllowMissing::All,
        ]),
        cache_size: instructions.pick(&[1 << 20, 0]),
        largest_manifest: documents::LARGEST_MANIFEST,
        largest_blob: documents::LARGEST_BLOB,
        ..RegistryRules::default()
    };
    let mut world = World::new(adapter, rules.clone());
    let mut model = Model::new(rules);
    // Set for a replay, so that a person can read what led to a failure.
    let is_told = std::env::var_os("FUZZ_TELL").is_some();
    while let Some(step) = instructions.step() {
        if is_told {
            eprintln!("{step:?}");
        }
        perform::step(&mut world, &mut model, step);
    }
    verify::everything(&mut world, &model);
    world.restart();
    verify::everything(&mut world, &model);
}
