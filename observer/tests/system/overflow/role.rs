//! A listener in a network namespace of its own, its clients, and what the kernel says of both.

use std::{
    env, fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::CASE;
use crate::{
    Outcome,
    kinds::loopback_up,
    role::{say, wait_for_line},
};

/// How clients come to the listener.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Family {
    V4,
    V6,
    /// An IPv6 listener, and IPv4 clients.
    Mapped,
}

/// What happens.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Case {
    pub family: Family,
    pub backlog: u32,
    /// `tcp_syncookies`.
    pub cookies: u8,
    /// `tcp_abort_on_overflow`.
    pub abort: bool,
    pub max_syn_backlog: u32,
    /// TCP_DEFER_ACCEPT.
    pub defer: bool,
    /// Clients that come first and do not hear the answer to their SYN until the others are there.
    pub held_back: u32,
    /// Clients that come then.
    pub ordinary: u32,
    /// Whether those that are held back stay so until the report is made.
    pub stay: bool,
}

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
    /// `sk_drops` of the listener.
    pub socket: u64,
    /// Most that clients sent to requests of theirs beside ACKs: SYNs again, and the resets of the
    /// end. What a request does not want is thrown away, and raises `sk_drops` alone.
    pub unwanted: u64,
    pub defer: bool,
    /// Requests that wait for their final ACK, where they stay until the report is made.
    pub waiting: Option<u64>,
}

/// Longest that a client may take; the kernel sends the answer to a SYN again after 1, 3 and 7 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays the case that the environment tells.
pub fn play() -> Outcome {
    let case: Case = serde_json::from_str(&env::var(CASE)?)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    for (name, value) in [
        ("tcp_syncookies", u32::from(case.cookies)),
        ("tcp_abort_on_overflow", u32::from(case.abort)),
        ("tcp_max_syn_backlog", case.max_syn_backlog),
    ] {
        fs::write(format!("/proc/sys/net/ipv4/{name}"), value.to_string()).context(name)?;
    }
    let listener = listen(&case)?;
    let port = listener.local_addr()?.as_socket().context("no address")?.port();
    let address = match case.family {
        Family::V4 | Family::Mapped => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        Family::V6 => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    };
    say(port)?;
    wait_for_line()?;
    let mut held_back = clients(&case, &listener, address, true)?;
    if case.cookies == 0 {
        // Those that found no place would try again, and find one later.
        let answered = held_back.iter().map(|one| Ok(socket_drops(one)? > 0));
        let mut answered = answered.collect::<anyhow::Result<Vec<_>>>()?.into_iter();
        held_back.retain(|_| answered.next().unwrap_or(false));
    }
    // A cookie leaves nothing that the kernel would answer again.
    let cookies = usize::try_from(told(&listener, false)?.cookies_sent)?;
    let ordinary = clients(&case, &listener, address, false)?;
    if case.stay {
        settle(&listener)?;
        let told = Told { waiting: Some(waiting()?), ..told(&listener, case.defer)? };
        // Those that are held back say their SYN again, which their requests do not want.
        let unwanted = held_back.iter().map(retransmitted).sum::<anyhow::Result<_>>()?;
        say(serde_json::to_string(&Told { unwanted, ..told })?)?;
        return wait_for_line();
    }
    held_back.iter().try_for_each(hear)?;
    held_back.iter().rev().skip(cookies).try_for_each(wait_for_answer)?;
    settle(&listener)?;
    let clients = || held_back.iter().chain(&ordinary);
    let unwanted = clients().map(unwanted).sum::<anyhow::Result<_>>()?;
    // Closed with a reset: nobody tries again from here on.
    for socket in clients() {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    drop((held_back, ordinary));
    settle(&listener)?;
    say(serde_json::to_string(&Told { unwanted, ..told(&listener, case.defer)? })?)?;
    wait_for_line()
}

fn listen(case: &Case) -> anyhow::Result<Socket> {
    let (domain, any) = match case.family {
        Family::V4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        Family::V6 | Family::Mapped => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    socket.bind(&any.into())?;
    if case.defer {
        set(&socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &5_i32)?;
    }
    socket.listen(i32::try_from(case.backlog)?)?;
    Ok(socket)
}

/// Clients, one after the other: each is where it stays for now before the next one comes.
fn clients(
    case: &Case,
    listener: &Socket,
    address: SocketAddr,
    deaf: bool,
) -> anyhow::Result<Vec<Socket>> {
    let count = if deaf { case.held_back } else { case.ordinary };
    let mut clients = Vec::new();
    for _ in 0..count {
        let (before, depth) = (told(listener, false)?, depth(listener)?);
        let client = client(address, deaf)?;
        wait_until("a client is neither here nor there", || {
            let now = told(listener, false)?;
            Ok(now.drops > before.drops
                || (deaf && socket_drops(&client)? > 0)
                || (!deaf && (self::depth(listener)? > depth || now.deferred > before.deferred)))
        })?;
        clients.push(client);
    }
    Ok(clients)
}

/// Waits until the kernel has nothing more to do.
fn settle(listener: &Socket) -> Outcome {
    let mut last = told(listener, false)?;
    wait_until("the kernel does not come to rest", || {
        thread::sleep(Duration::from_millis(50));
        let now = told(listener, false)?;
        Ok(now == std::mem::replace(&mut last, now.clone()))
    })
}

fn wait_until(otherwise: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> Outcome {
    let began = Instant::now();
    while !done()? {
        ensure!(began.elapsed() < PATIENCE, "{otherwise}");
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// A client that is on its way; a deaf one hears no answer.
fn client(address: SocketAddr, deaf: bool) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if deaf {
        // A filter that lets nothing through: RET 0.
        let mut nothing = libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0 };
        let filter = libc::sock_fprog { len: 1, filter: &raw mut nothing };
        set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error)?,
        _ => Ok(socket),
    }
}

/// Lets a client hear again.
fn hear(client: &Socket) -> Outcome {
    set(client, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
}

/// Waits until a client has its answer: it is connected, as far as it knows, or was reset.
fn wait_for_answer(client: &Socket) -> Outcome {
    wait_until("a client had no answer", || {
        let mut wanted = [PollFd::new(std::os::fd::AsFd::as_fd(client), PollFlags::POLLOUT)];
        Ok(poll(&mut wanted, PollTimeout::ZERO)? > 0)
    })
}

fn set<T>(socket: &Socket, level: i32, option: i32, value: &T) -> Outcome {
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

fn told(listener: &Socket, defer: bool) -> anyhow::Result<Told> {
    let text = fs::read_to_string("/proc/self/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let counter = |wanted: &str| -> anyhow::Result<u64> {
        let mut both = names.split_whitespace().zip(values.split_whitespace());
        Ok(both.find(|(name, _)| *name == wanted).context("counter")?.1.parse()?)
    };
    Ok(Told {
        netns: std::os::unix::fs::MetadataExt::ino(&fs::metadata("/proc/self/ns/net")?),
        drops: counter("ListenDrops")?,
        overflows: counter("ListenOverflows")?,
        syn_queue_full: counter("TCPReqQFullDrop")?,
        cookies_wanted: counter("TCPReqQFullDoCookies")?,
        cookies_sent: counter("SyncookiesSent")?,
        deferred: counter("TCPDeferAcceptDrop")?,
        socket: socket_drops(listener)?,
        unwanted: 0,
        defer,
        waiting: None,
    })
}

/// `sk_drops`, as the socket itself is told (SO_MEMINFO).
fn socket_drops(socket: &Socket) -> anyhow::Result<u64> {
    /// `SK_MEMINFO_DROPS` of include/uapi/linux/sock_diag.h.
    const DROPS: usize = 8;
    let mut values = [0_u32; DROPS + 1];
    get(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut values)?;
    Ok(u64::from(values[DROPS]))
}

/// How many connections are in the accept queue: `tcpi_unacked` of a listener.
fn depth(listener: &Socket) -> anyhow::Result<u32> {
    const UNACKED: usize = 6;
    let mut values = [0_u32; UNACKED + 1];
    get(listener, libc::IPPROTO_TCP, libc::TCP_INFO, &mut values)?;
    Ok(values[UNACKED])
}

/// How much a client may send to its request beside ACKs; see [`Told::unwanted`]. Without an answer
/// it has no request.
fn unwanted(client: &Socket) -> anyhow::Result<u64> {
    /// `TCP_SYN_SENT` of include/net/tcp_states.h.
    const SYN_SENT: u8 = 2;
    // The state is the first byte.
    let waits = client_info(client)?[0].to_ne_bytes()[0] == SYN_SENT;
    Ok(if waits { 0 } else { retransmitted(client)? + 1 })
}

/// How often a client has sent again what it sent.
fn retransmitted(client: &Socket) -> anyhow::Result<u64> {
    Ok(u64::from(client_info(client)?[RETRANSMITTED]))
}

/// Where `tcp_info` of include/uapi/linux/tcp.h has `tcpi_total_retrans`, in words.
const RETRANSMITTED: usize = 25;

fn client_info(client: &Socket) -> anyhow::Result<[u32; RETRANSMITTED + 1]> {
    let mut values = [0; RETRANSMITTED + 1];
    get(client, libc::IPPROTO_TCP, libc::TCP_INFO, &mut values)?;
    Ok(values)
}

/// How many requests wait for their final ACK in this network namespace.
fn waiting() -> anyhow::Result<u64> {
    /// `TCP_SYN_RECV` of include/net/tcp_states.h, as which `get_openreq4` shows them.
    const SYN_RECV: &str = "03";
    let mut waiting = 0;
    for path in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let text = fs::read_to_string(path)?;
        let states = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3));
        waiting += u64::try_from(states.filter(|state| *state == SYN_RECV).count())?;
    }
    Ok(waiting)
}

fn get<const N: usize>(socket: &Socket, level: i32, option: i32, values: &mut [u32; N]) -> Outcome {
    let mut size = libc::socklen_t::try_from(size_of_val(values))?;
    // SAFETY: the kernel writes at most `size` bytes, which `values` has.
    let result = unsafe {
        let values = values.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, option, values, &raw mut size)
    };
    Ok(Errno::result(result).map(drop)?)
}
