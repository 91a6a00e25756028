//! Connections that are in a listener's accept queue when it closes: their clients get a reset.

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use socket2::Socket;

use crate::{
    Outcome,
    observer::number,
    shared_run::{Play, in_the_report, in_the_window},
    socket_kinds::{inode, listen},
};

/// Connections that are accepted.
const ACCEPTED: u64 = 3;
/// Connections that are in the queue when it closes.
const LEFT: u64 = 5;

fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // A client that gets no reset must not be waited for.
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Whether the kernel has reset this connection.
fn is_reset(mut client: TcpStream) -> Outcome {
    match client.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => bail!("no reset: {other:?}"),
    }
}

/// The queue's books: what came in went out, or is still there.
pub fn adds_up(one: &Value) -> Outcome {
    let of = |count: &Value| number(count);
    let (queued, accepted) = (of(&one["queued"])?, of(&one["accepted"])?);
    let discarded = of(&one["discarded"])?;
    let now = one["accept_queue"]["now"].as_u64().unwrap_or(0);
    ensure!(queued == accepted + discarded + now, "{queued} queued: {one}");
    Ok(())
}

/// Closes a listener, or makes it a listener no more, with connections in its queue.
fn play(end: fn(Socket) -> anyhow::Result<Option<Socket>>) -> anyhow::Result<Play> {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    in_the_window(move || {
        let inode = inode(&socket)?;
        for _ in 0..ACCEPTED {
            let client = connect(address.port())?;
            drop((socket.accept()?, client));
        }
        let left = (0..LEFT).map(|_| connect(address.port())).collect::<Result<Vec<_>, _>>()?;
        let kept = end(socket)?;
        for client in left {
            is_reset(client)?;
        }
        in_the_report(move |report| {
            let all = report["listeners"].as_array().context("listeners")?;
            let one = all.iter().find(|one| one["inode"] == inode).context("it is not there")?;
            ensure!(one["discarded"] == LEFT && one["accepted"] == ACCEPTED, "{one}");
            ensure!(one["closed"] == true, "{one}");
            drop(kept);
            adds_up(one)
        })
    })
}

pub fn by_close() -> anyhow::Result<Play> {
    play(|socket| {
        drop(socket);
        Ok(None)
    })
}

/// A listener of which the reading end is shut down is a listener no more (`tcp_disconnect`).
pub fn by_shutdown() -> anyhow::Result<Play> {
    play(|socket| {
        socket.shutdown(Shutdown::Read)?;
        Ok(Some(socket))
    })
}
