//! TCP Fast Open: the child is in the queue before its handshake has ended. In a network namespace
//! of the server's own.

use std::{
    fs,
    io::IoSlice,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
};

use anyhow::{Context, ensure};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockaddrIn, sendmsg},
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::server::{Server, Tally, check, connect, listen, listener, wait_and_reset};
use crate::{
    Need, Outcome, Test,
    observer::number,
    role::{Actor, netns, own_netns, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// Connections by Fast Open; the first of them gets the cookie only.
const FAST: u64 = 6;
/// Connections in the usual way.
const USUAL: u64 = 3;

pub fn tests() -> Vec<Test> {
    vec![Test::together("socket_kinds::fast_open", Need::Kernel, fast_open)]
}

#[derive(Deserialize, Serialize)]
struct Result {
    tally: Tally,
    /// TCPFastOpenPassive of the namespace: children made from a SYN.
    passive: u64,
    netns: u64,
}

fn fast_open() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-fast-open")?;
    let port = actor.port()?;
    in_the_window(move || {
        actor.next()?;
        let result: Result = serde_json::from_str(&actor.line()?)?;
        in_the_report(move |report| {
            ensure!(result.passive == FAST - 1, "{} connections by Fast Open", result.passive);
            ensure!(result.tally.accepted == FAST + USUAL, "{} accepted", result.tally.accepted);
            check(report, &result.tally)?;
            let one = listener(report, result.tally.inode)?;
            ensure!(one["port"] == port && number(&one["netns"])? == result.netns, "{one}");
            drop(actor);
            Ok(())
        })
    })
}

/// The role: server and client.
pub fn serve_and_connect() -> Outcome {
    own_netns()?;
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3")?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (socket, address) = listen(any, None, |socket| {
        set(socket, libc::TCP_FASTOPEN, 16).map_err(std::io::Error::from)
    })?;
    let server = Server::start(vec![socket], FAST + USUAL);
    say(address.port())?;
    wait_for_line()?;
    for _ in 0..FAST {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let to = SockaddrIn::new(127, 0, 0, 1, address.port());
        let data = [IoSlice::new(b"x")];
        let sent = sendmsg(
            socket.as_raw_fd(),
            &data,
            &[],
            MsgFlags::from_bits_retain(libc::MSG_FASTOPEN),
            Some(&to),
        );
        // The server closes without reading, which is a reset: after the handshake where the data
        // follows it, else maybe within it.
        if let Err(error) = sent
            && !matches!(error, Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::EPIPE)
        {
            return Err(error.into());
        }
        wait_and_reset(&socket)?;
    }
    for _ in 0..USUAL {
        connect(address)?;
    }
    let (mut tallies, _listening) = server.join()?;
    let netns = netns()?;
    let result = Result { tally: tallies.remove(0), passive: passive()?, netns };
    say(serde_json::to_string(&result)?)?;
    wait_for_line()
}

fn set(socket: &Socket, option: libc::c_int, value: libc::c_int) -> nix::Result<()> {
    // SAFETY: the kernel reads one int, which `value` is.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

/// TCPFastOpenPassive of this network namespace.
fn passive() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = both.find(|(name, _)| *name == "TCPFastOpenPassive").context("counter")?;
    Ok(value.parse()?)
}

/// Brings the loopback interface of this network namespace up.
pub fn loopback_up() -> Outcome {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: all zeroes are a value of this plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes_with_nul()) {
        *to = libc::c_char::try_from(*from)?;
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP)?;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    Ok(Errno::result(result).map(drop)?)
}
