//! Who holds which listeners, kept up from look to look.

use std::collections::{HashMap, HashSet};

use crate::listener::{
    descriptors,
    holders::{self, Holding, Holdings},
};

/// What is known of the processes that hold listeners.
#[derive(Debug, Default)]
pub struct Census {
    holdings: Holdings,
    /// The processes that there were at the last look, and what tells each from another one with its id.
    processes: HashMap<u32, u64>,
    /// The listeners that there were at the last look.
    listening: HashSet<u64>,
    /// The same in the order in which they were told, which is mostly the same the next time.
    order: Vec<u64>,
    version: u64,
}

impl Census {
    /// Holders by listener. Of a listener that closed, the last holders stay known.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Another number for other holders: while it is the same, so are they.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether a process was there at the last look.
    #[must_use]
    pub fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Looks through every process, and tells who was found to hold what.
    pub fn scan(&mut self, listening: Vec<u64>) -> HashSet<(u32, u64)> {
        self.listen(listening);
        let processes = descriptors::processes().unwrap_or_default();
        let pids = processes.iter().map(|(pid, _)| *pid);
        let found = holders::scan_these(pids, &self.listening).holdings;
        self.processes = processes.into_iter().collect();
        let mut open = self.holdings.iter().filter(|(id, _)| self.listening.contains(id));
        let as_many = open.clone().count() == found.len();
        if as_many && open.all(|(id, all)| found.get(id) == Some(all)) {
            return pairs(&found);
        }
        self.version += 1;
        self.holdings.retain(|listener, _| !self.listening.contains(listener));
        self.take(found)
    }

    /// Takes note of what listens now, and tells what is new of it.
    fn listen(&mut self, listening: Vec<u64>) -> HashSet<u64> {
        if listening == self.order {
            return HashSet::new();
        }
        let now: HashSet<u64> = listening.iter().copied().collect();
        let newborn = now.difference(&self.listening).copied().collect();
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
        let Ok(processes) = descriptors::processes() else { return HashSet::new() };
        let newborn = self.listen(listening);
        let processes: HashMap<u32, u64> = processes.into_iter().collect();
        let same = |pid: u32| {
            processes.get(&pid).is_some_and(|identity| self.processes.get(&pid) == Some(identity))
        };
        let ended = self.processes.keys().any(|pid| !same(*pid));
        let listening = &self.listening;
        let open = self.holdings.iter_mut().filter(|(id, _)| ended && listening.contains(id));
        for (_, holdings) in open {
            let before = holdings.len();
            holdings.retain(|holding| same(holding.holder.pid));
            self.version += u64::from(holdings.len() != before);
        }
        let new = processes.keys().copied().filter(|pid| !same(*pid));
        let mut found = holders::scan_these(new, &self.listening).holdings;
        let creators = newborn.iter().filter_map(|listener| creator(*listener));
        let creators: HashSet<u32> = creators.filter(|pid| same(*pid)).collect();
        for (listener, holdings) in holders::scan_these(creators.into_iter(), &newborn).holdings {
            found.entry(listener).or_default().extend(holdings);
        }
        self.processes = processes;
        self.take(found)
    }

    /// Adds holders to those that are known.
    fn take(&mut self, found: Holdings) -> HashSet<(u32, u64)> {
        let pairs = pairs(&found);
        self.version += u64::from(!found.is_empty());
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
        net::TcpListener,
        os::{
            fd::{AsRawFd as _, BorrowedFd},
            unix::process::CommandExt as _,
        },
        process::{Child, Command, Stdio},
    };

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::Census;
    use crate::listener::diag::listening_sockets;

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
    fn what_comes_and_goes_between_two_scans_is_seen() {
        let own = std::process::id();
        let (first, inode) = listener();
        let mut census = Census::default();
        assert!(census.scan(vec![inode]).contains(&(own, inode)));

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
    fn who_opened_a_listener_is_looked_at() {
        let own = std::process::id();
        let (_first, inode) = listener();
        let mut census = Census::default();
        census.scan(vec![inode]);
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
        census.scan(vec![inode]);
        assert_eq!(pids(&census, newborn, &[own]), [own]);
    }
}
