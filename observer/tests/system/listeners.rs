//! `observer listeners` against `ss`, row by row.

mod host;
mod ss;

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

pub use self::host::play;
use self::{
    host::{ListenHost, NOBODY},
    ss::compare,
};
use crate::{
    Need, Outcome, Test,
    observer::{number, on_port, only_on_port},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("listeners::every_kind_is_what_ss_shows", Need::Ss, every_kind),
        Test::new("listeners::two_namespaces_with_one_port", Need::Ss, two_namespaces),
        Test::new("listeners::syn_queues_are_told_apart", Need::Ss, syn_queues),
        Test::new("listeners::holders_and_how_they_wait", Need::Ss, holders),
        Test::new("listeners::drops_and_a_full_queue", Need::Ss, full),
        Test::new("listeners::filters_are_those_of_watching", Need::Ss, filters),
        Test::new("listeners::without_root", Need::Ss, without_root),
        Test::new("listeners::the_table_fits", Need::Ss, table),
        Test::new("listeners::two_thousand_in_twenty_namespaces", Need::Ss, many),
    ]
}

fn every_kind() -> Outcome {
    let host = ListenHost::start(&[
        "127.0.0.1:0 backlog=7",
        "0.0.0.0:0 backlog=1000000",
        "[::1]:0 backlog=0",
        "[::]:0 backlog=3",
        "[::]:0 v6only fastopen=16",
        "[::ffff:127.0.0.1]:0",
        "127.0.0.1:0 defer=5 share",
        "0.0.0.0:7001 reuseport",
        "0.0.0.0:7001 reuseport",
        "127.0.0.1:7001 reuseport",
        "127.0.0.1:0 interface=lo",
    ])?;
    let all = host.observer(&[])?;
    let seen = compare(&all, &host)?;
    ensure!(seen == 11, "{seen} listeners");
    let at = |index: usize| only_on_port(&all, host.ports[index]);
    let somaxconn = number(&at(1)?["backlog"]["somaxconn"])?;
    ensure!(at(1)?["backlog"]["limit"] == somaxconn, "{}", at(1)?);
    for (index, at_somaxconn) in [(0, false), (1, true)] {
        let backlog = &at(index)?["backlog"];
        // Without a look at the call, nothing says what was requested.
        ensure!(
            backlog["at_somaxconn"] == at_somaxconn
                && backlog["requested"].is_null()
                && backlog["clamped"].is_null(),
            "{backlog}"
        );
        // At somaxconn, another call gets no more.
        let stale = if at_somaxconn { Value::Bool(false) } else { Value::Null };
        ensure!(backlog["stale"] == stale, "{backlog}");
    }
    ensure!(at(4)?["v6only"] == true && at(4)?["fastopen"] == 16, "{}", at(4)?);
    ensure!(at(3)?["v6only"] == false && at(3)?["fastopen"] == 0, "{}", at(3)?);
    // The kernel keeps a number of retransmissions, and tells the time that they take.
    ensure!(number(&at(6)?["defer_accept"])? >= 5, "{}", at(6)?);
    ensure!(at(0)?["defer_accept"] == 0 && at(0)?["reuseport"] == false, "{}", at(0)?);
    let group: Vec<&Value> =
        on_port(&all, 7001).into_iter().filter(|one| one["address"] == "0.0.0.0").collect();
    ensure!(group.len() == 2, "{all}");
    for one in &group {
        ensure!(one["reuseport"] == true && one["reuseport_group"]["size"] == 2, "{one}");
        ensure!(one["reuseport_group"] == group[0]["reuseport_group"], "{one}");
    }
    host.end()
}

fn two_namespaces() -> Outcome {
    let one = ListenHost::start(&["0.0.0.0:7002 backlog=5 fill=2"])?;
    let other = ListenHost::start(&["0.0.0.0:7002 backlog=6 fill=1"])?;
    let all = one.observer(&["--port", "7002"])?;
    ensure!(compare(&all, &one)? == 1 && compare(&all, &other)? == 1, "{all}");
    let queues: BTreeMap<u64, &Value> = on_port(&all, 7002)
        .into_iter()
        .map(|found| Ok((number(&found["netns"])?, &found["accept_queue"])))
        .collect::<anyhow::Result<_>>()?;
    ensure!(
        *queues[&one.netns] == json!({"now": 2, "limit": 5, "used_percent": 40.0}),
        "{queues:?}"
    );
    ensure!(
        *queues[&other.netns] == json!({"now": 1, "limit": 6, "used_percent": 16.7}),
        "{queues:?}"
    );
    one.end()?;
    other.end()
}

/// TCP_DEFER_ACCEPT leaves requests in the SYN queue for as long as the client says nothing.
fn syn_queues() -> Outcome {
    let host = ListenHost::start(&[
        // Every address and one of them, on one port: the more specific one takes it.
        "0.0.0.0:7003 reuseport defer=60 fill=2",
        "127.0.0.2:7003 reuseport defer=60 fill=3",
        // Both families, with clients of both.
        "[::]:7004 defer=60 fill=1 fill4=4",
        "0.0.0.0:7005 reuseport defer=60",
        "0.0.0.0:7005 reuseport defer=60 fill=1",
        "0.0.0.0:7006 reuseport defer=60",
        "0.0.0.0:7006 reuseport defer=60",
        "[::]:7007 v6only defer=60 fill=2",
        "0.0.0.0:7007 defer=60 fill=1",
    ])?;
    let all = ss::steady(&host)?;
    let waiting = |port, address: &str| -> anyhow::Result<Vec<Value>> {
        let of = on_port(&all, port).into_iter().filter(|one| one["address"] == address);
        Ok(of.map(|one| one["syn_queue"]["now"].clone()).collect())
    };
    for (port, address, expected) in [
        (7003, "0.0.0.0", vec![json!(2)]),
        (7003, "127.0.0.2", vec![json!(3)]),
        (7004, "::", vec![json!(5)]),
        // Which of the two it waits at is nowhere to be seen.
        (7005, "0.0.0.0", vec![Value::Null, Value::Null]),
        (7006, "0.0.0.0", vec![json!(0), json!(0)]),
        (7007, "::", vec![json!(2)]),
        (7007, "0.0.0.0", vec![json!(1)]),
    ] {
        let found = waiting(port, address)?;
        ensure!(found == expected, "{address}:{port}: {found:?}");
    }
    let by_ss = host.syn_recv()?;
    let expected = BTreeMap::from([(7003, 5), (7004, 5), (7005, 1), (7007, 3)]);
    ensure!(by_ss == expected, "ss shows {by_ss:?}");
    host.end()
}

fn holders() -> Outcome {
    let host = ListenHost::start(&[
        "127.0.0.1:0 epoll",
        "127.0.0.1:0 exclusive",
        "127.0.0.1:0 accept",
        "127.0.0.1:0 share",
        "127.0.0.1:0",
        "127.0.0.1:0 watched",
    ])?;
    let all = host.observer(&["--pid", &host.pid.to_string()])?;
    ensure!(compare(&all, &host)? == 6, "{all}");
    let waits = ["epoll", "epoll-exclusive", "accept"].map(Value::from);
    // That an epoll instance watches the last one does not say that anybody waits on it.
    let unknown = [Value::Null, Value::Null, Value::Null];
    for (index, expected) in waits.into_iter().chain(unknown).enumerate() {
        let one = only_on_port(&all, host.ports[index])?;
        let holders = one["holders"].as_array().context("holders")?;
        // Threads are one holder, processes are two.
        let processes = if index == 3 { 2 } else { 1 };
        ensure!(holders.len() == processes, "{one}");
        ensure!(holders.iter().any(|holder| holder["pid"] == host.pid), "{one}");
        ensure!(holders.iter().all(|holder| holder["wait"] == expected), "{one}");
    }
    host.end()
}

/// The queue of a backlog of one holds two; each further SYN is a refusal.
fn full() -> Outcome {
    let host = ListenHost::start(&["127.0.0.1:0 backlog=1 fill=2 try=1"])?;
    let all = ss::steady(&host)?;
    let one = only_on_port(&all, host.ports[0])?;
    ensure!(one["accept_queue"] == json!({"now": 2, "limit": 1, "used_percent": 200.0}), "{one}");
    ensure!(number(&one["drops"]["total"])? >= 1, "{one}");
    ensure!(one["drops"]["by_reason"].is_null(), "{one}");
    host.end()
}

fn filters() -> Outcome {
    let one = ListenHost::start(&["127.0.0.1:7008", "127.0.0.1:7009"])?;
    let other = ListenHost::start(&["127.0.0.1:7008"])?;
    let ports = |arguments: &[&str]| -> anyhow::Result<Vec<(u64, u64)>> {
        let all = one.observer(arguments)?;
        let listeners = all["listeners"].as_array().context("listeners")?;
        listeners
            .iter()
            .map(|found| Ok((number(&found["netns"])?, number(&found["port"])?)))
            .collect()
    };
    let (pid, comm) = (one.pid.to_string(), one.comm()?);
    let mut both = vec![(one.netns, 7008), (other.netns, 7008)];
    both.sort_unstable();
    ensure!(ports(&["--port", "7008"])? == both);
    ensure!(ports(&["--pid", &pid])? == [(one.netns, 7008), (one.netns, 7009)]);
    ensure!(ports(&["--pid", &pid, "--port", "7009"])? == [(one.netns, 7009)]);
    ensure!(ports(&["--comm", &comm, "--port", "7008"])? == both);
    ensure!(ports(&["--comm", "nobody-has-it"])?.is_empty());
    let gone = crate::observer::run(&["listeners", "--pid", "4194303"])?;
    ensure!(gone.status.code() == Some(1) && gone.stdout.is_empty(), "{gone:?}");
    one.end()?;
    other.end()
}

/// What one user may see: every listener of the own namespace, the holders of the own processes.
fn without_root() -> Outcome {
    let host = ListenHost::start(&["127.0.0.1:7010 fill=1", "uid=65534", "127.0.0.1:7011"])?;
    let seen = host.observer_as(NOBODY, &[])?;
    ensure!(ss::compare_as(NOBODY, &seen, &host)? == 2, "{seen}");
    // The first was opened as root, but the process that holds it is the user's own.
    let one = only_on_port(&seen, 7010)?;
    ensure!(one["uid"] == 0 && one["holders"][0]["pid"] == host.pid, "{one}");
    let stranger = ListenHost::start(&["127.0.0.1:7012"])?;
    let seen = stranger.observer_as(NOBODY, &[])?;
    ensure!(ss::compare_as(NOBODY, &seen, &stranger)? == 1, "{seen}");
    let one = only_on_port(&seen, 7012)?;
    ensure!(one["holders"].is_null(), "{one}");
    for name in ["reuseport", "defer_accept", "fastopen"] {
        ensure!(one[name].is_null(), "{name}: {one}");
    }
    ensure!(number(&seen["left_out"]["processes"])? > 0, "{}", seen["left_out"]);
    let table = stranger.table_as(NOBODY, 100, &[])?;
    ensure!(table.contains("could not be looked into"), "{table}");
    host.end()?;
    stranger.end()
}

fn table() -> Outcome {
    let host = ListenHost::start(&["0.0.0.0:7013 fill=2", "[::1]:7014 share", "[::]:7015 v6only"])?;
    for columns in [40, 80, 200] {
        let text = host.table_as(0, columns, &["--pid", &host.pid.to_string()])?;
        for row in ["*:7013", "[::1]:7014", "[::]:7015", " 2/128"] {
            ensure!(text.contains(row), "{row} at {columns}: {text}");
        }
        ensure!(!text.contains('\x1b'), "escape codes in a pipe: {text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        ensure!(widest <= columns, "{widest} columns in {columns}: {text}");
    }
    host.end()
}

fn many() -> Outcome {
    const NAMESPACES: usize = 20;
    const LISTENERS: usize = 100;
    let mut hosts = Vec::new();
    for _ in 0..NAMESPACES {
        hosts.push(ListenHost::start(&["127.0.0.1:0 fill=1"; LISTENERS])?);
    }
    let cpu = || -> anyhow::Result<i64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        Ok([usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
            .iter()
            .sum())
    };
    let before = cpu()?;
    let all = hosts[0].observer(&[])?;
    let took = cpu()? - before;
    let mut seen = 0;
    for host in &hosts {
        seen += compare(&all, host)?;
    }
    ensure!(seen == NAMESPACES * LISTENERS, "{seen} listeners");
    eprintln!("{seen} listeners in {NAMESPACES} namespaces took {} ms of CPU", took / 1_000);
    hosts.into_iter().try_for_each(ListenHost::end)
}
