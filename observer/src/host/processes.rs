//! Who holds which listeners, kept up from look to look.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::host::{
    holders::{self, Holding, Holdings, Scan},
    proc_fds, rest,
};

/// What is known of the processes that hold listeners.
#[derive(Debug, Default)]
pub struct Census {
    holdings: Holdings,
    /// The processes that there were at the last look.
    processes: HashMap<u32, Process>,
    /// The listeners that there were at the last look.
    listening: HashSet<u64>,
    /// The same in the order in which they were told, which is mostly the same the next time.
    order: Vec<u64>,
    /// Whether a listener began since all processes were looked at: it may be held by one that has not
    /// run since, from before it listened.
    newborn: bool,
    /// The processes that may be in `holdings`.
    holders: BTreeSet<u32>,
    /// The processes that did not let this one look.
    refused: HashSet<u32>,
    /// Whether /proc hides processes of other users (`hidepid`).
    hidden: bool,
}

/// A process as it was when its descriptors were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    /// What tells it from another one with its id.
    identity: u64,
    /// How long it had run, before that.
    ran: Option<u64>,
}

impl Census {
    /// Holders by listener. Of a listener that closed, the last holders stay known.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// The processes that hold listeners; some may not any more.
    #[must_use]
    pub fn holders(&self) -> &BTreeSet<u32> {
        &self.holders
    }

    /// Whether there are processes that did not let this one look or that /proc does not show, which may
    /// hold any listener.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.hidden || !self.refused.is_empty()
    }

    /// Whether a process was there at the last look.
    #[must_use]
    pub fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Looks through every process, or only through those that have run since they were looked at; tells
    /// who was found to hold what.
    pub fn scan(&mut self, listening: Vec<u64>, all: bool) -> HashSet<(u32, u64)> {
        self.listen(listening);
        let all = all || std::mem::take(&mut self.newborn);
        let mut processes = HashMap::new();
        let mut rested = HashSet::new();
        for (pid, identity) in proc_fds::processes().unwrap_or_default() {
            let process = Process { identity, ran: rest::has_run(pid) };
            if !all && process.ran.is_some() && self.processes.get(&pid) == Some(&process) {
                rested.insert(pid);
            }
            processes.insert(pid, process);
        }
        let others = processes.keys().copied().filter(|pid| !rested.contains(pid));
        let Scan { holdings: found, refused } = holders::scan_these(others, &self.listening);
        self.refused.retain(|pid| rested.contains(pid));
        self.refuse(refused);
        self.newborn = false;
        self.take_processes(processes);
        let has_rested = |pid: &u32| rested.contains(pid);
        if found.is_empty() && self.holders.iter().all(has_rested) {
            return HashSet::new();
        }
        let looked_at = |holding: &&Holding| !rested.contains(&holding.holder.pid);
        let open = self.holdings.iter().filter(|(id, _)| self.listening.contains(id));
        let then: usize = open.map(|(_, all)| all.iter().filter(looked_at).count()).sum();
        let same = |(id, now): (&u64, &Vec<Holding>)| {
            let then = self.holdings.get(id);
            then.is_some_and(|then| then.iter().filter(looked_at).eq(now))
        };
        if then == found.values().map(Vec::len).sum::<usize>() && found.iter().all(same) {
            return pairs(&found);
        }
        let open = self.holdings.iter_mut().filter(|(id, _)| self.listening.contains(id));
        open.for_each(|(_, all)| all.retain(|holding| !looked_at(&holding)));
        self.holdings.retain(|_, all| !all.is_empty());
        let left = self.holdings.iter().filter(|(id, _)| self.listening.contains(id));
        let left = left.flat_map(|(_, all)| all);
        self.holders = left.map(|holding| holding.holder.pid).collect();
        self.take(found)
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

    /// Looks at what began or ended since the last look: processes, and listeners by their `creator`
    /// where that is known. Whether a process has got or closed a descriptor of a listener that was
    /// there before, the next scan tells.
    pub fn catch_up(
        &mut self,
        listening: Vec<u64>,
        creator: impl Fn(u64) -> Option<u32>,
    ) -> HashSet<(u32, u64)> {
        let Ok(processes) = proc_fds::processes() else { return HashSet::new() };
        let newborn = self.listen(listening);
        let mut now = HashMap::new();
        let mut new = HashSet::new();
        for (pid, identity) in processes {
            let known = self.processes.get(&pid).filter(|known| known.identity == identity);
            let process = known.copied().unwrap_or_else(|| {
                new.insert(pid);
                Process { identity, ran: rest::has_run(pid) }
            });
            now.insert(pid, process);
        }
        let same = |pid: u32| now.contains_key(&pid) && !new.contains(&pid);
        let ended = self.holders.iter().any(|pid| !same(*pid));
        let listening = &self.listening;
        let open = self.holdings.iter_mut().filter(|(id, _)| ended && listening.contains(id));
        for (_, holdings) in open {
            holdings.retain(|holding| same(holding.holder.pid));
        }
        self.holders.retain(|pid| same(*pid));
        let Scan { holdings: mut found, refused } =
            holders::scan_these(new.iter().copied(), &self.listening);
        self.refused.retain(|pid| now.contains_key(pid) && !new.contains(pid));
        self.refuse(refused);
        let creators = newborn.iter().filter_map(|listener| creator(*listener));
        let creators: HashSet<u32> = creators.filter(|pid| same(*pid)).collect();
        for (listener, holdings) in holders::scan_these(creators.into_iter(), &newborn).holdings {
            found.entry(listener).or_default().extend(holdings);
        }
        self.take_processes(now);
        self.take(found)
    }

    /// Takes note of the processes that there are now. The first one is there for everybody, unless those of
    /// others are hidden.
    fn take_processes(&mut self, processes: HashMap<u32, Process>) {
        self.hidden = !processes.contains_key(&1);
        self.processes = processes;
    }

    /// Takes note of processes that did not let this one look: that nobody holds a listener is not known
    /// then.
    fn refuse(&mut self, refused: Vec<u32>) {
        self.refused.extend(refused);
    }

    /// Adds holders to those that are known.
    fn take(&mut self, found: Holdings) -> HashSet<(u32, u64)> {
        let pairs = pairs(&found);
        self.holders.extend(pairs.iter().map(|(pid, _)| *pid));
        for (listener, holdings) in found {
            let all = self.holdings.entry(listener).or_default();
            all.extend(holdings);
            all.sort_by(|one, other| one.holder.cmp(&other.holder));
            // Most listeners have one holder, and there may be thousands.
            all.shrink_to_fit();
        }
        pairs
    }
}

/// Who holds what.
fn pairs(found: &Holdings) -> HashSet<(u32, u64)> {
    let of = |(listener, all): (&u64, &Vec<Holding>)| -> Vec<_> {
        all.iter().map(|holding| (holding.holder.pid, *listener)).collect()
    };
    found.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        net::TcpListener,
        os::{
            fd::{AsRawFd as _, BorrowedFd},
            unix::process::CommandExt as _,
        },
        process::{Child, Command, Stdio},
    };

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::Census;
    use crate::host::inet_diag::listening_sockets;

    fn listener() -> (TcpListener, u64) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let all = listening_sockets().expect("a dump");
        let found = all.iter().find(|socket| socket.port == port).expect("the listener");
        (listener, found.inode)
    }

    /// A process that inherits the listener.
    fn heir(listener: &TcpListener) -> Child {
        let fd = listener.as_raw_fd();
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped());
        let inherit = move || {
            // SAFETY: the listener is open until the child has started.
            let listener = unsafe { BorrowedFd::borrow_raw(fd) };
            fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).map(drop).map_err(Into::into)
        };
        // SAFETY: one system call, which a forked child may make.
        unsafe { command.pre_exec(inherit) };
        command.spawn().expect("cat")
    }

    /// Who holds a listener, of these: what other tests start holds everything until it is another
    /// program.
    fn pids(census: &Census, inode: u64, of: &[u32]) -> Vec<u32> {
        let holdings = census.holdings().get(&inode).map(Vec::as_slice).unwrap_or_default();
        let all = holdings.iter().map(|holding| holding.holder.pid);
        all.filter(|pid| of.contains(pid)).collect()
    }

    #[test]
    fn processes_that_are_hidden_may_hold_anything() {
        let mut census = Census::default();
        let process = super::Process { identity: 1, ran: None };
        census.take_processes([(1, process), (7, process)].into());
        assert!(!census.was_refused());
        census.take_processes([(7, process)].into());
        assert!(census.was_refused());
        census.take_processes([(1, process)].into());
        assert!(!census.was_refused());
        census.refuse(vec![1]);
        assert!(census.was_refused());
    }

    #[test]
    fn what_comes_and_goes_between_two_scans_is_seen() {
        let own = std::process::id();
        let (first, inode) = listener();
        let mut census = Census::default();
        assert!(census.scan(vec![inode], true).contains(&(own, inode)));

        let mut child = heir(&first);
        let mut both = [own, child.id()];
        both.sort_unstable();
        assert_eq!(pids(&census, inode, &both), [own]);
        let found = census.catch_up(vec![inode], |_| None);
        assert!(found.contains(&(child.id(), inode)));
        assert!(!found.contains(&(own, inode)));
        assert_eq!(pids(&census, inode, &both), both);
        assert!(census.knows(child.id()));

        // Nothing new, and nobody twice.
        assert!(!census.catch_up(vec![inode], |_| None).contains(&(child.id(), inode)));
        assert_eq!(pids(&census, inode, &both), both);

        child.kill().expect("it runs");
        child.wait().expect("it ends");
        census.catch_up(vec![inode], |_| None);
        assert_eq!(pids(&census, inode, &both), [own]);
        assert!(!census.knows(child.id()));
    }

    #[test]
    fn only_who_has_run_is_looked_at_again() {
        let own = std::process::id();
        let (first, inode) = listener();
        let mut child = heir(&first);
        let mut census = Census::default();
        census.scan(vec![inode], true);
        // This process runs, and cat waits for input.
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            seen = census.scan(vec![inode], false);
            if !seen.contains(&(child.id(), inode)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(seen.contains(&(own, inode)));
        assert!(!seen.contains(&(child.id(), inode)), "it has not run");
        let both = [own.min(child.id()), own.max(child.id())];
        assert_eq!(pids(&census, inode, &both), both);
        // A descriptor more of who has run.
        let again = first.try_clone().expect("a descriptor");
        census.scan(vec![inode], false);
        assert_eq!(pids(&census, inode, &[own]), [own, own]);
        assert_eq!(pids(&census, inode, &[child.id()]), [child.id()]);
        drop(again);
        census.scan(vec![inode], false);
        assert_eq!(pids(&census, inode, &both), both);
        // What begins to listen may be held by who has not run since.
        let (_second, newborn) = listener();
        assert!(census.scan(vec![inode, newborn], false).contains(&(child.id(), inode)));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        census.scan(vec![inode, newborn], false);
        assert_eq!(pids(&census, inode, &both), [own]);
    }

    #[test]
    fn who_opened_a_listener_is_looked_at() {
        let own = std::process::id();
        let (_first, inode) = listener();
        let mut census = Census::default();
        census.scan(vec![inode], true);
        let (second, newborn) = listener();
        let both = vec![inode, newborn];
        assert!(census.catch_up(both.clone(), |_| Some(own)).contains(&(own, newborn)));
        let all = &census.holdings()[&newborn];
        let of_own = all.iter().find(|one| one.holder.pid == own);
        let holding = &of_own.expect("this process").holder;
        assert_eq!((holding.pid, holding.fd), (own, second.as_raw_fd()));
        assert_eq!(pids(&census, inode, &[own]), [own]);

        // Closed, its last holders stay known.
        drop(second);
        census.catch_up(vec![inode], |_| None);
        assert_eq!(pids(&census, newborn, &[own]), [own]);
        census.scan(vec![inode], true);
        assert_eq!(pids(&census, newborn, &[own]), [own]);
    }
}
