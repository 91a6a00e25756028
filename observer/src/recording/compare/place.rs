//! Listeners at one address and port, taken together.

use std::collections::BTreeMap;

use crate::{
    model::{Family, Finding, Listener, Report, Wakeups, Worker},
    recording::matching::{Sought, program},
};

/// Listeners at one address and port of one network namespace: those of a reuseport group, and those that followed
/// each other when the server was restarted.
pub(super) struct Place<'a> {
    pub(super) netns: u64,
    pub(super) family: Family,
    pub(super) address: &'a str,
    pub(super) port: u16,
    /// Name of the program ([`program`]).
    pub(super) comm: Option<String>,
    pub(super) listeners: Vec<&'a Listener>,
    /// Length of the window, in seconds.
    pub(super) seconds: f64,
}

impl<'a> Place<'a> {
    /// Those of a report, by network namespace, port and address.
    pub(super) fn of_all(report: &'a Report) -> Vec<Self> {
        let mut places = BTreeMap::<_, Vec<&Listener>>::new();
        for one in &report.listeners {
            let key = (one.netns, one.port, one.family, one.address.as_str());
            places.entry(key).or_default().push(one);
        }
        let place = |((netns, port, family, address), listeners): (_, Vec<&'a Listener>)| Self {
            netns,
            family,
            address,
            port,
            comm: program(&listeners).map(str::to_owned),
            listeners,
            seconds: report.window.seconds,
        };
        places.into_iter().map(place).collect()
    }

    /// What it is found by in the other recording.
    pub(super) fn sought(&self) -> Sought<'_> {
        Sought {
            netns: Some(self.netns),
            address: Some((self.family, self.address)),
            port: self.port,
            program: self.comm.as_deref(),
        }
    }

    /// Those that listen, or all of them where none does any more.
    pub(super) fn open(&self) -> Vec<&'a Listener> {
        let open: Vec<_> = self.listeners.iter().copied().filter(|one| !one.closed).collect();
        if open.is_empty() { self.listeners.clone() } else { open }
    }

    /// Sum of a count; `None` where it is not known of one.
    pub(super) fn sum(&self, of: impl Fn(&Listener) -> Option<u64>) -> Option<u64> {
        self.listeners.iter().try_fold(0_u64, |sum, one| Some(sum.saturating_add(of(one)?)))
    }

    /// Sum of wakeups; `None` where they are not known of one.
    pub(super) fn wakeups(&self) -> Option<Wakeups> {
        let all: Option<Vec<Wakeups>> = self.listeners.iter().map(|one| one.wakeups).collect();
        all.map(crate::report::counts::sum)
    }

    /// Accepted connections of each task.
    pub(super) fn workers(&self) -> BTreeMap<(Option<u32>, Option<u32>), u64> {
        let mut workers = BTreeMap::new();
        for Worker { pid, tid, accepted, .. } in self.listeners.iter().flat_map(|one| &one.workers)
        {
            let sum: &mut u64 = workers.entry((*pid, *tid)).or_default();
            *sum = sum.saturating_add(*accepted);
        }
        workers
    }

    /// Findings, each once by its name, the worst first.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for one in self.listeners.iter().flat_map(|one| &one.findings) {
            match findings.iter_mut().find(|other| other.id == one.id) {
                Some(other) if other.severity < one.severity => other.clone_from(one),
                Some(_) => {}
                None => findings.push(one.clone()),
            }
        }
        findings.sort_by_key(|one| std::cmp::Reverse(one.severity));
        findings
    }

    /// Whether nothing happened here, and nothing is wrong.
    pub(super) fn is_idle(&self) -> bool {
        self.listeners.iter().all(|one| {
            one.findings.is_empty()
                && one.queued == Some(0)
                && one.accepted == Some(0)
                && one.wakeups.is_some_and(|all| all.total == 0)
                && one.drops.total.unwrap_or(0) == 0
                && one.drops.at_most.is_none()
        })
    }
}
