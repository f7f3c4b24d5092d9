//! The floor of a large upload: socket to hash to file, then the file is synced.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::{Result, content};

/// Bytes of one write: a fifth cheaper than 256 KiB, as the page cache takes it in larger folios.
const PIECE: usize = 1024 * 1024;

/// One connection at a time; what has been pushed is removed again.
pub(super) fn serve(address: SocketAddr, directory: &Path) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    loop {
        let (connection, _) = listener.accept()?;
        connection.set_nodelay(true)?;
        answer(connection, directory)?;
    }
}

fn answer(mut connection: TcpStream, directory: &Path) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let mut received = 0;
        let end = loop {
            let read = connection.read(&mut buffer[received..])?;
            if read == 0 {
                return Ok(());
            }
            received += read;
            if let Some(end) = buffer[..received]
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break end;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        if !head.starts_with("PUT ") {
            connection.write_all(super::head("200 OK", 0).as_bytes())?;
            continue;
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .ok_or("a PUT without Content-Length")?
            .parse()?;
        buffer.copy_within(end + 4..received, 0);
        let path = directory.join("pushed");
        let digest = store(
            &mut connection,
            &mut buffer,
            received - end - 4,
            length,
            &path,
        )?;
        let status = if head
            .lines()
            .next()
            .is_some_and(|line| line.contains(&digest))
        {
            "201 Created"
        } else {
            "400 Bad Request"
        };
        connection.write_all(super::head(status, 0).as_bytes())?;
        fs::remove_file(&path)?;
    }
}

/// Stores a body of which `pending` bytes are in the buffer already, and returns its digest.
fn store(
    connection: &mut TcpStream,
    buffer: &mut [u8],
    mut pending: usize,
    length: u64,
    path: &Path,
) -> Result<String> {
    let mut file = File::create(path)?;
    let mut hasher = Sha256::new();
    let mut remaining = length;
    loop {
        hasher.update(&buffer[..pending]);
        file.write_all(&buffer[..pending])?;
        remaining = remaining
            .checked_sub(pending as u64)
            .ok_or("a body longer than announced")?;
        if remaining == 0 {
            break;
        }
        let wanted = buffer.len().min(usize::try_from(remaining)?);
        connection.read_exact(&mut buffer[..wanted])?;
        pending = wanted;
    }
    file.sync_all()?;
    Ok(content::named(hasher))
}
