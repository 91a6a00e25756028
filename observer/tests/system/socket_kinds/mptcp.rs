//! Multipath TCP: tasks wait for the connection-level sock, the queue is the subflow's. Both are one
//! listener.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::server::{Server, check, connect, listen, wait_and_reset};
use crate::{
    Need, Test,
    shared_run::{Play, in_the_report, in_the_window},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("socket_kinds::mptcp_with_plain_clients", Need::Also(lacking), || {
            mptcp(false)
        }),
        Test::together("socket_kinds::mptcp_with_mptcp_clients", Need::Also(lacking), || {
            mptcp(true)
        }),
    ]
}

/// Why there is no MPTCP here.
fn lacking() -> Option<String> {
    let made = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
    made.err().map(|error| format!("no MPTCP: {error}"))
}

fn mptcp(client: bool) -> anyhow::Result<Play> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (socket, address) = listen(any, Some(Protocol::MPTCP), |_| Ok(()))?;
    let server = Server::start(vec![socket], 10);
    in_the_window(move || {
        for _ in 0..10 {
            if client {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))?;
                socket.connect(&address.into())?;
                wait_and_reset(&socket)?;
            } else {
                connect(address)?;
            }
        }
        let (tallies, listening) = server.join()?;
        in_the_report(move |report| {
            check(report, &tallies[0])?;
            report.only_on_port(address.port())?;
            drop(listening);
            Ok(())
        })
    })
}
