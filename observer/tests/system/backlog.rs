//! Limits that `listen()` cut down to somaxconn, which was raised since: what is known of them, and
//! what is not.

use std::{fs, net::Ipv4Addr};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::{
    Need, Outcome, Test,
    observer::{on_port, run},
    role::{Actor, netns, own_netns, say, wait_for_line},
    schema::parse_listeners,
    shared_run::{Play, in_the_report, in_the_window},
};

/// Its limit was cut down to 16 before the window: nothing tells.
const UNSEEN: u16 = 7201;
/// Its limit is 128, as somaxconn was when the window began.
const DOUBTFUL: u16 = 7202;
/// Its limit is cut down to 16 in the window.
pub const SEEN: u16 = 7203;
/// Its limit is what was requested in the window, the somaxconn of then.
pub const WHOLE: u16 = 7204;

pub fn tests() -> Vec<Test> {
    vec![Test::together(
        "backlog::what_was_requested_is_known_or_null",
        Need::Kernel,
        known_or_null,
    )]
}

fn known_or_null() -> anyhow::Result<Play> {
    let mut actor = Actor::start("backlog")?;
    let netns: u64 = actor.line()?.trim().parse()?;
    in_the_window(move || {
        actor.next()?;
        actor.line()?;
        in_the_report(move |report| {
            for (port, limit, requested, clamped, stale, maybe_clamped) in [
                (UNSEEN, 16, Value::Null, Value::Null, Value::Null, false),
                (DOUBTFUL, 128, Value::Null, Value::Null, Value::Null, true),
                (SEEN, 16, json!(1024), json!(true), json!(true), false),
                (WHOLE, 16, json!(16), json!(false), json!(false), false),
            ] {
                let backlog = &report.only_in(netns, port)?["backlog"];
                for (name, expected) in [
                    ("limit", json!(limit)),
                    ("somaxconn", json!(4096)),
                    ("requested", requested),
                    ("clamped", clamped),
                    ("stale", stale),
                    ("maybe_clamped", json!(maybe_clamped)),
                ] {
                    let value = backlog.get(name).context(name)?;
                    ensure!(*value == expected, "{port}: {name} is not {expected}: {backlog}");
                }
            }
            still(&actor)
        })
    })
}

/// The picture without kernel programs never knows what was requested.
fn still(actor: &Actor) -> Outcome {
    let pid = actor.pid().to_string();
    let said = run(&["listeners", "--pid", &pid, "--format", "json"])?;
    let picture = parse_listeners(str::from_utf8(&said.stdout)?)?;
    for (port, maybe_clamped) in [(UNSEEN, false), (DOUBTFUL, true), (SEEN, false), (WHOLE, false)]
    {
        let found = on_port(&picture, port);
        let backlog = &found.first().with_context(|| format!("no {port}: {picture}"))?["backlog"];
        for name in ["requested", "clamped", "stale"] {
            ensure!(backlog.get(name) == Some(&Value::Null), "{port}: {name}: {backlog}");
        }
        ensure!(backlog["maybe_clamped"] == maybe_clamped, "{port}: {backlog}");
    }
    let said = run(&["listeners", "--pid", &pid])?;
    let table = String::from_utf8_lossy(&said.stdout);
    let doubt = "1 limit equals an earlier or usual net.core.somaxconn (128)";
    ensure!(table.contains(doubt), "the doubt is not told: {table}");
    Ok(())
}

/// The role: listeners under a somaxconn that changes, in a network namespace of its own.
pub fn play() -> Outcome {
    own_netns()?;
    let under = |somaxconn: u32| fs::write("/proc/sys/net/core/somaxconn", somaxconn.to_string());
    under(16)?;
    let _unseen = listen(UNSEEN, 1024)?;
    under(128)?;
    let _doubtful = listen(DOUBTFUL, 128)?;
    say(netns()?)?;
    wait_for_line()?;
    under(16)?;
    let _seen = listen(SEEN, 1024)?;
    let _whole = listen(WHOLE, 16)?;
    under(4096)?;
    say("listening")?;
    wait_for_line()
}

fn listen(port: u16, backlog: i32) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(backlog)?;
    Ok(socket)
}
