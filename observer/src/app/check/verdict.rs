//! What came of a check: every limit, the command, and the exit status. Pure.

use observer::{error::Status, model::Report, units};

use super::{
    baseline::{Baseline, Terms},
    command::outcome::{End, Outcome},
    limits::{Judged, Limit, State},
    subject::Subject,
};
use crate::app::render::table::notes;

/// Exit status where a limit is broken.
pub const BROKEN: u8 = 3;

/// What came of a check.
pub struct Verdict {
    /// The report of the whole window.
    pub report: Report,
    /// Every limit, in the order in which they are told.
    pub judged: Vec<Judged>,
    /// What is to be said besides.
    pub notes: Vec<String>,
    /// What became of the command; `None` where there was none.
    pub command: Option<Outcome>,
}

/// What a report is held against.
pub struct Against<'a> {
    /// Limits.
    pub limits: &'a [Limit],
    /// Report of before, and how numbers are held against it.
    pub baseline: Option<(&'a Baseline, Terms)>,
    /// Whether estimates decide too.
    pub allow_estimates: bool,
}

impl Verdict {
    /// Holds a report against all limits.
    pub fn new(report: Report, command: Option<Outcome>, against: &Against<'_>) -> Self {
        let Against { limits, baseline, allow_estimates } = *against;
        let subjects = Subject::each(&report);
        let mut judged: Vec<Judged> =
            limits.iter().map(|limit| limit.judge(&report, &subjects, allow_estimates)).collect();
        let mut notes = notes::of_audit(&report);
        if let Some((baseline, terms)) = baseline {
            let comparison = baseline.compare(&report, terms);
            judged.extend(comparison.judged);
            notes.extend(comparison.notes);
        }
        Self { report, judged, notes, command }
    }

    /// Limits that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|judged| judged.is_broken())
    }

    /// Exit status of the command, where it failed.
    pub fn command_failure(&self) -> Option<u8> {
        self.command.as_ref().and_then(Outcome::failure)
    }

    /// The command, where it could not even be started: then limits say nothing.
    pub fn not_started(&self) -> Option<&Outcome> {
        self.command.as_ref().filter(|command| matches!(command.end, Some(End::NotStarted(_))))
    }

    /// Whether a limit is in doubt: what happened in this window makes its numbers worth too little. What can be known
    /// before is refused before the command starts.
    fn is_in_doubt(&self) -> bool {
        self.judged.iter().any(|judged| judged.doubt.is_some())
    }

    /// Exit status: the command's where it failed, else whether a limit is broken, else whether one is in doubt.
    pub fn status(&self) -> u8 {
        if let Some(status) = self.command_failure() {
            return status;
        }
        match self.broken().next() {
            Some(_) => BROKEN,
            // Not that of a kernel on which nothing can be observed: with that, jobs are let through.
            None if self.is_in_doubt() => Status::Failed as u8,
            None => 0,
        }
    }

    /// The verdict in one line.
    pub fn headline(&self) -> String {
        if let Some(command) = self.not_started() {
            return format!("check failed: {}", command.words());
        }
        let broken = self.broken().count();
        let doubtful = self.judged.iter().filter(|judged| judged.doubt.is_some()).count();
        let mut parts = Vec::new();
        if let Some(status) = self.command_failure() {
            parts.push(format!("the command failed (exit status {status})"));
        }
        let all = self.judged.len();
        let empty = self.judged.iter().filter(|judged| judged.is_empty()).count();
        parts.push(match (broken, doubtful) {
            (0, 0) if empty > 0 => {
                format!("no limit is broken, and {empty} of {all} had nothing to judge")
            }
            (0, 0) if all == 1 => "the limit holds".to_owned(),
            (1, _) if all == 1 => "the limit is broken".to_owned(),
            (0, 0) => format!("all {all} limits hold"),
            (0, _) => format!("{doubtful} of {all} limits cannot be decided"),
            (1, _) => format!("1 of {all} limits is broken"),
            _ => format!("{broken} of {all} limits are broken"),
        });
        let verdict = if self.status() == 0 { "passed" } else { "failed" };
        format!("check {verdict}: {}; {}", parts.join(", and "), self.window())
    }

    /// What was observed: `5.0 s, 3 listeners, 200 connections accepted`.
    fn window(&self) -> String {
        let count = |count: u64, noun: &str| match count {
            1 => format!("1 {noun}"),
            several => format!("{several} {noun}s"),
        };
        let listeners = u64::try_from(self.report.listeners.len()).unwrap_or(u64::MAX);
        let accepted = self.report.listeners.iter().filter_map(|one| one.accepted);
        format!(
            "{}, {}, {} accepted",
            units::seconds(self.report.window.seconds),
            count(listeners, "listener"),
            count(accepted.fold(0, u64::saturating_add), "connection"),
        )
    }

    /// Indices of the listeners that broke a limit, in the order of the report.
    pub fn culprits(&self) -> Vec<usize> {
        let rows = self.judged.iter().flat_map(|judged| &judged.rows);
        let broken = rows.filter(|row| row.state == State::Broken);
        let mut all: Vec<usize> = broken.filter_map(|row| row.subject.listener).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
pub(in crate::app::check) mod tests;
