//! A listener in a network namespace of its own, its clients, and what the kernel says of both.

use std::{
    env, fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    CASE, flood,
    kernel::{
        Told, depth, retransmitted, segments, set, socket_drops, tcp_ext, told, unwanted, waiting,
    },
};
use crate::{
    Outcome,
    role::{say, wait_for_line},
    socket_kinds::loopback_up,
};

/// How clients come to the listener.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Family {
    V4,
    V6,
    /// An IPv6 listener, and IPv4 clients.
    Mapped,
}

/// What clients do to come in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Way {
    /// They connect.
    Usual,
    /// They send data in their SYN.
    FastOpen,
    /// They connect by Multipath TCP. A filter upon such a socket does not reach its subflow, so that
    /// those that are held back connect in the usual way.
    Mptcp,
    /// They are not there: SYNs come in their names, from another network namespace, all at once.
    Spoofed,
    /// The same, from the listener's own network namespace.
    SpoofedHere,
    /// The same, and there is no route back to them.
    NoRoute,
}

/// What happens.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Case {
    pub family: Family,
    pub way: Way,
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
    /// Threads that send a flood at once.
    pub senders: u32,
    /// Clients that connect while the flood comes, once the SYN queue was full.
    pub amid: u32,
    /// Whether those that are held back stay so until the report is made.
    pub stay: bool,
}

/// Longest that a client may take; the kernel sends the answer to a SYN again after 1, 3 and 7 s.
const PATIENCE: Duration = Duration::from_secs(60);

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
    if case.way == Way::FastOpen {
        // For clients and servers, and no cookie is asked for or waited for: 1, 2, 4 and 0x200 of
        // Documentation/networking/ip-sysctl.rst.
        fs::write("/proc/sys/net/ipv4/tcp_fastopen", "519")?;
    }
    let source = match case.way {
        Way::Spoofed => Some(flood::pair()?),
        Way::SpoofedHere => Some(flood::here(true)?),
        Way::NoRoute => Some(flood::here(false)?),
        _ => None,
    };
    let listener = listen(&case)?;
    let port = listener.local_addr()?.as_socket().context("no address")?.port();
    let address = match case.family {
        Family::V4 | Family::Mapped => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        Family::V6 => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    };
    say(port)?;
    wait_for_line()?;
    if let Some(source) = source {
        let before = segments()?;
        let amid = thread::scope(|scope| {
            let clients = scope.spawn(|| {
                if case.amid > 0 {
                    wait_until("the SYN queue was never full", || {
                        Ok(tcp_ext("TCPReqQFullDoCookies")? + tcp_ext("TCPReqQFullDrop")? > 0)
                    })?;
                }
                (0..case.amid)
                    .map(|_| client(&case, address, false))
                    .collect::<anyhow::Result<Vec<_>>>()
            });
            source.flood(port, case.ordinary, case.senders)?;
            clients.join().map_err(|_| anyhow::anyhow!("the clients ended early"))?
        })?;
        // Closed with a reset: nobody tries again from here on.
        for socket in &amid {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        drop(amid);
        wait_until("SYNs were lost", || Ok(segments()? - before >= u64::from(case.ordinary)))?;
        // The kernel gives up some requests of a queue that is more than half full after two tries
        // (`reqsk_timer_handler`), which may be before an emulated machine has come to rest.
        let full = waiting()?;
        settle(&listener, &case)?;
        let waiting = Some(full.max(waiting()?));
        say(serde_json::to_string(&Told { waiting, ..told(&listener, &case)? })?)?;
        return wait_for_line();
    }
    let mut held_back = clients(&case, &listener, address, true)?;
    if case.cookies == 0 {
        // Those that found no place would try again, and find one later.
        let answered = held_back.iter().map(|one| Ok(socket_drops(one)? > 0));
        let mut answered = answered.collect::<anyhow::Result<Vec<_>>>()?.into_iter();
        held_back.retain(|_| answered.next().unwrap_or(false));
    }
    // A cookie leaves nothing that the kernel would answer again.
    let cookies = usize::try_from(told(&listener, &case)?.cookies_sent)?;
    let ordinary = clients(&case, &listener, address, false)?;
    if case.stay {
        settle(&listener, &case)?;
        let told = Told { waiting: Some(waiting()?), ..told(&listener, &case)? };
        // Those that are held back say their SYN again, which their requests do not want. It is counted as
        // said again only once it has been sent, and so received.
        settle(&listener, &case)?;
        let unwanted = held_back.iter().map(retransmitted).sum::<anyhow::Result<_>>()?;
        say(serde_json::to_string(&Told { unwanted, ..told })?)?;
        return wait_for_line();
    }
    held_back.iter().try_for_each(hear)?;
    held_back.iter().rev().skip(cookies).try_for_each(wait_for_answer)?;
    settle(&listener, &case)?;
    let clients = || held_back.iter().chain(&ordinary);
    let unwanted = match case.way {
        Way::Mptcp => 0,
        _ => clients().map(unwanted).sum::<anyhow::Result<_>>()?,
    };
    // Closed with a reset: nobody tries again from here on.
    for socket in clients() {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    drop((held_back, ordinary));
    settle(&listener, &case)?;
    say(serde_json::to_string(&Told { unwanted, ..told(&listener, &case)? })?)?;
    wait_for_line()
}

fn listen(case: &Case) -> anyhow::Result<Socket> {
    let (domain, any) = match case.family {
        Family::V4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        Family::V6 | Family::Mapped => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
    };
    let protocol = (case.way == Way::Mptcp).then_some(Protocol::MPTCP);
    let socket = Socket::new(domain, Type::STREAM, protocol)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    socket.bind(&any.into())?;
    if case.defer {
        set(&socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &5_i32)?;
    }
    if case.way == Way::FastOpen {
        set(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, &16_i32)?;
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
        let (before, depth) = (told(listener, case)?, depth()?);
        let client = client(case, address, deaf)?;
        wait_until("a client is neither here nor there", || {
            let now = told(listener, case)?;
            Ok(now.drops > before.drops
                || (deaf && socket_drops(&client)? > 0)
                || (!deaf && (self::depth()? > depth || now.deferred > before.deferred)))
        })?;
        clients.push(client);
    }
    Ok(clients)
}

/// Waits until the kernel has nothing more to do.
///
/// It has nothing more to do when it says the same for a while, for a packet may wait for an emulated CPU
/// that does not run; longer for a flood, of which a loaded machine makes pauses.
fn settle(listener: &Socket, case: &Case) -> Outcome {
    let wanted = if matches!(case.way, Way::Spoofed | Way::SpoofedHere) { 30 } else { 8 };
    let (mut last, mut same) = (told(listener, case)?, 0);
    wait_until("the kernel does not come to rest", || {
        thread::sleep(Duration::from_millis(50));
        let now = told(listener, case)?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        Ok(same >= wanted)
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
fn client(case: &Case, address: SocketAddr, deaf: bool) -> anyhow::Result<Socket> {
    let protocol = (case.way == Way::Mptcp && !deaf).then_some(Protocol::MPTCP);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    if deaf {
        // A filter that lets nothing through: RET 0.
        let mut nothing = libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0 };
        let filter = libc::sock_fprog { len: 1, filter: &raw mut nothing };
        set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
    }
    let sent = match case.way {
        Way::FastOpen => {
            socket.send_to_with_flags(b"x", &address.into(), libc::MSG_FASTOPEN).map(drop)
        }
        _ => socket.connect(&address.into()),
    };
    match sent {
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
