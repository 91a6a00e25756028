//! Tests that share one observer, because starting and stopping one takes seconds on an emulated
//! machine.
//!
//! Such a test is a play in three acts: it begins before the window, does its part within it, one play
//! after the other, and is then held against the report. The first of them that is wanted plays all,
//! and each tells what became of its own part. The observer is told to watch this process with all its
//! descendants, so that no other listener of the machine is in the report.

use std::{
    any::Any,
    collections::HashMap,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;

use crate::{
    Outcome,
    missed::{has_missed_runs, note_missed_runs},
    observer::{Observer, on_port, provider},
    role::netns,
};

/// The first act: what has to be there before the window.
pub type Begin = fn() -> anyhow::Result<Play>;
/// The second act: what happens within it.
pub type Play = Box<dyn FnOnce() -> anyhow::Result<Check>>;
/// The last act: what the report must say.
pub type Check = Box<dyn FnOnce(&Total) -> Outcome>;

/// The end of the first act.
pub fn in_the_window(
    play: impl FnOnce() -> anyhow::Result<Check> + 'static,
) -> anyhow::Result<Play> {
    Ok(Box::new(play))
}

/// The end of the second act. What has to stay until the report is made is kept by `check`.
pub fn in_the_report(check: impl FnOnce(&Total) -> Outcome + 'static) -> anyhow::Result<Check> {
    Ok(Box::new(check))
}

/// The report of a window.
pub struct Total {
    report: Value,
    /// When it was asked for.
    pub asked: Instant,
    /// When it was there.
    pub answered: Instant,
}

impl Deref for Total {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.report
    }
}

impl Total {
    /// The only listener on `port` in the network namespace of the tests.
    pub fn only_on_port(&self, port: u16) -> anyhow::Result<&Value> {
        self.only_in(netns()?, port)
    }

    /// The only listener on `port` in a network namespace.
    pub fn only_in(&self, netns: u64, port: u16) -> anyhow::Result<&Value> {
        let mut found = on_port(self, port);
        found.retain(|one| one["netns"] == netns);
        ensure!(found.len() == 1, "{} listeners on port {port}, not one: {found:?}", found.len());
        Ok(found[0])
    }

    /// All listeners in a network namespace.
    pub fn all_in(&self, netns: u64) -> anyhow::Result<Vec<&Value>> {
        let listeners = self["listeners"].as_array().context("listeners")?;
        Ok(listeners.iter().filter(|one| one["netns"] == netns).collect())
    }

    /// The same report with one listener changed, which is there only once.
    pub fn with(
        &self,
        inode: u64,
        change: impl FnOnce(&mut Value) -> Outcome,
    ) -> anyhow::Result<Value> {
        let mut report = self.report.clone();
        let listeners = report["listeners"].as_array_mut().context("listeners")?;
        let mut found: Vec<_> = listeners.iter_mut().filter(|one| one["inode"] == inode).collect();
        ensure!(found.len() == 1, "{} listeners with inode {inode}: {found:?}", found.len());
        change(found.remove(0))?;
        Ok(report)
    }
}

/// The tests of a run that share an observer.
pub struct SharedRun {
    plays: Vec<(String, Begin)>,
    played: OnceLock<Played>,
}

struct Played {
    /// What became of each that has not yet told it.
    outcomes: Mutex<HashMap<String, Outcome>>,
    /// Whether the kernel skipped runs of programs in the window of all.
    has_missed_runs: bool,
}

impl SharedRun {
    /// These tests, by name.
    pub fn new(plays: Vec<(String, Begin)>) -> Self {
        Self { plays, played: OnceLock::new() }
    }

    /// What became of a test. Asked again, or not among those that share, it plays alone.
    pub fn outcome(&self, name: &str, begin: Begin) -> Outcome {
        let played = self.played.get_or_init(|| {
            let outcomes = run(&self.plays);
            let names = self.plays.iter().map(|(name, _)| name.clone());
            let outcomes = Mutex::new(names.zip(outcomes).collect());
            Played { outcomes, has_missed_runs: has_missed_runs() }
        });
        let mut outcomes = played.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = outcomes.remove(name) {
            if played.has_missed_runs {
                note_missed_runs();
            }
            return outcome;
        }
        run(&[(name.to_owned(), begin)]).remove(0)
    }
}

/// Plays these under one observer. What becomes of one is nothing to the others, unless observer
/// itself fails.
fn run(plays: &[(String, Begin)]) -> Vec<Outcome> {
    let begun: Vec<_> = plays.iter().map(|(_, begin)| guarded(begin)).collect();
    // One report, at the end: those of intervals would fill the pipe, which nobody reads until then.
    let own = std::process::id().to_string();
    let observer = Observer::json(&["--pid", &own, "--duration", "1h"]);
    let checks: Vec<_> = plays
        .iter()
        .zip(begun)
        .map(|((name, _), play)| {
            if provider().is_some() {
                // A virtual machine that says nothing for long is taken for dead.
                eprintln!("figure plays {name}");
            }
            guarded(play?)
        })
        .collect();
    let total = observer.and_then(|observer| {
        let asked = Instant::now();
        let report = observer.total()?;
        Ok(Total { report, asked, answered: Instant::now() })
    });
    let check = |check: anyhow::Result<Check>| {
        let check = check?;
        let total = total.as_ref().map_err(|error| anyhow!("{error:?}"))?;
        guarded(|| check(total))
    };
    checks.into_iter().map(check).collect()
}

/// Takes a panic for a failure.
fn guarded<T>(act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    // What a play leaves behind half-done nobody else looks at.
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(anyhow!(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("for no reason that it tells"))
}
