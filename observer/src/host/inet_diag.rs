//! Listening sockets by inet_diag, over netlink: what `ss -ltn` reads.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    constants::{AF_INET6, TCP_LISTEN},
    inet::StateFlags,
};
use netlink_sys::{Socket as NetlinkSocket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use nix::unistd::gettid;
use procfs::{
    ProcError,
    net::{TcpNetEntries, TcpState},
    process::Process,
};

use crate::host::inet_diag_message::{Answer, question};

/// One socket in LISTEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Whether it is an AF_INET6 socket; its address may be an IPv4 one all the same, mapped.
    pub v6: bool,
    /// Whether it takes IPv6 connections only; `None` for IPv4 and where the kernel does not tell.
    pub v6only: Option<bool>,
    /// Index of the interface that it is bound to, 0 for none; /proc has none.
    pub interface: Option<u32>,
    /// Who owns it.
    pub uid: u32,
    /// Inode number of the socket; 0 for one that belongs to no file.
    pub inode: u64,
    /// The kernel's cookie. inet_diag makes it when asked; /proc has none.
    pub cookie: Option<u64>,
    /// Local address.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// Connections in the accept queue (`sk_ack_backlog`).
    pub queue: u32,
    /// Limit on the accept queue (`sk_max_ack_backlog`); /proc has none.
    pub limit: Option<u32>,
    /// `sk_drops` since its birth; `None` where the kernel does not tell.
    pub drops: Option<u32>,
}

/// A connection request that waits for its final ACK (TCP_NEW_SYN_RECV).
///
/// inet_diag does not say which listener it belongs to, but it has that listener's family and
/// interface (`inet_reqsk_alloc`, `inet_request_bound_dev_if`) beside the address that the client
/// sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Whether its listener is an AF_INET6 socket.
    pub v6: bool,
    /// The address that the client wants; an IPv4 one where its listener is of both families.
    pub address: IpAddr,
    /// The port that the client wants.
    pub port: u16,
    /// Index of the interface, where the listener is bound to one or the address is link-local.
    pub interface: u32,
}

/// What listens in a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Sockets in LISTEN.
    pub sockets: Vec<Socket>,
    /// Requests in their SYN queues; `None` where the kernel does not tell.
    pub requests: Option<Vec<Request>>,
}

/// The kernel fills at most 32 KiB of one datagram of a dump (`netlink_dump`).
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Every listening TCP socket of the network namespace that this thread is in.
///
/// inet_diag is a module on many kernels, and one that cannot be loaded in a minimal system; what
/// is left then is /proc, which shows no limit, no drops and no cookie.
///
/// # Errors
///
/// When neither inet_diag nor /proc shows them.
pub fn listening_sockets() -> Result<Vec<Socket>> {
    look(StateFlags::LISTEN).map(|listening| listening.sockets)
}

/// Listening sockets with the requests in their SYN queues. This walks the table of all connections
/// (`inet_diag_dump_icsk`), which takes the longer the more there are.
///
/// # Errors
///
/// When neither inet_diag nor /proc shows them.
pub fn listening_with_requests() -> Result<Listening> {
    look(StateFlags::LISTEN | StateFlags::SYN_RECV)
}

/// Only the requests; `None` where the kernel does not tell. This walks the same table.
///
/// # Errors
///
/// When neither inet_diag nor /proc can be read.
pub fn requests() -> Result<Option<Vec<Request>>> {
    look(StateFlags::SYN_RECV).map(|listening| listening.requests)
}

fn look(states: StateFlags) -> Result<Listening> {
    by_diag(&states).or_else(|error| {
        log::debug!("no inet_diag, /proc instead: {error:#}");
        by_proc().map(|sockets| Listening { sockets, requests: None })
    })
}

fn by_proc() -> Result<Vec<Socket>> {
    // The files of a thread show the network namespace that the thread is in.
    let root = format!("/proc/self/task/{}", gettid());
    let thread = Process::new_with_root(root.into()).context("cannot look into /proc")?;
    let mut sockets = Vec::new();
    for (name, v6) in [("net/tcp", false), ("net/tcp6", true)] {
        let TcpNetEntries(entries) = match thread.read_si(name) {
            Ok(entries) => entries,
            // There is no tcp6 on a kernel without IPv6.
            Err(ProcError::NotFound(_)) => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        };
        let listening = entries.into_iter().filter(|entry| entry.state == TcpState::Listen);
        sockets.extend(listening.map(|entry| Socket {
            v6,
            v6only: None,
            interface: None,
            uid: entry.uid,
            inode: entry.inode,
            cookie: None,
            address: entry.local_address.ip(),
            port: entry.local_address.port(),
            queue: entry.rx_queue,
            limit: None,
            drops: None,
        }));
    }
    Ok(sockets)
}

fn by_diag(states: &StateFlags) -> Result<Listening> {
    let mut found = Listening { sockets: Vec::new(), requests: Some(Vec::new()) };
    dump(states, &mut found)?;
    // They are kept until the next look, and there may be thousands.
    found.sockets.shrink_to_fit();
    Ok(found)
}

fn dump(states: &StateFlags, found: &mut Listening) -> Result<()> {
    let netlink = NetlinkSocket::new(NETLINK_SOCK_DIAG).context("cannot open inet_diag")?;
    // It needs no address: what is sent to none is for the kernel, which answers whoever asked.
    netlink
        .send_to(&question(states), &SocketAddr::new(0, 0), 0)
        .context("cannot ask inet_diag")?;

    let mut buffer = vec![0; RECEIVE_BUFFER];
    loop {
        let size = netlink.recv(&mut &mut buffer[..], 0).context("inet_diag gave no answer")?;
        let mut rest = buffer.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<Answer>::deserialize(rest)
                .context("inet_diag gave an answer that cannot be read")?;
            let length = usize::try_from(message.header.length)?;
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => found.add(&answer),
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => {
                    return Err(error.to_io()).context("inet_diag refused the dump");
                }
                _ => {}
            }
            // Messages are padded to four bytes; one of no length would never end.
            let step = length.next_multiple_of(4);
            if step == 0 {
                bail!("inet_diag gave a message of no length");
            }
            rest = rest.get(step..).unwrap_or_default();
        }
    }
}

impl Listening {
    fn add(&mut self, answer: &Answer) {
        let id = &answer.header.socket_id;
        if answer.header.state == TCP_LISTEN {
            self.sockets.push(socket(answer));
            return;
        }
        // A child that Fast Open made before its handshake ended is in SYN_RECV too, but in the
        // accept queue and not in the SYN queue. It is a whole socket and tells of its memory,
        // which a request does not (`inet_req_diag_fill`).
        if let Some(requests) = self.requests.as_mut().filter(|_| answer.drops.is_none()) {
            requests.push(Request {
                v6: answer.header.family == AF_INET6,
                address: id.source_address.to_canonical(),
                port: id.source_port,
                interface: id.interface_id,
            });
        }
    }
}

fn socket(answer: &Answer) -> Socket {
    let Answer { header, drops, v6only } = answer;
    Socket {
        v6: header.family == AF_INET6,
        v6only: *v6only,
        interface: Some(header.socket_id.interface_id),
        uid: header.uid,
        inode: u64::from(header.inode),
        cookie: Some(u64::from_ne_bytes(header.socket_id.cookie)),
        address: header.socket_id.source_address,
        port: header.socket_id.source_port,
        queue: header.recv_queue,
        limit: Some(header.send_queue),
        drops: *drops,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::{by_proc, listening_sockets};

    #[test]
    fn a_listener_is_found_with_its_queue() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = listener.local_addr().expect("its address");
            let _one = TcpStream::connect(local).expect("a connection");
            let _two = TcpStream::connect(local).expect("a connection");
            let sockets = listening_sockets().expect("a dump");
            let found = sockets
                .iter()
                .find(|socket| socket.port == local.port() && socket.address == local.ip())
                .expect("the listener");
            assert_eq!(found.queue, 2);
            assert!(found.limit.is_some_and(|limit| limit >= 2));
            assert_ne!(found.inode, 0);
            assert_ne!(found.cookie.unwrap_or(0), 0);
            assert_eq!(found.drops, Some(0));
            let plain = by_proc().expect("/proc");
            let same = plain
                .iter()
                .find(|socket| socket.inode == found.inode)
                .expect("the listener in /proc");
            assert_eq!((same.address, same.port, same.queue), (found.address, found.port, 2));
        }
    }
}
