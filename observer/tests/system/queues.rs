//! Queues and limits, against what the kernel tells of the socket and against what the test itself
//! left unaccepted.

use std::{
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
};

use anyhow::{Context, ensure};
use socket2::{Domain, Socket, Type};

use crate::{
    Need, Test,
    observer::number,
    shared_run::{Play, in_the_report, in_the_window},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::together(
            "queues::depth_and_limit_are_what_the_kernel_tells",
            Need::Kernel,
            depth_and_limit,
        ),
        Test::together("queues::a_backlog_beyond_somaxconn_is_at_it", Need::Kernel, clamped),
    ]
}

/// A listener on loopback with this backlog.
fn listen(backlog: i32) -> anyhow::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(backlog)?;
    let address = socket.local_addr()?.as_socket().context("no address")?;
    Ok((socket, address))
}

fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    (0..count).map(|_| Ok(TcpStream::connect(address)?)).collect()
}

/// Depth and limit of a listener's accept queue, where the kernel tells them to the listener itself
/// (net/ipv4/tcp.c, `tcp_get_info`): the same numbers as `ss` shows, without inet_diag.
fn depth_and_limit_of(listener: &Socket) -> anyhow::Result<(u32, u32)> {
    // SAFETY: all zeroes are a value of this plain C struct.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = libc::socklen_t::try_from(size_of_val(&info))?;
    // SAFETY: the kernel writes at most `size` bytes, which `info` has.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok((info.tcpi_unacked, info.tcpi_sacked))
}

fn depth_and_limit() -> anyhow::Result<Play> {
    let (listener, address) = listen(7)?;
    let before = connect(address, 1)?;
    in_the_window(move || {
        let during = connect(address, 3)?;
        in_the_report(move |report| {
            let one = report.only_on_port(address.port())?;
            // One was there before the window: it is in the depth, and not among what was queued.
            ensure!(one["queued"] == 3, "queued {}", one["queued"]);
            ensure!(one["accepted"] == 0 && one["herd_ratio"].is_null(), "nothing was accepted");
            let queue = &one["accept_queue"];
            ensure!(queue["now"] == 4 && queue["max"] == 4 && queue["limit"] == 7, "{queue}");
            let buckets = queue["histogram"].as_array().context("histogram")?;
            let filled: Vec<_> = buckets.iter().filter(|one| one["count"] != 0).collect();
            ensure!(
                filled.len() == 2 && filled[0]["le"] == 2 && filled[1]["le"] == 4,
                "{buckets:?}"
            );
            ensure!(one["backlog"]["at_somaxconn"] == false, "{}", one["backlog"]);
            let told = depth_and_limit_of(&listener)?;
            ensure!(told == (4, 7), "the kernel says {told:?}");
            drop((before, during));
            Ok(())
        })
    })
}

fn clamped() -> anyhow::Result<Play> {
    let (listener, address) = listen(1_000_000)?;
    in_the_window(move || {
        in_the_report(move |report| {
            let one = report.only_on_port(address.port())?;
            let number_in = |file: &str| -> anyhow::Result<u64> {
                Ok(std::fs::read_to_string(format!("/proc/sys/net/{file}"))?.trim().parse()?)
            };
            let somaxconn = number_in("core/somaxconn")?;
            let backlog = &one["backlog"];
            ensure!(number(&backlog["limit"])? == somaxconn, "{backlog}");
            ensure!(
                backlog["somaxconn"] == somaxconn && backlog["at_somaxconn"] == true,
                "{backlog}"
            );
            for (name, file) in [
                ("tcp_max_syn_backlog", "tcp_max_syn_backlog"),
                ("syncookies", "tcp_syncookies"),
                ("abort_on_overflow", "tcp_abort_on_overflow"),
            ] {
                let value = number_in(&format!("ipv4/{file}"))?;
                ensure!(backlog[name] == value, "{name}: {backlog}");
            }
            drop(listener);
            Ok(())
        })
    })
}
