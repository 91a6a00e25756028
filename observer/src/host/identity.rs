//! Which server a listener belongs to, and where that runs: by the files of its holders in /proc.
//!
//! `/proc/PID/cmdline` waits for the process's `mmap_lock` (`access_remote_vm`), which a page fault on a broken
//! file system holds for ever, and to read the program waits for the file system itself. Both are done once for
//! each process, of such processes only that somebody asks about, and with patience that ends ([`Patience`]).
//! Nothing else here waits for others.

mod cgroup;
mod files;
mod go;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
};

use crate::{
    findings::{
        identity::Identity,
        servers::{self, Recognised},
    },
    host::{
        holders,
        patience::Patience,
        proc_stat::{Stat, open_files_limits},
    },
    model::{Container, Listener, Server},
};

pub use self::cgroup::Scope;

/// Container and pod of a process, by the names of its cgroups; nothing where it runs in none, or is gone.
#[must_use]
pub fn scope(pid: u32) -> Scope {
    files::cgroups(pid).map(|cgroups| cgroup::scope(&cgroups)).unwrap_or_default()
}

/// Most holders of a listener that are looked at: a hundred workers are all the same.
const MOST_HOLDERS: usize = 8;

/// Most processes that are remembered.
const MOST_KNOWN: usize = 4096;

/// What is known of processes, each of which is looked at once.
#[derive(Debug)]
pub struct Identities {
    known: HashMap<(u32, u64), Facts>,
    /// When the processes of this report began.
    began: HashMap<u32, u64>,
    patience: Patience,
    /// Inode number of the network namespace that observer is in.
    own_netns: Option<u64>,
}

/// What the files of one process told.
#[derive(Clone, Debug, Default)]
struct Facts {
    identity: Identity,
    unit: Option<String>,
    container: Option<Container>,
    /// Soft and hard.
    open_files_limits: [Option<u64>; 2],
}

impl Identities {
    /// Nothing known yet.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        // The main thread's: others enter the namespaces that they look at.
        let own_netns = fs::metadata("/proc/self/ns/net").ok().map(|file| file.ino());
        Self { known: HashMap::new(), began: HashMap::new(), patience, own_netns }
    }

    /// Begins another report: a process may have ended since, and another have its id.
    pub fn begin_report(&mut self) {
        self.began.clear();
    }

    /// The server that a listener belongs to, and where it runs; `None` where no holder is known.
    pub fn server(&mut self, listener: &Listener) -> Option<Server> {
        let tasks = tasks(listener);
        let mut server: Option<Server> = None;
        for pid in candidates(listener) {
            let Some(mut facts) = self.facts(pid) else { continue };
            facts.identity.tasks = tasks.get(&pid).cloned().unwrap_or_default();
            let recognised = servers::recognise(&facts.identity);
            let is_better = match (&server, recognised) {
                (None, _) => true,
                (Some(before), Some(now)) => {
                    before.name.is_none() || before.doubt.is_some() && now.doubt.is_none()
                }
                (Some(_), None) => false,
            };
            if is_better {
                server = Some(self.found(pid, facts, recognised, listener.netns));
            }
            if recognised.is_some_and(|recognised| recognised.doubt.is_none()) {
                break;
            }
        }
        server
    }

    fn found(&self, pid: u32, facts: Facts, recognised: Option<Recognised>, netns: u64) -> Server {
        Server {
            name: recognised.map(|one| one.server.name.to_owned()),
            doubt: recognised.and_then(|one| one.doubt).map(str::to_owned),
            pid,
            unit: facts.unit,
            container: facts.container,
            own_netns: self.own_netns.map(|own| own == netns),
            open_files_limit: facts.open_files_limits[0],
            open_files_hard_limit: facts.open_files_limits[1],
        }
    }

    /// What is known of a process; `None` where it is gone.
    fn facts(&mut self, pid: u32) -> Option<Facts> {
        let began = match self.began.get(&pid) {
            Some(began) => *began,
            None => Stat::of(pid)?.began,
        };
        self.began.insert(pid, began);
        if let Some(known) = self.known.get(&(pid, began)) {
            return Some(known.clone());
        }
        let (unit, container) = cgroup::place(&files::cgroups(pid).unwrap_or_default());
        let mut identity = family(pid, 2);
        identity.argv = self.argv(pid);
        if identity.is_spawned()
            && let Some(stat) = Stat::of(pid)
        {
            let argv = self.argv(stat.parent);
            if let Some(parent) = identity.parent.as_mut() {
                parent.argv = argv;
            }
        }
        if servers::recognise(&identity).is_none() {
            identity.go = self.within_time(pid, go::runs).unwrap_or(false);
        }
        let open_files_limits = open_files_limits(pid);
        let facts = Facts { identity, unit, container, open_files_limits };
        // One without any is about to run another program (`begin_new_exec`), and is looked at again.
        if facts.identity.argv.as_ref().is_none_or(|argv| !argv.is_empty()) {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert((pid, began), facts.clone());
        }
        Some(facts)
    }

    /// A process's arguments; `None` where they cannot be read, or not in time.
    fn argv(&mut self, pid: u32) -> Option<Vec<String>> {
        self.within_time(pid, files::argv)
    }

    /// What is read of a process that may never answer; `None` where it does not.
    fn within_time<T: Send + 'static>(
        &self,
        pid: u32,
        read: impl Fn(u32) -> Option<T> + Clone + Send + 'static,
    ) -> Option<T> {
        self.patience.each(vec![pid], read).pop()?.1.flatten()
    }
}

/// A process and its parents, without arguments.
fn family(pid: u32, generations: u32) -> Identity {
    let parent = Stat::of(pid).map(|stat| stat.parent).filter(|pid| *pid > 0);
    let parent = parent.filter(|_| generations > 0);
    Identity {
        exe: files::exe(pid),
        argv: None,
        comm: holders::comm(pid),
        tasks: Vec::new(),
        go: false,
        parent: parent.map(|parent| Box::new(family(parent, generations - 1))),
    }
}

/// The processes to look at, those first that accept most. The first process holds what it started others
/// with, and comes last.
fn candidates(listener: &Listener) -> Vec<u32> {
    let mut accepted = BTreeMap::<u32, u64>::new();
    for worker in &listener.workers {
        if let Some(pid) = worker.pid {
            *accepted.entry(pid).or_default() += worker.accepted;
        }
    }
    for holder in listener.holders.as_deref().unwrap_or_default() {
        accepted.entry(holder.pid).or_default();
    }
    let mut pids: Vec<(u32, u64)> = accepted.into_iter().collect();
    pids.sort_by_key(|(pid, accepted)| (*pid == 1, std::cmp::Reverse(*accepted), *pid));
    pids.into_iter().map(|(pid, _)| pid).take(MOST_HOLDERS).collect()
}

/// Names of the tasks that accept or wait, by process.
fn tasks(listener: &Listener) -> HashMap<u32, Vec<String>> {
    let mut tasks = HashMap::<u32, Vec<String>>::new();
    for worker in &listener.workers {
        let Some(pid) = worker.pid else { continue };
        let names = tasks.entry(pid).or_default();
        if names.len() < MOST_HOLDERS && !names.contains(&worker.comm) {
            names.push(worker.comm.clone());
        }
    }
    tasks
}

#[cfg(test)]
mod tests;
