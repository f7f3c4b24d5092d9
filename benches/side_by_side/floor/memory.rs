//! The floor of a large download: the same piece of memory written to the socket until the
//! body is whole. One thread for each connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::Result;

/// Bytes of one write; larger ones cost the same.
const PIECE: usize = 1024 * 1024;

pub(super) fn serve(address: SocketAddr, size: u64) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let piece: Arc<[u8]> = crate::content::bytes(1, PIECE).into();
    loop {
        let (connection, _) = listener.accept()?;
        connection.set_nodelay(true)?;
        // A connection that ends is no error: the client closes it when it has enough.
        let piece = Arc::clone(&piece);
        std::thread::spawn(move || answer(connection, size, &piece));
    }
}

fn answer(mut connection: TcpStream, size: u64, piece: &[u8]) -> std::io::Result<()> {
    let mut request = [0; 4096];
    while connection.read(&mut request)? > 0 {
        let length = if request.starts_with(b"GET / ") {
            0
        } else {
            size
        };
        connection.write_all(super::head("200 OK", length).as_bytes())?;
        let mut remaining = length;
        while remaining > 0 {
            let now = usize::try_from(remaining).unwrap_or(PIECE).min(PIECE);
            connection.write_all(&piece[..now])?;
            remaining -= now as u64;
        }
    }
    Ok(())
}
