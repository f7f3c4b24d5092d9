//! Random operations over the memory adapter, compared with a model.
#![no_main]

use octoserve_fuzz::operations::{Adapter, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(Adapter::Memory, data));
