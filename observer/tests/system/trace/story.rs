//! The story of each connection of a herd, against the workload's own tally.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use observer::model::{Connection, WakeupOutcome};

use super::window::{Told, Trace};
use crate::{
    Need, Outcome, Test,
    compare::{compare, compare_spaced},
    schema::parse_connection,
    workload::{Tally, Workload},
};

/// Workers of the herd, and connections that it meets asleep.
const WORKERS: u64 = 8;
const CONNECTIONS: u64 = 20;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("trace::the_story_of_a_herd_of_eight", Need::Kernel, story),
        Test::new("trace::the_story_reads_as_one", Need::Kernel, words),
        Test::new("trace::who_passed_a_wakeup_on_has_no_connection", Need::Kernel, chained),
    ]
}

/// What each worker did, by thread id: won, lost, silent.
type Deeds = BTreeMap<u32, [u64; 3]>;

fn herd(strategy: &str, workers: u64, more: &[&str]) -> anyhow::Result<(Told, Workload, Tally)> {
    let (workers, connections) = (workers.to_string(), CONNECTIONS.to_string());
    let arguments = ["--strategy", strategy, "--workers", &workers, "--connections", &connections];
    let mut workload = Workload::start(&[arguments.as_slice(), &["--netns"]].concat())?;
    let pid = workload.ready.pid.to_string();
    let trace = Trace::start(&[&["--pid", &pid, "--connection"], more].concat())?;
    let tally = workload.round()?;
    let told = trace.end()?;
    Ok((told, workload, tally))
}

fn stories(told: &Told) -> anyhow::Result<Vec<Connection>> {
    let story = |line: &str| Ok(serde_json::from_value(parse_connection(line)?)?);
    told.stdout.lines().map(story).collect()
}

/// What the woken tasks of stories did.
fn deeds(stories: &[Connection]) -> anyhow::Result<Deeds> {
    let mut deeds = Deeds::new();
    for woken in stories.iter().flat_map(|story| &story.woken) {
        let of_it = deeds.entry(woken.task.tid.context("a thread id")?).or_default();
        match woken.outcome {
            Some(WakeupOutcome::Won) => of_it[0] += 1,
            Some(WakeupOutcome::Lost) => of_it[1] += 1,
            Some(WakeupOutcome::Silent) => of_it[2] += 1,
            other => anyhow::bail!("{other:?}: {woken:?}"),
        }
    }
    Ok(deeds)
}

fn story() -> Outcome {
    let (told, workload, tally) = herd("epoll", WORKERS, &["--format", "json"])?;
    // The report agrees with the workload, worker by worker.
    compare(&told.json, &workload, &tally)?;
    compare_spaced(&told.json, &workload, &tally)?;
    workload.quit()?;
    let stories = stories(&told)?;
    let listener = told.report.listeners.first().context("a listener")?;
    // And each worker's deeds in the stories are those of the report, and so the workload's.
    let mut counted = Deeds::new();
    for worker in listener.workers.iter().filter(|one| one.wakeups.total != 0) {
        let tid = worker.tid.context("a thread id")?;
        counted.insert(tid, [worker.wakeups.won, worker.wakeups.lost, worker.wakeups.silent]);
    }
    ensure!(deeds(&stories)? == counted, "{:?}, and {counted:?}", deeds(&stories)?);
    let numbers: Vec<_> = stories.iter().map(|story| story.connection).collect();
    ensure!(numbers == (1..=CONNECTIONS).map(Some).collect::<Vec<_>>(), "{numbers:?}");
    let exact = told.report.providers.wakeups.exact;
    for story in &stories {
        let woken = story.woken.len() as u64;
        ensure!(!exact || woken == WORKERS, "{woken} woken: {story:?}");
        ensure!(woken > WORKERS / 2, "{woken} woken: {story:?}");
        ensure!(story.depth == Some(1) && story.limit == Some(511), "{story:?}");
        ensure!(story.unfinished.is_none(), "{story:?}");
        let by = story.accepted.as_ref().context("not accepted")?;
        ensure!(by.wait.is_some_and(|wait| wait > 0), "{story:?}");
        let won: Vec<_> =
            story.woken.iter().filter(|one| one.outcome == Some(WakeupOutcome::Won)).collect();
        ensure!(won.len() == 1 && won[0].accepted == story.connection, "{story:?}");
        ensure!(won[0].task.tid == by.task.tid, "{story:?}");
        ensure!(won[0].outcome_after == by.since_wakeup, "{story:?}");
        ensure!(story.woken.is_sorted_by_key(|one| one.after), "{story:?}");
    }
    Ok(())
}

fn words() -> Outcome {
    let (told, workload, _) = herd("epoll", WORKERS, &[])?;
    workload.quit()?;
    let text = &told.stdout;
    let count = |part: &str| text.matches(part).count() as u64;
    ensure!(count("queued at depth 1 of 511") == CONNECTIONS, "{text}");
    ensure!(count(": 1 accepted it") == CONNECTIONS, "{text}");
    ensure!(count("woke demo-worker") >= CONNECTIONS * WORKERS / 2, "{text}");
    let lost = told.report.listeners.iter().map(|one| one.wakeups.unwrap_or_default().lost);
    ensure!(count(": EAGAIN, came in vain") == lost.sum::<u64>(), "{text}");
    ensure!(!text.contains('\x1b'), "escape codes in a pipe");
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    ensure!(blocks.count() as u64 == CONNECTIONS, "{text}");
    Ok(())
}

/// Of a shared epoll instance, one waiter wakes the next: nothing says for which connection.
fn chained() -> Outcome {
    let (told, workload, _) = herd("epoll-shared", 4, &["--format", "json"])?;
    workload.quit()?;
    let stories = stories(&told)?;
    let (known, unknown): (Vec<_>, Vec<_>) =
        stories.iter().partition(|story| story.connection.is_some());
    ensure!(known.len() as u64 == CONNECTIONS, "{}", told.stdout);
    ensure!(known.iter().all(|story| story.woken.iter().all(|one| one.after.is_some())));
    ensure!(unknown.iter().all(|story| story.woken.len() == 1), "{unknown:?}");
    let listener = told.report.listeners.first().context("a listener")?;
    let woken: u64 = stories.iter().map(|story| story.woken.len() as u64).sum();
    ensure!(woken == listener.wakeups.unwrap_or_default().total, "{woken}: {}", told.json);
    Ok(())
}
