//! The sockets that the server listens on.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// How many connections may wait to be accepted; the kernel has its own bound.
const BACKLOG: i32 = 4096;

/// So many bytes that the kernel has not sent yet are enough for it, per
/// connection. It is also what a peer has to read to be seen to make progress.
const UNSENT: u32 = 128 << 10;

/// Why the server cannot listen.
#[derive(Debug, Error)]
#[error("cannot listen on {address} port {port}: {source}")]
pub struct ListenError {
    address: String,
    port: u16,
    source: io::Error,
}

/// Listens on every address of a name, all on one port. A port of 0 is one that
/// the kernel chooses. `::` takes IPv4 as well, and `localhost` is both loopback
/// addresses even where the hosts file knows only one (RFC 6761, 6.3).
///
/// # Errors
/// When the name has no address, or one of its addresses is taken. An address
/// that this machine lacks, as `::1` where there is no IPv6, is left out if
/// there is another.
pub fn listen(address: &str, port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |source| ListenError {
        address: address.to_owned(),
        port,
        source,
    };
    let mut candidates: Vec<SocketAddr> =
        (address, port).to_socket_addrs().map_err(failed)?.collect();
    if address.eq_ignore_ascii_case("localhost") {
        for loopback in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            if !candidates.iter().any(|known| known.ip() == loopback) {
                candidates.push(SocketAddr::new(loopback, port));
            }
        }
    }
    candidates.dedup();
    let mut listeners = Vec::new();
    let mut missing = io::Error::new(ErrorKind::NotFound, "the name has no address");
    let mut chosen = port;
    for mut candidate in candidates {
        candidate.set_port(chosen);
        match bind(candidate) {
            Ok(listener) => {
                chosen = listener.local_addr().map_err(failed)?.port();
                listeners.push(listener);
            }
            Err(error) if is_missing(&error) => missing = error,
            Err(error) => return Err(failed(error)),
        }
    }
    if listeners.is_empty() {
        Err(failed(missing))
    } else {
        Ok(listeners)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections inherit it.
    socket.set_tcp_nodelay(true)?;
    // So that a peer that reads slowly is seen to read: else the kernel asks for
    // more only when a third of its buffer, of megabytes, has gone. Where it does
    // not know this, it keeps more for us, and slow peers have less patience.
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_missing(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn every_address_of_a_name_listens_on_the_same_port() {
        let listeners = listen("localhost", 0).unwrap();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert!(
            ports.iter().all(|port| *port == ports[0] && *port != 0),
            "{ports:?}"
        );
        let has = |address: IpAddr| {
            let mut addresses = listeners.iter().map(|one| one.local_addr().unwrap().ip());
            addresses.any(|one| one == address)
        };
        assert!(has(Ipv4Addr::LOCALHOST.into()));
        // There may be no IPv6 at all.
        let is_possible = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        assert_eq!(has(Ipv6Addr::LOCALHOST.into()), is_possible);
        for listener in &listeners {
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        }
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_as_well() {
        let listeners = listen("::", 0).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn an_address_that_is_taken_is_an_error() {
        let taken = listen("127.0.0.1", 0).unwrap();
        let port = taken[0].local_addr().unwrap().port();
        let error = listen("127.0.0.1", port).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on 127.0.0.1 port {port}: Address already in use (os error 98)")
        );
    }
}
