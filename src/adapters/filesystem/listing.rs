//! The records in a directory, sorted, and remembered until the directory
//! changes.
//!
//! A directory has no order, so each page of a long list would read and sort
//! all of it. Creating, renaming or removing a file in a directory changes the
//! directory's modification time, which is looked at before what is remembered
//! is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::durability::{failed, if_found};
use super::settling::has_settled;
use crate::ports::StoreError;

/// The bytes of names that are remembered.
const CAPACITY: u64 = 8 << 20;

/// Sorted names of records: file names as the layout reads them.
pub(super) type Names = Arc<[Box<str>]>;

#[derive(Clone)]
struct Listing {
    modified: SystemTime,
    names: Names,
}

#[derive(Clone)]
struct NameBytes;

impl Weighter<PathBuf, Listing> for NameBytes {
    fn weight(&self, path: &PathBuf, listing: &Listing) -> u64 {
        // A boxed name is its bytes, their allocation and the box.
        let names = listing.names.iter().map(|name| name.len() + 32);
        (path.as_os_str().len() + 128 + names.sum::<usize>()) as u64
    }
}

/// The names of the records in directories.
pub(super) struct Listings(Cache<PathBuf, Listing, NameBytes>);

impl Default for Listings {
    fn default() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, NameBytes))
    }
}

impl Listings {
    /// The names in a directory, each as `read_name` reads it of a file name;
    /// none if there is no such directory.
    pub(super) fn names(
        &self,
        directory: &Path,
        read_name: fn(&str) -> Box<str>,
    ) -> Result<Names, StoreError> {
        let read_at = SystemTime::now();
        let metadata = if_found(fs::metadata(directory)).map_err(failed("stat", directory))?;
        let Some(metadata) = metadata else {
            return Ok(Names::default());
        };
        let modified = metadata.modified().map_err(failed("stat", directory))?;
        if let Some(listing) = self.0.get(directory)
            && listing.modified == modified
        {
            return Ok(listing.names);
        }
        let names = read_names(directory, read_name)?;
        if has_settled(modified, read_at) {
            let listing = Listing {
                modified,
                names: Arc::clone(&names),
            };
            self.0.insert(directory.to_owned(), listing);
        }
        Ok(names)
    }
}

fn read_names(directory: &Path, read_name: fn(&str) -> Box<str>) -> Result<Names, StoreError> {
    let entries = if_found(fs::read_dir(directory)).map_err(failed("list", directory))?;
    let mut names: Vec<Box<str>> = Vec::new();
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(failed("list", directory))?;
        // Our own names are all ASCII; what is not text is none of ours.
        if let Some(name) = entry.file_name().to_str() {
            names.push(read_name(name));
        }
    }
    names.sort_unstable();
    Ok(names.into())
}
