//! What `ss` shows, and the comparison with it.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::host::ListenHost;

/// One line of `ss`, and what observer must show of the same socket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    address: String,
    port: u64,
    ipv6: bool,
    v6only: bool,
    bound: bool,
    queue: u64,
    limit: u64,
    uid: u64,
    cookie: u64,
    drops: u64,
    /// Name, process and descriptor.
    holders: Vec<(String, u64, i64)>,
}

/// Compares every listener of the namespace, as root sees them, and says how many there are.
pub fn compare(seen: &Value, host: &ListenHost) -> anyhow::Result<usize> {
    compare_as(0, seen, host)
}

/// The same as another user sees them.
pub fn compare_as(uid: u32, seen: &Value, host: &ListenHost) -> anyhow::Result<usize> {
    compare_rows(&rows(uid, host)?, seen, host)
}

/// What observer shows at a moment when nothing changes: where clients try again, a counter can move
/// between two looks, so `ss` looks before and after.
pub fn steady(host: &ListenHost) -> anyhow::Result<Value> {
    for _ in 0..20 {
        let before = rows(0, host)?;
        let seen = host.observer(&[])?;
        if before == rows(0, host)? {
            compare_rows(&before, &seen, host)?;
            return Ok(seen);
        }
    }
    bail!("what ss shows changed at every look")
}

fn rows(uid: u32, host: &ListenHost) -> anyhow::Result<BTreeMap<u64, Row>> {
    let mut command = Command::new("ss");
    command.args(["-ltnpemOH"]);
    String::from_utf8(host.run(uid, command)?.stdout)?
        .lines()
        .map(|line| parse(line).with_context(|| format!("cannot read ss: {line}")))
        .collect()
}

fn compare_rows(
    theirs: &BTreeMap<u64, Row>,
    seen: &Value,
    host: &ListenHost,
) -> anyhow::Result<usize> {
    let listeners = seen["listeners"].as_array().context("listeners")?;
    let ours = listeners
        .iter()
        .filter(|one| one["netns"] == host.netns)
        .map(|one| of_observer(one).with_context(|| format!("cannot read {one}")))
        .collect::<anyhow::Result<BTreeMap<u64, Row>>>()?;
    for (inode, row) in theirs {
        ensure!(ours.get(inode) == Some(row), "ss: {row:#?}\nobserver: {:#?}", ours.get(inode));
    }
    ensure!(ours.len() == theirs.len(), "{} rows, ss has {}", ours.len(), theirs.len());
    Ok(ours.len())
}

fn of_observer(one: &Value) -> anyhow::Result<(u64, Row)> {
    let number = |value: &Value| value.as_u64().with_context(|| format!("no number: {value}"));
    let mut holders = Vec::new();
    for holder in one["holders"].as_array().into_iter().flatten() {
        let comm = holder["comm"].as_str().context("comm")?.to_owned();
        holders.push((comm, number(&holder["pid"])?, holder["fd"].as_i64().context("fd")?));
    }
    holders.sort();
    let row = Row {
        address: one["address"].as_str().context("address")?.to_owned(),
        port: number(&one["port"])?,
        ipv6: one["family"] == "ipv6",
        v6only: one["v6only"] == true,
        bound: number(&one["interface"])? != 0,
        queue: number(&one["accept_queue"]["now"])?,
        limit: number(&one["accept_queue"]["limit"])?,
        uid: number(&one["uid"])?,
        cookie: number(&one["cookie"])?,
        drops: number(&one["drops"]["total"])?,
        holders,
    };
    ensure!(one["backlog"]["limit"] == row.limit, "two limits");
    Ok((number(&one["inode"])?, row))
}

/// `LISTEN 2 128 [::1]:80 [::]:* users:(("a",pid=7,fd=3)) uid:1 ino:5 sk:a v6only:1 skmem:(r0,…,d0)`
fn parse(line: &str) -> anyhow::Result<(u64, Row)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = |index: usize| words.get(index).copied().context("too few words");
    let after = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    ensure!(word(0)? == "LISTEN", "not a listener");
    let (host, port) = word(3)?.rsplit_once(':').context("no port")?;
    let (host, device) = match host.split_once('%') {
        Some((host, device)) => (host, Some(device)),
        None => (host, None),
    };
    let bare = host.trim_matches(['[', ']']);
    // `*` is both families, `[::]` IPv6 alone.
    let address = if bare == "*" { "::" } else { bare };
    let memory = after("skmem:(").context("no skmem")?.trim_end_matches(')');
    let drops = memory.rsplit_once(",d").context("no drops")?.1;
    let row = Row {
        address: address.to_owned(),
        port: port.parse()?,
        ipv6: address.contains(':'),
        v6only: after("v6only:") == Some("1"),
        bound: device.is_some(),
        queue: word(1)?.parse()?,
        limit: word(2)?.parse()?,
        uid: after("uid:").map_or(Ok(0), str::parse)?,
        cookie: u64::from_str_radix(after("sk:").context("no cookie")?, 16)?,
        drops: drops.parse()?,
        holders: users(line)?,
    };
    Ok((after("ino:").context("no inode")?.parse()?, row))
}

/// Names may hold anything but are quoted; those of the tests hold no quote.
fn users(line: &str) -> anyhow::Result<Vec<(String, u64, i64)>> {
    let Some((_, list)) = line.split_once("users:((") else { return Ok(Vec::new()) };
    let list = list.split_once("))").context("an open list")?.0;
    let mut users = Vec::new();
    for one in list.split("),(") {
        let (comm, numbers) = one.rsplit_once("\",pid=").context("no pid")?;
        let (pid, fd) = numbers.split_once(",fd=").context("no fd")?;
        users.push((comm.trim_start_matches('"').to_owned(), pid.parse()?, fd.parse()?));
    }
    users.sort();
    Ok(users)
}
