//! Pulling and deleting blobs.

mod damage;
mod deleting;
mod multipart;
mod ranges;
mod reading;
