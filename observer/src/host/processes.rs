//! The table of processes: which listeners they hold, which network namespaces they are in.

mod past;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::host::{
    cpu_time,
    holders::{self, Holding, Holdings, Scan},
    netns_links, proc_fds,
};

use self::past::Past;

/// Processes whose descriptors are read anew in a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Those that began since the last sample, and those that opened a new listener. Whether another one
    /// has got or closed a descriptor is seen in a later sample.
    Newcomers,
    /// Those that have run since their descriptors were read, too.
    WhoRan,
    /// All of them.
    Everyone,
}

/// One entry for each process that there is, refreshed once a sample. An entry goes with its process;
/// what outlives it, is of bounded size (`past.rs`).
#[derive(Debug, Default)]
pub struct Processes {
    all: HashMap<u32, Process>,
    /// Number of the latest listing of /proc.
    listing: u64,
    /// What the processes hold, by listener.
    holdings: Holdings,
    /// The processes that may be in `holdings`.
    holders: BTreeSet<u32>,
    past: Past,
    /// The listeners that there were in the latest sample.
    listening: HashSet<u64>,
    /// Those listeners in the order in which they were told, which hardly changes from one sample to the next.
    order: Vec<u64>,
    /// Whether a listener began since the processes were looked at: it may be held by one that has not run
    /// since, from before it listened.
    newborn: bool,
    /// Whether /proc hides processes of other users (`hidepid`).
    hidden: bool,
}

/// A process, as it was in the latest sample.
#[derive(Debug, Default)]
struct Process {
    /// Inode number of its directory in /proc, which tells it from another process with its id. The kernel
    /// may give the directory of the same process another number; then it is looked at once more. Its start
    /// time would be exact, and cost a file of each process.
    identity: u64,
    /// The latest listing of /proc that it was in.
    seen: u64,
    /// The listing after which its descriptors were read last; 0 before that.
    read: u64,
    /// CPU time that it had used before its descriptors were read.
    ran: Option<u64>,
    /// Whether it did not let this one look.
    refused: bool,
    /// Its network namespace, and its thread that /proc tells this of, with the CPU time that it had used
    /// before.
    netns: Option<(Option<u64>, Option<netns_links::Link>)>,
}

impl Processes {
    /// Holders by listener. Of a listener that closed, the last holders stay known.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Whether there are processes that did not let this one look or that /proc does not show, which may
    /// hold any listener.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.hidden || self.all.values().any(|process| process.refused)
    }

    /// Whether a listener was there in the latest sample.
    #[must_use]
    pub fn listens(&self, listener: u64) -> bool {
        self.listening.contains(&listener)
    }

    /// Whether a process was there in the latest sample.
    #[must_use]
    pub fn contains(&self, pid: u32) -> bool {
        self.all.contains_key(&pid)
    }

    /// Whether a process holds a listener or did, as far as that was looked at.
    #[must_use]
    pub fn known(&self, pid: u32, listener: u64) -> Option<bool> {
        if self.holdings.get(&listener).is_some_and(|all| is_among(all, pid)) {
            return Some(true);
        }
        self.past.get(pid, listener)
    }

    /// Whether a process holds a listener or did when it was looked at, which is done where it has to be;
    /// `None` for one that ended before.
    pub fn held(&mut self, pid: u32, listener: u64) -> Option<bool> {
        let known = self.known(pid, listener);
        // A process that did not hold it may have been given it since.
        if known == Some(true) || known.is_some() && holders::comm(pid).is_none() {
            return known;
        }
        let holds = holders::holds(pid, listener)?;
        self.past.note(pid, listener, holds);
        Some(holds)
    }

    /// Network namespaces that processes are in: inode number, process, and its thread that /proc tells this
    /// of. New processes are asked, and those that have run since they were asked where it is to be `again`.
    pub fn namespaces(&mut self, again: bool) -> Vec<(u64, u32, u32)> {
        let Ok(listed) = proc_fds::processes() else { return Vec::new() };
        self.enter(&listed);
        let mut found = Vec::new();
        for (pid, _) in listed {
            let Some(process) = self.all.get_mut(&pid) else { continue };
            let ran = (again || process.netns.is_none()).then(|| cpu_time::of_process(pid));
            let (_, place) = match (process.netns, ran) {
                (Some(known), None) => known,
                (Some(known), Some(ran)) if ran.is_some() && ran == known.0 => known,
                (_, ran) => *process.netns.insert((ran.flatten(), netns_links::of_process(pid))),
            };
            found.extend(place.map(|(netns, tid)| (netns, pid, tid)));
        }
        found
    }

    /// Takes a sample: which processes there are, and which of the listeners those hold that are looked at.
    /// `creator` tells who opened a listener, and nothing of one that is not reported any more.
    pub fn refresh(
        &mut self,
        listening: Vec<u64>,
        look: Look,
        creator: impl Fn(u64) -> Option<u32>,
    ) {
        let Ok(listed) = proc_fds::processes() else {
            self.hidden = true;
            return;
        };
        let newborn = self.listen(listening);
        let creators: HashSet<u32> = newborn.iter().filter_map(|one| creator(*one)).collect();
        let look = if look == Look::WhoRan && self.newborn { Look::Everyone } else { look };
        self.newborn &= look == Look::Newcomers;
        self.enter(&listed);
        let due = self.due(look, &creators);
        let Scan { holdings: found, refused } =
            holders::scan_these(due.into_iter(), &self.listening);
        for pid in refused {
            self.all.entry(pid).and_modify(|process| process.refused = true);
        }
        self.replace(found);
        if look != Look::Newcomers {
            // The others closed, and nothing is reported of them any more.
            let listening = &self.listening;
            self.holdings.retain(|id, _| listening.contains(id) || creator(*id).is_some());
        }
    }

    /// Takes note of what listens now, and tells what is new of it.
    fn listen(&mut self, listening: Vec<u64>) -> HashSet<u64> {
        if listening == self.order {
            return HashSet::new();
        }
        let now: HashSet<u64> = listening.iter().copied().collect();
        let newborn: HashSet<u64> = now.difference(&self.listening).copied().collect();
        self.newborn |= !newborn.is_empty();
        self.listening = now;
        self.order = listening;
        newborn
    }

    /// Takes note of who is there, by process id and identity.
    fn enter(&mut self, listed: &[(u32, u64)]) {
        self.listing += 1;
        for (pid, identity) in listed {
            let process = self.all.entry(*pid).or_default();
            if process.identity != *identity {
                *process = Process { identity: *identity, ..Process::default() };
            }
            process.seen = self.listing;
        }
        self.all.retain(|_, process| process.seen == self.listing);
        // The first process is there for everybody, unless those of others are hidden.
        self.hidden = !self.contains(1);
    }

    /// The processes whose descriptors are to be read now.
    fn due(&mut self, look: Look, creators: &HashSet<u32>) -> Vec<u32> {
        let mut due = Vec::new();
        for (pid, process) in &mut self.all {
            let may_rest = process.read != 0 && !creators.contains(pid);
            if look == Look::Newcomers && may_rest {
                continue;
            }
            let ran = cpu_time::of_process(*pid);
            if look == Look::WhoRan && may_rest && ran.is_some() && ran == process.ran {
                continue;
            }
            (process.ran, process.read, process.refused) = (ran, self.listing, false);
            due.push(*pid);
        }
        due
    }

    /// Puts what was found in place of what was known of the processes that were looked at or are gone.
    fn replace(&mut self, found: Holdings) {
        let (processes, listing) = (&self.all, self.listing);
        let is_old = |pid| processes.get(&pid).is_none_or(|process| process.read == listing);
        if found.is_empty() && !self.holders.iter().any(|pid| is_old(*pid)) {
            return;
        }
        let is_old = |holding: &&Holding| is_old(holding.holder.pid);
        let open = self.holdings.iter().filter(|(id, _)| self.listening.contains(id));
        let then: usize = open.map(|(_, all)| all.iter().filter(is_old).count()).sum();
        let same = |(id, now): (&u64, &Vec<Holding>)| {
            let then = self.holdings.get(id);
            then.is_some_and(|then| then.iter().filter(is_old).eq(now))
        };
        if then == found.values().map(Vec::len).sum::<usize>() && found.iter().all(same) {
            return;
        }
        let open = self.holdings.iter_mut().filter(|(id, _)| self.listening.contains(id));
        for (listener, all) in open {
            all.retain(|holding| {
                let (is_old, pid) = (is_old(&holding), holding.holder.pid);
                if is_old && !found.get(listener).is_some_and(|now| is_among(now, pid)) {
                    self.past.note(pid, *listener, true);
                }
                !is_old
            });
        }
        for (listener, holdings) in found {
            let all = self.holdings.entry(listener).or_default();
            all.extend(holdings);
            all.sort_by(|one, other| one.holder.cmp(&other.holder));
            // Most listeners have one holder, and there may be thousands.
            all.shrink_to_fit();
        }
        self.holdings.retain(|_, all| !all.is_empty());
        let open = self.holdings.iter().filter(|(id, _)| self.listening.contains(id));
        self.holders = open.flat_map(|(_, all)| all).map(|holding| holding.holder.pid).collect();
    }
}

/// Whether a process is among those that hold a listener.
fn is_among(holders: &[Holding], pid: u32) -> bool {
    holders.binary_search_by_key(&pid, |one| one.holder.pid).is_ok()
}
