//! Multipath TCP: tasks wait for the connection-level sock, the queue is the subflow's. Both are one
//! listener.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::ensure;
use socket2::{Domain, Protocol, Socket, Type};

use super::server::{Server, check, connect, listen, wait_and_reset};
use crate::{Need, Outcome, Test, observer::Observer};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("kinds::mptcp_with_plain_clients", Need::Also(lacking), || mptcp(false)),
        Test::new("kinds::mptcp_with_mptcp_clients", Need::Also(lacking), || mptcp(true)),
    ]
}

/// Why there is no MPTCP here.
fn lacking() -> Option<String> {
    let made = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
    made.err().map(|error| format!("no MPTCP: {error}"))
}

fn mptcp(client: bool) -> Outcome {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (socket, address) = listen(any, Some(Protocol::MPTCP), |_| Ok(()))?;
    let server = Server::start(vec![socket], 10);
    let observer = Observer::json(&["--port", &address.port().to_string()])?;
    for _ in 0..10 {
        if client {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))?;
            socket.connect(&address.into())?;
            wait_and_reset(&socket)?;
        } else {
            connect(address)?;
        }
    }
    let (tallies, _listening) = server.join()?;
    let report = observer.total()?;
    check(&report, &tallies[0])?;
    ensure!(report["listeners"].as_array().is_some_and(|all| all.len() == 1), "{report}");
    Ok(())
}
