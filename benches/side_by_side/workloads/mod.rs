//! What is measured: one file for each workload.

mod catalog;
mod durable_files;
mod image_push;
mod large_blob_get;
mod large_blob_push;
mod manifest_get;
mod requests;
mod seed;
mod small_blob_get;
mod start;
mod tag_list;
mod trickling_uploads;
mod walk;

use crate::Result;
use crate::arguments::Scale;
use crate::floor::FloorMode;
use crate::measure::{Headline, Sample};
use crate::server::Server;

/// One kind of work, measured in one or more cases on servers prepared once.
pub(crate) trait Workload {
    /// The name for `--only`.
    fn name(&self) -> &'static str;

    /// Which floor stands beside it, if any.
    fn floor(&self) -> Option<FloorMode> {
        None
    }

    /// Whether a server of static files can do it.
    fn is_for_static_files(&self) -> bool {
        false
    }

    /// Whether a registry can do it.
    fn is_for_registries(&self) -> bool {
        true
    }

    /// How many rounds it needs where the others take this many.
    fn rounds(&self, usual: usize) -> usize {
        usual
    }

    /// What is measured.
    fn cases(&self) -> Vec<Case>;

    /// Stores what the cases need, and checks what is served.
    fn prepare(&mut self, server: &mut Server<'_>) -> Result<()>;

    /// Measures one case once.
    fn run(&mut self, case: usize, server: &mut Server<'_>) -> Result<Sample>;
}

/// One line of the report.
pub(crate) struct Case {
    /// What is done, with its sizes.
    pub(crate) title: String,
    /// The figures that matter most.
    pub(crate) headlines: Vec<Headline>,
}

/// The names of all workloads.
pub(crate) const NAMES: [&str; 10] = [
    large_blob_get::NAME,
    small_blob_get::NAME,
    manifest_get::NAME,
    large_blob_push::NAME,
    image_push::NAME,
    durable_files::NAME,
    trickling_uploads::NAME,
    tag_list::NAME,
    catalog::NAME,
    start::NAME,
];

/// All workloads, in the order of the report.
pub(crate) fn all(scale: &Scale) -> Vec<Box<dyn Workload>> {
    vec![
        Box::new(large_blob_get::LargeBlobGet::new(scale)),
        Box::new(small_blob_get::SmallBlobGet::new(scale)),
        Box::new(manifest_get::ManifestGet::new(scale)),
        Box::new(large_blob_push::LargeBlobPush::new(scale)),
        Box::new(image_push::ImagePush::new(scale)),
        Box::new(durable_files::DurableFiles::new(scale)),
        Box::new(trickling_uploads::TricklingUploads::new(scale)),
        Box::new(tag_list::TagList::new(scale)),
        Box::new(catalog::Catalog::new(scale)),
        Box::new(start::Start),
    ]
}

/// `512 MiB`.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}
