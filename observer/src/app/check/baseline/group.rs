//! Listeners that are compared as one: those of one port and program. Pure.

use std::collections::BTreeMap;

use observer::{
    model::{Listener, Providers, Report},
    recording::matching::{Sought, program},
};

use crate::app::check::{
    measure::{float, length, other_errors},
    subject::Subject,
    waits::{self, Slowest, slowest},
};

/// What a recording of before says, as far as it is compared.
pub(super) struct Before {
    /// Name of its file as it was typed, safe to print.
    pub(super) file: String,
    pub(super) groups: Vec<Group>,
    pub(super) providers: Providers,
    /// Length of the window, in seconds.
    pub(super) seconds: f64,
}

impl Before {
    /// What a report says.
    pub(super) fn of(file: String, report: &Report) -> Self {
        Self {
            file,
            groups: groups(report),
            providers: report.providers.clone(),
            seconds: report.window.seconds,
        }
    }
}

/// Listeners of one port and program, such as those of a reuseport group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) port: u16,
    /// Name of the program; `None` where it is not known.
    pub(super) name: Option<String>,
    pub(super) subject: Subject,
    /// Connections that were accepted; `None`, as below, where that of one listener is not known.
    pub(super) accepted: Option<u64>,
    /// Connection attempts: those that were queued, and those that were dropped.
    pub(super) attempts: Option<u64>,
    pub(super) wakeups: Option<u64>,
    pub(super) drops: Option<u64>,
    pub(super) errors: Option<u64>,
    /// Greatest 99th percentile of accept waits, in nanoseconds, of those that nobody accepted too; infinite where it
    /// falls among those.
    pub(super) wait: Option<f64>,
    /// Number of connections that the percentile is about.
    pub(super) waits: Option<u64>,
}

impl Group {
    /// What it is found by in the other report.
    pub(super) fn sought(&self) -> Sought<'_> {
        Sought { netns: None, address: None, port: self.port, program: self.name.as_deref() }
    }

    /// What is told of it, beside a group of before.
    pub(super) fn subject_beside(&self, before: &Self) -> Subject {
        let mut subject = self.subject.clone();
        if before.port != self.port {
            subject.at += &format!(" (port {} then)", before.port);
        }
        subject
    }

    /// Wakeups for each accepted connection.
    pub(super) fn herd_ratio(&self) -> Option<f64> {
        let accepted = self.accepted.filter(|accepted| *accepted > 0)?;
        Some(float(self.wakeups?) / float(accepted))
    }

    /// So many of this for each thousand connection attempts.
    pub(super) fn per_thousand(&self, count: Option<u64>) -> Option<f64> {
        let attempts = self.attempts.filter(|attempts| *attempts > 0)?;
        Some(float(count?) * 1000.0 / float(attempts))
    }
}

/// The groups of a report, ordered by port and name.
pub(super) fn groups(report: &Report) -> Vec<Group> {
    let mut groups = BTreeMap::<(u16, Option<String>), Vec<(&Listener, Subject)>>::new();
    for (listener, subject) in report.listeners.iter().zip(Subject::each(report)) {
        let name = program(&[listener]).map(str::to_owned);
        groups.entry((listener.port, name)).or_default().push((listener, subject));
    }
    groups
        .into_iter()
        .map(|((port, name), all)| group(port, name, &all, length(&report.window)))
        .collect()
}

fn group(port: u16, name: Option<String>, all: &[(&Listener, Subject)], window: u64) -> Group {
    let sum = |count: fn(&Listener) -> Option<u64>| {
        all.iter().try_fold(0_u64, |sum, (one, _)| Some(sum.saturating_add(count(one)?)))
    };
    let mut subject = all.first().map(|(_, subject)| subject.clone()).unwrap_or_default();
    if all.len() > 1 {
        subject.at = format!("port {port}, {} listeners", all.len());
    }
    // A drop that may have been one counts: what is not known is no better than before.
    let (queued, drops) = (sum(|one| one.queued), sum(|one| one.drops.at_most.or(one.drops.total)));
    let wait = |one: &Listener| match slowest(one, window) {
        Slowest::Accepted(wait) | Slowest::Waiting { nanoseconds: wait, .. } => Some(float(wait)),
        Slowest::Never(_) => Some(f64::INFINITY),
        Slowest::Nothing => Some(0.0),
        Slowest::Unknown => None,
    };
    Group {
        port,
        name,
        subject,
        accepted: sum(|one| one.accepted),
        attempts: queued.map(|queued| queued.saturating_add(drops.unwrap_or(0))),
        wakeups: sum(|one| one.wakeups.map(|wakeups| wakeups.total)),
        drops,
        errors: sum(|one| one.accepted.map(|_| other_errors(one))),
        wait: all.iter().try_fold(0.0, |most: f64, (one, _)| Some(most.max(wait(one)?))),
        waits: sum(waits::count),
    }
}
