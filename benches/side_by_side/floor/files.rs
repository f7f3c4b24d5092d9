//! The floor of everything small and durable: files written one by one as a store must
//! write them, so that each survives a power cut once the call returns.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;

/// Writes that many files of 1 KiB: write, sync, rename, sync the directory.
pub(crate) fn durable_files(directory: &Path, count: usize) -> Result<Duration> {
    let directory = directory.join("durable");
    fs::create_dir(&directory)?;
    let content = crate::content::bytes(1, 1024);
    let started = Instant::now();
    for index in 0..count {
        let temporary = directory.join("temporary");
        let mut file = File::create(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&temporary, directory.join(index.to_string()))?;
        File::open(&directory)?.sync_all()?;
    }
    let elapsed = started.elapsed();
    fs::remove_dir_all(&directory)?;
    Ok(elapsed)
}
