//! The floor of a small request: one thread, one epoll, one read and one write each.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags};

use crate::Result;

/// The listener's mark among the connections' indices.
const LISTENER: u64 = u64::MAX;

/// Answers whatever one read brings as if it were one request.
pub(super) fn serve(address: SocketAddr, size: usize) -> Result<()> {
    let head = super::head("200 OK", size as u64).into_bytes();
    let mut response = head.clone();
    response.extend_from_slice(&crate::content::bytes(1, size));

    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(
        &poll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    // Connections are few and short-lived runs reuse nothing, so indices only grow.
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut request = [0; 4096];
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let mark = event.data.u64();
            if mark == LISTENER {
                while let Ok((connection, _)) = listener.accept() {
                    connection.set_nodelay(true)?;
                    connection.set_nonblocking(true)?;
                    epoll::add(
                        &poll,
                        &connection,
                        EventData::new_u64(connections.len() as u64),
                        EventFlags::IN,
                    )?;
                    connections.push(Some(connection));
                }
                continue;
            }
            let slot = &mut connections[usize::try_from(mark)?];
            let Some(connection) = slot else { continue };
            let sent =
                match rustix::net::recv(connection.as_fd(), &mut request[..], RecvFlags::empty()) {
                    Ok((length, _)) if length > 0 => {
                        let answer = if request.starts_with(b"HEAD ") {
                            &head
                        } else {
                            &response
                        };
                        rustix::net::send(connection.as_fd(), answer, SendFlags::NOSIGNAL).ok()
                    }
                    _ => None,
                };
            if sent.is_none() {
                *slot = None;
            }
        }
    }
}
