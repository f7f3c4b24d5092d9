//! The load: raw sockets, requests formatted in advance, and as little parsing of the
//! answers as their checks allow, because client and servers share the same few cores.

mod closed_loop;
mod connection;
mod head;
mod registry;

pub(crate) use closed_loop::{Load, Until, run as run_closed_loop};
pub(crate) use connection::{Connection, Response};
pub(crate) use registry::{
    Begin, blob_path, finish_path, manifest_path, pull_digest, push_blob, push_image,
    push_large_chunked, push_large_single, put_manifest, relative,
};

use std::net::SocketAddr;

use crate::Result;

/// Does something with every index below `count`, on several connections at once.
pub(crate) fn in_parallel(
    address: SocketAddr,
    connections: usize,
    count: usize,
    work: impl Fn(&mut Connection, usize) -> Result<()> + Sync,
) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|first| {
                let work = &work;
                scope.spawn(move || {
                    let mut connection = Connection::open(address)?;
                    (first..count)
                        .step_by(connections)
                        .try_for_each(|index| work(&mut connection, index))
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a client thread panicked")?)
    })
}
