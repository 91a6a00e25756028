//! Noise beside a listener: another server's threads, and another process's listeners. What is counted of
//! one is its own, whatever the others need.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    figure,
    many::in_namespace,
    role::room,
    watching::{Often, Watching},
};
use crate::{Outcome, Skip, observer::number, role::Actor};

/// Short-lived threads of the other server: more than are told by their names (`bpf/archive.rs`).
const LIVES: u64 = 10_000;

/// Listeners of the other process: more than there is room for beside those that were there before
/// (`plan::room`).
const LISTENERS: u64 = 2_000;

/// Listeners that begin and end without a connection in one round: 25 times what there is room for at once.
const IDLE_LIVES: u64 = 25_000;

/// Rounds in each half. How many rows are in the kernel's map when observer reads it differs from round to round, by some
/// hundred pages of what is resident.
const ROUNDS: u64 = 3;

/// What observer may have more resident after each round of the second half than it had after one of the first, in pages of
/// 4 KiB: what the allocator does with the rows of a reading. Eighty bytes for each life of a round would be more.
const MORE_PAGES_OF_LIVES: u64 = 480;

/// Workers that ended are told by their names, although another server's end by the thousand; those are in
/// the row of the others of their own listener.
pub fn threads() -> Outcome {
    let mut shift = Actor::start("load-shift")?;
    let netns: u64 = shift.line()?.trim().parse()?;
    let mut rush = Actor::start("load-rush")?;
    let noisy: u64 = rush.line()?.trim().parse()?;
    let pids = [shift.pid().to_string(), rush.pid().to_string()];
    let mut watched = Watching::start(&["--pid", &pids[0], "--pid", &pids[1]], Often::InTheEnd)?;
    shift.ask(0)?;
    shift.line()?;
    rush.ask(LIVES)?;
    let made: u64 = rush.line()?.trim().parse()?;
    ensure!(made == LIVES, "{made} were made");
    watched.end()?;
    let one = only(&watched, netns)?;
    figure("short-lived threads of a neighbour", LIVES, number(&one["accepted"])?, &watched)?;
    let accepted = accepted_by(one)?;
    let own: Vec<_> =
        accepted.iter().map(|(pid, count)| (*pid == Some(shift.pid().into()), *count)).collect();
    let expected = [14, 12, 10, 8, 0, 0, 0].map(|count| (true, count));
    ensure!(own == expected, "fairness {}, workers {accepted:?}", one["fairness"]);
    // (8 + 10 + 12 + 14)² / (7 · (8² + 10² + 12² + 14²))
    let fairness = one["fairness"].as_f64().context("fairness is not known")?;
    ensure!((fairness - 1936.0 / 3528.0).abs() < 1e-9, "fairness {fairness}");
    let other = only(&watched, noisy)?;
    ensure!(other["accepted"] == LIVES && other["fairness"].is_null(), "{}", other["fairness"]);
    ensure!(accepted_by(other)?.iter().any(|(pid, _)| pid.is_none()), "nobody was folded");
    Ok(())
}

/// What is there when observer begins has its room, whoever takes the rest: another process's listeners. One that begins
/// when there is none left is not known, and said so.
pub fn listeners() -> Outcome {
    if room(LISTENERS)? < LISTENERS {
        return Err(Skip(format!("the limit on open files is too low for {LISTENERS}")).into());
    }
    let listening = |count| -> anyhow::Result<(Actor, u64)> {
        let mut actor = Actor::start("load-listeners")?;
        actor.ask(count)?;
        let netns = actor.line()?.trim().parse()?;
        Ok((actor, netns))
    };
    let (mut first, netns_of_first) = listening(1)?;
    let mut late = Actor::start("load-listeners")?;
    let watch =
        |actor: &Actor| Watching::start(&["--pid", &actor.pid().to_string()], Often::InTheEnd);
    let (mut of_first, mut of_late) = (watch(&first)?, watch(&late)?);
    let go_on = |actor: &mut Actor| -> Outcome {
        actor.ask(0)?;
        actor.line()?;
        Ok(())
    };
    // All that could be had for the asking is taken before anything happens on the first.
    let (mut others, _) = listening(LISTENERS)?;
    go_on(&mut others)?;
    go_on(&mut first)?;
    late.ask(1)?;
    let netns_of_late: u64 = late.line()?.trim().parse()?;
    go_on(&mut late)?;
    of_first.end()?;
    of_late.end()?;
    let one = only(&of_first, netns_of_first)?;
    figure("connections beside 2,000 listeners", 1, number(&one["accepted"])?, &of_first)?;
    // Which is exact by every hook that this machine has.
    let exact = |watched: &Watching| -> anyhow::Result<bool> {
        Ok(watched.report()?["providers"]["handshakes"]["exact"] == true)
    };
    let audit = &of_first.report()?["audit"];
    ensure!(number(&audit["map_full"])? > 0, "there was room for all: {audit}");
    ensure!(one["accepted"] == 1 && one["queued"] == 1 && one["incomplete"] == false, "{one}");
    ensure!(audit["incomplete"] == 0 && audit["closes"] != false, "{audit}");
    ensure!(audit["no_room"]["listeners"] == audit["map_full"], "{audit}");
    ensure!(exact(&of_first)?, "{}", of_first.report()?["providers"]);

    let one = only(&of_late, netns_of_late)?;
    let audit = &of_late.report()?["audit"];
    ensure!(one["accepted"].is_null() && one["queued"].is_null(), "it found room: {one}");
    ensure!(one["wakeups"].is_null() && one["accept_queue"]["max"].is_null(), "{one}");
    ensure!(one["incomplete"] == true, "not said: {one}");
    ensure!(audit["incomplete"] == 1 && audit["closes"] != true, "{audit}");
    ensure!(!exact(&of_late)?, "{}", of_late.report()?["providers"]);
    Ok(())
}

/// Listeners that another process opens and closes, to which nobody connects, take no room that a busy one needs: not
/// from one that was there before, and not from one that begins among them.
pub fn lives() -> Outcome {
    let mut busy = Actor::start("load-listeners")?;
    busy.ask(1)?;
    let netns: u64 = busy.line()?.trim().parse()?;
    let mut late = Actor::start("load-listeners")?;
    let mut noise = Actor::start("load-idle-lives")?;
    let pids = [busy.pid().to_string(), late.pid().to_string()];
    let mut watched =
        Watching::start(&["--pid", &pids[0], "--pid", &pids[1]], Often::TwiceASecond)?;
    let mut made = 0;
    let mut round = |watched: &mut Watching| -> anyhow::Result<u64> {
        noise.ask(IDLE_LIVES)?;
        made += noise.line()?.trim().parse::<u64>()?;
        watched.pages_now()
    };
    let mut before = round(&mut watched)?;
    late.ask(1)?;
    let netns_of_late: u64 = late.line()?.trim().parse()?;
    for actor in [&mut busy, &mut late] {
        actor.ask(0)?;
        actor.line()?;
    }
    for _ in 1..ROUNDS {
        before = before.max(round(&mut watched)?);
    }
    let mut after = u64::MAX;
    for _ in 0..ROUNDS {
        after = after.min(round(&mut watched)?);
    }
    watched.end()?;
    let lives = IDLE_LIVES * 2 * ROUNDS;
    figure("listeners without connections that came and went", lives, made, &watched)?;
    let audit = &watched.report()?["audit"];
    for netns in [netns, netns_of_late] {
        let one = only(&watched, netns)?;
        ensure!(one["accepted"] == 1 && one["queued"] == 1 && one["incomplete"] == false, "{one}");
    }
    let no_room = &audit["no_room"];
    ensure!(no_room["listeners"] == 0 && audit["incomplete"] == 0, "{audit}");
    ensure!(
        after <= before + MORE_PAGES_OF_LIVES,
        "at most {before} pages in a half, at least {after} in the other"
    );
    Ok(())
}

/// Reports that met ends of threads in each of their readings say so, and the total is of one moment.
pub fn readings() -> Outcome {
    let mut rush = Actor::start("load-rush")?;
    let netns: u64 = rush.line()?.trim().parse()?;
    let pid = rush.pid().to_string();
    let mut watched = Watching::start(&["--pid", &pid], Often::TwiceASecond)?;
    rush.ask(LIVES)?;
    let made: u64 = rush.line()?.trim().parse()?;
    watched.end()?;
    let one = only(&watched, netns)?;
    figure("ends of threads while they are read", made, watched.unsettled, &watched)?;
    ensure!(watched.unsettled > 0, "each reading was of one moment");
    let audit = &watched.report()?["audit"];
    ensure!(one["accepted"] == made && audit["unsettled"] == 0, "{audit}");
    Ok(())
}

fn only(watched: &Watching, netns: u64) -> anyhow::Result<&Value> {
    let found = in_namespace(watched.report()?, netns)?;
    ensure!(found.len() == 1, "{} listeners in {netns}", found.len());
    Ok(found[0])
}

/// Whose connections they were: process ids, `None` for the row of the others.
fn accepted_by(listener: &Value) -> anyhow::Result<Vec<(Option<u64>, u64)>> {
    let workers = listener["workers"].as_array().context("workers")?;
    workers.iter().map(|one| Ok((one["pid"].as_u64(), number(&one["accepted"])?))).collect()
}
