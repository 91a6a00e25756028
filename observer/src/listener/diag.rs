//! Listening sockets by inet_diag, over netlink: what `ss -ltn` reads.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{Socket as NetlinkSocket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use nix::unistd::gettid;
use procfs::{
    ProcError,
    net::{TcpNetEntries, TcpState},
    process::Process,
};

/// One socket in LISTEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
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
    by_diag().or_else(|error| {
        log::debug!("no inet_diag, /proc instead: {error:#}");
        by_proc()
    })
}

fn by_proc() -> Result<Vec<Socket>> {
    // The files of a thread show the network namespace that the thread is in.
    let root = format!("/proc/self/task/{}", gettid());
    let thread = Process::new_with_root(root.into()).context("cannot look into /proc")?;
    let mut sockets = Vec::new();
    for name in ["net/tcp", "net/tcp6"] {
        let TcpNetEntries(entries) = match thread.read_si(name) {
            Ok(entries) => entries,
            // There is no tcp6 on a kernel without IPv6.
            Err(ProcError::NotFound(_)) => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        };
        let listening = entries.into_iter().filter(|entry| entry.state == TcpState::Listen);
        sockets.extend(listening.map(|entry| Socket {
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

fn by_diag() -> Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    dump(AF_INET, SocketId::new_v4(), &mut sockets)?;
    // A kernel without IPv6 answers an IPv6 dump with ENOENT: there are none, then.
    if let Err(error) = dump(AF_INET6, SocketId::new_v6(), &mut sockets) {
        log::debug!("no IPv6 listeners: {error:#}");
    }
    Ok(sockets)
}

fn dump(family: u8, socket_id: SocketId, sockets: &mut Vec<Socket>) -> Result<()> {
    let mut netlink = NetlinkSocket::new(NETLINK_SOCK_DIAG).context("cannot open inet_diag")?;
    netlink.bind_auto().context("cannot bind inet_diag")?;
    netlink.connect(&SocketAddr::new(0, 0)).context("cannot reach inet_diag")?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::SKMEMINFO,
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut message =
        NetlinkMessage::new(header, NetlinkPayload::from(SockDiagMessage::InetRequest(request)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    netlink.send(&bytes, 0).context("cannot ask inet_diag")?;

    let mut buffer = vec![0; RECEIVE_BUFFER];
    loop {
        let size = netlink.recv(&mut &mut buffer[..], 0).context("inet_diag gave no answer")?;
        let mut rest = buffer.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .context("inet_diag gave an answer that cannot be read")?;
            let length = usize::try_from(message.header.length)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    sockets.push(socket(&response));
                }
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

fn socket(response: &InetResponse) -> Socket {
    let header = &response.header;
    let drops = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::MemInfo(memory) => Some(memory.drops),
        _ => None,
    });
    Socket {
        inode: u64::from(header.inode),
        cookie: Some(u64::from_ne_bytes(header.socket_id.cookie)),
        address: header.socket_id.source_address,
        port: header.socket_id.source_port,
        queue: header.recv_queue,
        limit: Some(header.send_queue),
        drops,
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
