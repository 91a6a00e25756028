//! Where the server listens: a socket that systemd passes, or an address.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::{Context as _, Result};
use observer::error::Failure;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait while the event loop does something else.
const BACKLOG: i32 = 128;

/// A socket that listens, and whether systemd passed it.
///
/// # Errors
///
/// When there can be none, or systemd passed something else.
pub fn listen(address: SocketAddr) -> Result<(TcpListener, bool)> {
    let mut passed: Vec<RawFd> = match sd_notify::listen_fds() {
        Ok(descriptors) => descriptors.collect(),
        Err(error) => {
            log::debug!("the environment names no sockets: {error}");
            Vec::new()
        }
    };
    match (passed.pop(), passed.len()) {
        (None, _) => Ok((bind(address)?, false)),
        // SAFETY: the number was passed to this process (LISTEN_PID), which has it open and used it for nothing yet.
        (Some(descriptor), 0) => Ok((adopt(unsafe { OwnedFd::from_raw_fd(descriptor) })?, true)),
        (Some(_), more) => Err(Failure::failed(format!(
            "systemd passed {} sockets, and one is served on; leave one ListenStream= in the socket unit",
            more + 1
        ))
        .into()),
    }
}

fn adopt(descriptor: OwnedFd) -> Result<TcpListener> {
    let socket = Socket::from(descriptor);
    let is_one = socket.is_listener().unwrap_or(false)
        && socket.local_addr().is_ok_and(|address| address.as_socket().is_some());
    if !is_one {
        let sentence = "what systemd passed is no TCP socket that listens; use ListenStream= with a port and \
                        Accept=no in the socket unit";
        return Err(Failure::failed(sentence).into());
    }
    Ok(socket.into())
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let made = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, std::io::Error>(socket.into())
    };
    made().with_context(|| {
        Failure::failed(format!(
            "cannot listen on {address}; is another exporter there? Choose another with --listen ADDR:PORT"
        ))
    })
}
