//! What the kernel says of a listener, its clients and their network namespace.

use std::{fs, os::fd::AsRawFd};

use anyhow::{Context, ensure};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::role::{Case, Way};
use crate::Outcome;

/// What the kernel says of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Told {
    pub netns: u64,
    /// `ListenDrops`.
    pub drops: u64,
    /// `ListenOverflows`.
    pub overflows: u64,
    /// `TCPReqQFullDrop`.
    pub syn_queue_full: u64,
    /// `TCPReqQFullDoCookies`.
    pub cookies_wanted: u64,
    /// `SyncookiesSent`.
    pub cookies_sent: u64,
    /// `TCPDeferAcceptDrop`.
    pub deferred: u64,
    /// `TCPFastOpenPassive`: children made from a SYN.
    pub fast_opened: u64,
    /// `sk_drops` of the listener, where it can be asked.
    pub socket: Option<u64>,
    /// Most that clients sent to requests of theirs beside ACKs: SYNs again, and the resets of the
    /// end. What a request does not want is thrown away, and raises `sk_drops` alone.
    pub unwanted: u64,
    pub defer: bool,
    /// Requests that wait for their final ACK, where they stay until the report is made.
    pub waiting: Option<u64>,
}

/// Sets an option of a socket.
pub fn set<T>(socket: &Socket, level: i32, option: i32, value: &T) -> Outcome {
    // SAFETY: the kernel reads as much as it is told, which is `value`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            libc::socklen_t::try_from(size_of::<T>())?,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

/// A TcpExt counter of the network namespace that this thread is in.
pub fn tcp_ext(wanted: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    Ok(both.find(|(name, _)| *name == wanted).context("counter")?.1.parse()?)
}

/// What the kernel says now; `listener` is told of itself, unless it is one of MPTCP.
pub fn told(listener: &Socket, case: &Case) -> anyhow::Result<Told> {
    let counter = tcp_ext;
    Ok(Told {
        netns: std::os::unix::fs::MetadataExt::ino(&fs::metadata("/proc/self/ns/net")?),
        drops: counter("ListenDrops")?,
        overflows: counter("ListenOverflows")?,
        syn_queue_full: counter("TCPReqQFullDrop")?,
        cookies_wanted: counter("TCPReqQFullDoCookies")?,
        cookies_sent: counter("SyncookiesSent")?,
        deferred: counter("TCPDeferAcceptDrop")?,
        // What a socket of MPTCP is told of is not the one that clients come to.
        socket: (case.way != Way::Mptcp).then(|| socket_drops(listener)).transpose()?,
        fast_opened: counter("TCPFastOpenPassive")?,
        unwanted: 0,
        defer: case.defer,
        waiting: None,
    })
}

/// `sk_drops`, as the socket itself is told (SO_MEMINFO).
pub fn socket_drops(socket: &Socket) -> anyhow::Result<u64> {
    /// `SK_MEMINFO_DROPS` of include/uapi/linux/sock_diag.h.
    const DROPS: usize = 8;
    let mut values = [0_u32; DROPS + 1];
    get(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut values)?;
    Ok(u64::from(values[DROPS]))
}

/// How many connections are in the accept queue of the only listener of this network namespace: its
/// receive queue, as /proc shows it. A listener of MPTCP is not told by itself on older kernels.
pub fn depth() -> anyhow::Result<u64> {
    /// `TCP_LISTEN` of include/net/tcp_states.h.
    const LISTEN: &str = "0A";
    let queues = sockets(LISTEN)?;
    ensure!(queues.len() == 1, "{} listeners", queues.len());
    let (_, received) = queues[0].split_once(':').context("queues")?;
    Ok(u64::from_str_radix(received, 16)?)
}

/// How much a client may send to its request beside ACKs; see [`Told::unwanted`]. Without an answer
/// it has no request.
pub fn unwanted(client: &Socket) -> anyhow::Result<u64> {
    /// `TCP_SYN_SENT` of include/net/tcp_states.h.
    const SYN_SENT: u8 = 2;
    // The state is the first byte.
    let waits = client_info(client)?[0].to_ne_bytes()[0] == SYN_SENT;
    Ok(if waits { 0 } else { retransmitted(client)? + 1 })
}

/// How often a client has sent again what it sent.
pub fn retransmitted(client: &Socket) -> anyhow::Result<u64> {
    Ok(u64::from(client_info(client)?[RETRANSMITTED]))
}

/// Where `tcp_info` of include/uapi/linux/tcp.h has `tcpi_total_retrans`, in words.
const RETRANSMITTED: usize = 25;

fn client_info(client: &Socket) -> anyhow::Result<[u32; RETRANSMITTED + 1]> {
    let mut values = [0; RETRANSMITTED + 1];
    get(client, libc::IPPROTO_TCP, libc::TCP_INFO, &mut values)?;
    Ok(values)
}

/// Segments that came to TCP in this network namespace: `InSegs`.
pub fn segments() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    Ok(both.find(|(name, _)| *name == "InSegs").context("counter")?.1.parse()?)
}

/// How many requests wait for their final ACK in this network namespace.
pub fn waiting() -> anyhow::Result<u64> {
    /// `TCP_SYN_RECV` of include/net/tcp_states.h, as which `get_openreq4` shows them.
    const SYN_RECV: &str = "03";
    Ok(u64::try_from(sockets(SYN_RECV)?.len())?)
}

/// The queues of each TCP socket of this network namespace that is in a state, as /proc shows them.
fn sockets(state: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for path in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let text = fs::read_to_string(path)?;
        let words = text.lines().skip(1).map(|line| line.split_whitespace().skip(3).take(2));
        found.extend(words.filter_map(|mut words| {
            (words.next()? == state).then(|| words.next().map(str::to_owned))?
        }));
    }
    Ok(found)
}

pub fn get<const N: usize>(
    socket: &Socket,
    level: i32,
    option: i32,
    values: &mut [u32; N],
) -> Outcome {
    let mut size = libc::socklen_t::try_from(size_of_val(values))?;
    // SAFETY: the kernel writes at most `size` bytes, which `values` has.
    let result = unsafe {
        let values = values.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, option, values, &raw mut size)
    };
    Ok(Errno::result(result).map(drop)?)
}
