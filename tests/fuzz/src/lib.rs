//! What the fuzz targets share. Each target is a file in `targets/`, its seeds
//! one to a line in `seeds/`; `tests/fuzz.sh` builds and runs them.

pub mod grammar;
pub mod operations;
