//! Many listeners: at once, and one after the other.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{
    figure, nothing_lost,
    role::{AGAIN, connections_of, room},
    watching::{Often, Watching},
};
use crate::{Outcome, Skip, observer::number, role::Actor};

const AT_ONCE: u64 = 10_000;
const ONE_AFTER_THE_OTHER: u64 = 5_000;
const TOO_MANY: u64 = 2_000;

/// The listeners of a network namespace in a report.
pub fn in_namespace(report: &Value, netns: u64) -> anyhow::Result<Vec<&Value>> {
    let listeners = report["listeners"].as_array().context("listeners")?;
    Ok(listeners.iter().filter(|one| one["netns"] == netns).collect())
}

/// Each has connections of its own number, which the report must tell apart.
pub fn ten_thousand() -> Outcome {
    let (watched, netns, tally) = open(AT_ONCE, &[])?;
    let made: u64 = tally.values().sum();
    let found = in_namespace(watched.report()?, netns)?;
    figure("connections to 10,000 listeners", made, watched.sum("/accepted")?, &watched)?;
    ensure!(found.len() == tally.len(), "{} listeners in the report", found.len());
    for one in found {
        let expected = expected(one, &tally)?;
        ensure!(number(&one["accepted"])? == expected, "made {expected}: {one}");
        ensure!(number(&one["queued"])? == expected, "made {expected}: {one}");
        ensure!(one["closed"] == false && one["accept_queue"]["now"] == 0, "{one}");
    }
    nothing_lost(&watched)
}

/// Births and deaths, each with a connection in between: more of them than the kernel maps have room for
/// at once. One socket stays, and listens before all of them and again after them.
pub fn come_and_go() -> Outcome {
    let (watched, netns) = churn("load-come-and-go", ONE_AFTER_THE_OTHER)?;
    let (again, found): (Vec<_>, Vec<_>) =
        in_namespace(watched.report()?, netns)?.into_iter().partition(|one| one["port"] == AGAIN);
    let seen = found.len() as u64;
    figure("listeners that came and went", ONE_AFTER_THE_OTHER, seen, &watched)?;
    ensure!(seen == ONE_AFTER_THE_OTHER, "{seen} listeners");
    let [again] = again[..] else { bail!("one listened twice: {again:?}") };
    ensure!(again["closed"] == true, "it is gone: {again}");
    ensure!(again["accepted"] == 3 && again["queued"] == 3, "1 and 2 connections: {again}");
    for one in found {
        ensure!(one["closed"] == true, "it is gone: {one}");
        ensure!(one["accepted"] == 1 && one["queued"] == 1, "{one}");
    }
    nothing_lost(&watched)
}

/// Of those that find no room nothing is known, and that is never unsaid: each was counted at least once as one that
/// found a map full, and no audit closes.
pub fn without_room() -> Outcome {
    let (watched, netns, tally) = open(TOO_MANY, &["--max-listeners", "1000"])?;
    let report = watched.report()?;
    let mut seen = 0;
    for one in in_namespace(report, netns)? {
        let expected = expected(one, &tally)?;
        let (accepted, queued) = (&one["accepted"], &one["queued"]);
        ensure!(accepted == queued, "{one}");
        ensure!(accepted.is_null() || number(accepted)? == expected, "made {expected}: {one}");
        ensure!(one["incomplete"] == accepted.is_null(), "made {expected}: {one}");
        seen += u64::from(!accepted.is_null());
    }
    let full = number(&report["audit"]["map_full"])?;
    figure("listeners at once, room for 1,000", TOO_MANY, seen, &watched)?;
    ensure!(seen > 0 && seen < TOO_MANY, "there was room for {seen}");
    ensure!(full >= TOO_MANY - seen, "{seen} listeners, {full} found no room");
    ensure!(report["audit"]["closes"] != true, "the audit: {}", report["audit"]);
    Ok(())
}

/// Watches a role that says its network namespace, which is told, and then does something so often.
pub fn churn(role: &str, count: u64) -> anyhow::Result<(Watching, u64)> {
    let mut actor = Actor::start(role)?;
    let netns: u64 = actor.line()?.trim().parse()?;
    let pid = actor.pid().to_string();
    let mut watched = Watching::start(&["--pid", &pid], Often::InTheEnd)?;
    actor.ask(count)?;
    let made: u64 = actor.line()?.trim().parse()?;
    ensure!(made == count, "{made} were made");
    watched.end()?;
    Ok((watched, netns))
}

/// Watches listeners that are there at once, and stay: which network namespace they are in, and how many
/// connections came to each port.
fn open(count: u64, arguments: &[&str]) -> anyhow::Result<(Watching, u64, BTreeMap<u16, u64>)> {
    if room(count)? < count {
        return Err(Skip(format!("the limit on open files is too low for {count}")).into());
    }
    let mut actor = Actor::start("load-listeners")?;
    actor.ask(count)?;
    let netns: u64 = actor.line()?.trim().parse()?;
    let pid = actor.pid().to_string();
    let mut watched = Watching::start(&[&["--pid", &pid], arguments].concat(), Often::InTheEnd)?;
    actor.ask(0)?;
    let tally: BTreeMap<u16, u64> =
        serde_json::from_str::<Vec<(u16, u64)>>(&actor.line()?)?.into_iter().collect();
    let made: u64 = tally.values().sum();
    ensure!(tally.len() as u64 == count && made > count, "{} listeners", tally.len());
    ensure!(tally.values().any(|count| *count == connections_of(2)), "all have the same");
    watched.end()?;
    Ok((watched, netns, tally))
}

/// How many connections came to a listener of a report.
fn expected(one: &Value, tally: &BTreeMap<u16, u64>) -> anyhow::Result<u64> {
    let port = u16::try_from(number(&one["port"])?)?;
    tally.get(&port).copied().with_context(|| format!("nobody listens there: {one}"))
}
