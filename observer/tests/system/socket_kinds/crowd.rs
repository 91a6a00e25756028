//! Many listeners: one after the other in the same memory, and more than there is room for.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::server::{inode, listen, listener};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, number},
    role::{Actor, netns, own_netns, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("socket_kinds::a_sock_that_is_used_again_at_once", Need::Kernel, used_again),
        Test::new("socket_kinds::more_listeners_than_there_is_room_for", Need::Kernel, no_room),
    ]
}

/// How often a listener is closed and another opened.
const TIMES: u64 = 300;

/// One of them.
#[derive(Deserialize, Serialize)]
struct Life {
    inode: u64,
    accepted: u64,
    queued: u64,
    /// Its sock, as the kernel disguises its address: the same word for the same address.
    sock: String,
}

fn used_again() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-reopen")?;
    let netns: u64 = actor.line()?.trim().parse()?;
    in_the_window(move || {
        actor.next()?;
        let lives: Vec<Life> = serde_json::from_str(&actor.line()?)?;
        in_the_report(move |report| {
            let socks: BTreeSet<_> = lives.iter().map(|life| &life.sock).collect();
            ensure!(socks.len() < lives.len() / 2, "{} socks, {} lives", socks.len(), lives.len());
            for life in &lives {
                let one = listener(report, life.inode)?;
                let shown = (number(&one["accepted"])?, number(&one["queued"])?);
                ensure!(shown == (life.accepted, life.queued), "{shown:?} is wrong: {one}");
                ensure!(one["closed"] == true, "{one}");
            }
            let shown = report.all_in(netns)?.len();
            ensure!(shown == lives.len(), "{shown} listeners for {} lives", lives.len());
            ensure!(report["audit"]["map_full"] == 0, "{}", report["audit"]);
            drop(actor);
            Ok(())
        })
    })
}

/// The role: listeners one after the other, with connections that are accepted and others that are
/// left in the queue. In a network namespace of its own, where all listeners are these.
pub fn reopen() -> Outcome {
    own_netns()?;
    say(netns()?)?;
    wait_for_line()?;
    let mut lives = Vec::new();
    for time in 0..TIMES {
        let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
        let accepted = time % 3;
        for _ in 0..accepted {
            let client = TcpStream::connect(address)?;
            drop(socket.accept()?);
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        let left = (0..time % 2).map(|_| TcpStream::connect(address));
        let _left = left.collect::<Result<Vec<_>, _>>()?;
        let inode = inode(&socket)?;
        let sock = sock_with(inode, time % 2)?;
        lives.push(Life { inode, accepted, queued: accepted + time % 2, sock });
    }
    say(serde_json::to_string(&lives)?)?;
    wait_for_line()
}

/// What /proc/net/tcp shows of a listener's sock once so many connections wait in its queue: behind inode and count of
/// references. A client may have connected before the kernel has gone through its last packet, and a listener that
/// closes then never had that connection.
fn sock_with(inode: u64, waiting: u64) -> anyhow::Result<String> {
    let inode = inode.to_string();
    for _ in 0..10_000 {
        let text = fs::read_to_string("/proc/self/net/tcp")?;
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut of_it = lines.filter(|fields| fields.get(9) == Some(&inode.as_str()));
        let found = of_it.next().context("it is not in /proc/net/tcp")?;
        let (queues, sock) = found.get(4).zip(found.get(11)).context("fields are missing")?;
        let (_, queue) = queues.split_once(':').context("no queue")?;
        if u64::from_str_radix(queue, 16)? == waiting {
            return Ok((*sock).to_owned());
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("{waiting} connections do not come to wait in the queue")
}

fn no_room() -> Outcome {
    const ROOM: usize = 4;
    const CONNECTIONS: u64 = 3;
    let made = (0..ROOM * 2).map(|_| listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(())));
    let sockets = made.collect::<anyhow::Result<Vec<_>>>()?;
    let ports: Vec<_> =
        sockets.iter().flat_map(|(_, at)| ["--port".to_owned(), at.port().to_string()]).collect();
    let mut arguments = vec!["--max-listeners", "4"];
    arguments.extend(ports.iter().map(String::as_str));
    // One report, at the end.
    let table = Observer::start(&[arguments.as_slice(), &["--duration", "1h"]].concat())?;
    let observer = Observer::json(&arguments)?;
    for (socket, address) in &sockets {
        for _ in 0..CONNECTIONS {
            let client = TcpStream::connect(address)?;
            drop(socket.accept()?);
            drop(client);
        }
    }
    let report = observer.total()?;
    let mut whole = 0;
    for (socket, _) in &sockets {
        let one = listener(&report, inode(socket)?)?;
        match (one["queued"].as_u64(), one["accepted"].as_u64()) {
            (Some(CONNECTIONS), Some(CONNECTIONS)) if one["incomplete"] == false => whole += 1,
            (None, None) if one["incomplete"] == true => {}
            other => bail!("{other:?} is neither all nor nothing: {one}"),
        }
    }
    // Another listener of this machine may have taken a place.
    ensure!(whole <= ROOM, "{whole} listeners found room where there is room for {ROOM}");
    let lacking = u64::try_from(sockets.len() - whole)?;
    // Each connection finds none at least when it is queued and when it is accepted.
    let full = number(&report["audit"]["map_full"])?;
    ensure!(full >= lacking * CONNECTIONS * 2, "map_full {full} with {lacking} left out");
    table.signal(Signal::SIGINT)?;
    let ended = table.wait()?;
    let said = ended.stdout.lines().filter(|line| line.contains("found no room in a kernel map"));
    ensure!(said.count() == 1, "not said in one line: {}", ended.stdout);
    Ok(())
}
