//! Random operations over the filesystem adapter, compared with a model.
#![no_main]

use octoserve_fuzz::operations::{Adapter, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(Adapter::Filesystem, data));
