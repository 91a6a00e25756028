//! Load without loss: as much as this machine can produce, each against the workload's own tally, with
//! bounds in counts and in pages and never in time.
//!
//! In an emulated machine it would take hours: the scopes of the virtual machines leave it out.

mod many;
mod neighbours;
mod role;
mod watching;

use std::{env, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

pub use self::role::play;
use self::watching::{Often, Watching};
use crate::{
    Need, Outcome, Skip, Test,
    compare::{compare, compare_spaced},
    observer::{number, program},
    role::Actor,
    workload::{Tally, WorkerTally, Workload},
};

/// How many connections the greatest load makes, unless the environment says otherwise.
const CONNECTIONS: &str = "OBSERVER_TEST_LOAD";
const USUAL_CONNECTIONS: u64 = 100_000;

/// What observer may have more resident after a load than before it, in pages of 4 KiB: what the rows of
/// a report need for the first time, and less than eleven bytes for each of a hundred thousand.
const MORE_PAGES: u64 = 256;

/// Workers of the herd, and connections of each of its rounds.
const HERD: u32 = 1000;
const HERD_ROUND: u32 = 5;
/// At most so many rounds, while the processes come and go.
const HERD_ROUNDS: u32 = 10;
/// Processes that begin and end beside it.
const FORKS: u64 = 20_000;

/// Workers that begin and end at one listener: the kernel map of what tasks did has room for 32,768 beside those of
/// listeners (`plan::room`).
const LIVES: u64 = 40_000;

pub fn tests() -> Vec<Test> {
    let test = |name, run: fn() -> Outcome| Test::new(name, Need::Kernel, run);
    vec![
        test("load::connections_at_the_highest_rate", highest_rate),
        test("load::ten_thousand_listeners", many::ten_thousand),
        test("load::a_thousand_workers_beside_forks", herd),
        Test::new(
            "load::more_workers_than_a_shell_has_descriptors",
            Need::Nothing,
            few_descriptors,
        ),
        test("load::workers_that_come_and_go", short_lives),
        test("load::listeners_that_come_and_go", many::come_and_go),
        test("load::listeners_without_room_are_said", many::without_room),
        test("load::threads_of_another_server_fold_nobody_else", neighbours::threads),
        test("load::listeners_of_another_process_touch_nobody_else", neighbours::listeners),
        test("load::lives_without_connections_take_no_room", neighbours::lives),
        test("load::readings_that_met_ends_of_threads_are_marked", neighbours::readings),
    ]
}

/// Says on standard error what was made and what was seen, for whoever makes a table of it.
fn figure(what: &str, made: u64, seen: u64, watched: &Watching) -> Outcome {
    let audit = &watched.report()?["audit"];
    let figure = json!({
        "what": what,
        "made": made,
        "seen": seen,
        "events_lost": audit["events_lost"],
        "map_full": audit["map_full"],
        "missed_runs": audit["missed_runs"],
        "closes": audit["closes"],
        "pages_before": watched.pages_before,
        "pages_after": watched.pages_after,
    });
    eprintln!("figure load {figure}");
    Ok(())
}

/// The audit of a window in which nothing was lost. News of other listeners of the machine may well
/// have been, a thousand that close at once: that is said, and no count depends on it.
fn nothing_lost(watched: &Watching) -> Outcome {
    let audit = &watched.report()?["audit"];
    ensure!(audit["map_full"] == 0 && audit["events_lost"].is_u64(), "the audit: {audit}");
    // Unknown where nothing can be compared: tracepoints alone see no refusals.
    ensure!(audit["closes"] != false, "the audit does not close: {audit}");
    Ok(())
}

/// The usual limit of a shell on descriptors is no limit on workers, each of which the workload keeps files of.
fn few_descriptors() -> Outcome {
    let mut command = Command::new(program());
    command.args(["workload", "--strategy", "epoll-shared", "--workers", "700"]);
    command.args(["--connections", "20"]);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < 4096 {
        return Err(Skip("the limit on open files is too low for 700 workers".to_owned()).into());
    }
    let limit = move || setrlimit(Resource::RLIMIT_NOFILE, 1024, hard).map_err(Into::into);
    // SAFETY: one system call, which a forked child may make.
    unsafe { command.pre_exec(limit) };
    let mut server = Workload::spawn(command)?;
    let tally = server.round()?;
    let accepted: u64 = tally.workers.iter().map(|one| one.accepted).sum();
    ensure!(tally.workers.len() == 700 && accepted == 20, "{tally:?}");
    server.quit()
}

/// Two clients that never pause, and four workers of whom one is woken for each connection: what came
/// out as the fastest way through the accept path.
fn highest_rate() -> Outcome {
    let count = match env::var(CONNECTIONS) {
        Ok(count) => count.parse().with_context(|| format!("{CONNECTIONS} is no count"))?,
        Err(_) => USUAL_CONNECTIONS,
    };
    let count_text = count.to_string();
    let mut server = Workload::start(&[
        "--netns",
        "--strategy",
        "epoll-exclusive",
        "--workers",
        "4",
        "--pace",
        "burst",
        "--backlog",
        "4096",
        "--connections",
        &count_text,
    ])?;
    let pid = server.ready.pid.to_string();
    let mut watched = Watching::start(&["--pid", &pid], Often::TwiceASecond)?;
    let tally = server.round()?;
    watched.end()?;
    let report = watched.report()?;
    let accepted: u64 = tally.workers.iter().map(|one| one.accepted).sum();
    figure("connections at the highest rate", count, watched.sum("/accepted")?, &watched)?;
    ensure!(tally.connections == count && accepted == count, "the workload's own: {tally:?}");
    compare(report, &server, &tally)?;
    nothing_lost(&watched)?;
    // What intervals say adds up to the total, however many there were.
    for path in ["/accepted", "/queued", "/wakeups/won", "/wakeups/lost", "/wakeups/silent"] {
        let (sum, total) = (watched.sum_of_intervals(path)?, watched.sum(path)?);
        ensure!(sum == total, "{path}: the intervals have {sum}, the total {total}");
    }
    let (before, after) = (watched.pages_before, watched.pages_after);
    ensure!(after <= before + MORE_PAGES, "{before} pages before the load, {after} after it");
    server.quit()
}

/// More workers than the kernel maps have room for, one after the other, at a listener that stays.
fn short_lives() -> Outcome {
    let (watched, netns) = many::churn("load-short-lives", LIVES)?;
    figure("workers that came and went", LIVES, watched.sum("/accepted")?, &watched)?;
    let found = many::in_namespace(watched.report()?, netns)?;
    let [one] = found[..] else { bail!("{} listeners", found.len()) };
    ensure!(one["accepted"] == LIVES && one["queued"] == LIVES, "{}", one["accepted"]);
    ensure!(one["accept_errors"] == json!({"EAGAIN": LIVES}), "{}", one["accept_errors"]);
    let workers = one["workers"].as_array().context("workers")?;
    let others = workers.iter().find(|one| one["comm"] == "(others)").context("no others")?;
    let named = number(&others["accepted"])? + workers.len() as u64 - 1;
    ensure!(named == LIVES, "{named} of the others and of those that are named");
    nothing_lost(&watched)
}

/// A thousand workers are woken by each connection, while processes begin and end below the very
/// process that `--pid` names.
fn herd() -> Outcome {
    let (workers, connections) = (HERD.to_string(), HERD_ROUND.to_string());
    let mut server = Workload::start(&[
        "--netns",
        "--strategy",
        "epoll",
        "--workers",
        &workers,
        "--connections",
        &connections,
    ])?;
    let own = std::process::id().to_string();
    let mut forks = Actor::start("load-forks")?;
    let mut watched = Watching::start(&["--pid", &own], Often::TwiceASecond)?;
    forks.ask(FORKS)?;
    let mut sum = server.round()?;
    for _ in 1..HERD_ROUNDS {
        if forks.has_answered()? {
            break;
        }
        add(&mut sum, &server.round()?)?;
    }
    let made: u64 = forks.line()?.trim().parse()?;
    ensure!(made == FORKS, "{made} processes were made");
    watched.end()?;
    let report = watched.report()?;
    let woken: u64 = sum.workers.iter().map(WorkerTally::wakeups).sum();
    figure(
        "wakeups of 1,000 workers, beside 20,000 forks",
        woken,
        watched.sum("/wakeups/total")?,
        &watched,
    )?;
    compare(report, &server, &sum)?;
    compare_spaced(report, &server, &sum)?;
    nothing_lost(&watched)?;
    server.quit()
}

/// Adds what the same workers did in another round.
fn add(sum: &mut Tally, round: &Tally) -> Outcome {
    ensure!(sum.workers.len() == round.workers.len(), "other workers");
    sum.connections += round.connections;
    for (sum, one) in sum.workers.iter_mut().zip(&round.workers) {
        ensure!(sum.tid == one.tid, "worker {} is now {}", sum.tid, one.tid);
        sum.accepted += one.accepted;
        sum.eagain += one.eagain;
        sum.wait_returns += one.wait_returns;
        sum.voluntary_switches += one.voluntary_switches;
        sum.lock_sleeps += one.lock_sleeps;
    }
    Ok(())
}
