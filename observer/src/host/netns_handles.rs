//! Where network namespaces are found, and how each is looked at from inside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use crate::host::{cpu_time, proc_fds};

/// A path to each network namespace that a process is in or that has a name, by inode number.
///
/// No namespace is held open: that would keep it alive after its last process.
#[derive(Debug, Default)]
pub struct Places {
    paths: BTreeMap<u64, PathBuf>,
    /// The processes that were asked.
    known: HashMap<u32, Known>,
}

/// What a process said when it was asked.
#[derive(Clone, Copy, Debug)]
struct Known {
    pid: u32,
    /// What tells it from another one with its id.
    identity: u64,
    /// How long it had run, before that.
    ran: Option<u64>,
    /// Where it was, and its thread that /proc tells this of.
    netns: Option<(u64, u32)>,
}

/// What was seen in the namespaces that were looked at, and those that were not.
#[derive(Clone, Debug)]
pub struct Looks<T> {
    /// What was seen, by inode number.
    pub seen: BTreeMap<u64, T>,
    /// Inode numbers of those that could not be entered or read.
    pub left_out: Vec<u64>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self { seen: BTreeMap::new(), left_out: Vec::new() }
    }
}

impl Places {
    /// Asks every process.
    #[must_use]
    pub fn new() -> Self {
        let mut places = Self::default();
        places.find();
        places
    }

    /// Asks every process anew, but for those that have not run since: they are where they were.
    pub fn find(&mut self) {
        self.paths.clear();
        self.ask(|known| known.ran.is_some() && known.ran == cpu_time::of_process(known.pid));
    }

    /// Asks the processes that are new, and looks at all names. A process that has entered another
    /// namespace since it was asked is asked again by [`Self::find`] only; what becomes of the path
    /// that led through it is noticed when it is next used.
    pub fn find_new(&mut self) {
        self.ask(|_| true);
    }

    /// Asks those processes of which what is known will not do.
    fn ask(&mut self, will_do: impl Fn(&Known) -> bool) {
        let mut before = std::mem::take(&mut self.known);
        for (pid, identity) in proc_fds::processes().unwrap_or_default() {
            let same = before.remove(&pid).filter(|known| known.identity == identity);
            let known = same.filter(&will_do).unwrap_or_else(|| {
                let ran = cpu_time::of_process(pid);
                Known { pid, identity, ran, netns: of_process(pid) }
            });
            if let Some((netns, tid)) = known.netns {
                self.paths.entry(netns).or_insert_with(|| of_thread(pid, tid));
            }
            self.known.insert(pid, known);
        }
        for directory in ["/run/netns", "/run/docker/netns"] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                self.note(entry.path());
            }
        }
    }

    /// Whether a namespace was found.
    #[must_use]
    pub fn contains(&self, netns: u64) -> bool {
        self.paths.contains_key(&netns)
    }

    fn note(&mut self, path: PathBuf) {
        if let Some(inode) = inode_of(&path) {
            self.paths.entry(inode).or_insert(path);
        }
    }

    /// Looks at each. Where a path leads somewhere else by now, all are looked for again, once.
    pub fn look_at_each<T: Send + 'static>(&mut self, look: fn() -> Result<T>) -> Looks<T> {
        let own = own();
        let mut looks = Looks::default();
        let mut failed = self.look_at(own, look, &mut looks);
        if !failed.is_empty() {
            self.find();
            failed = self.look_at(own, look, &mut looks);
        }
        for (inode, error) in failed {
            log::debug!("network namespace {inode} is left out: {error:#}");
            looks.left_out.push(inode);
        }
        looks
    }

    /// Looks at those that were not seen yet, and tells which failed.
    fn look_at<T: Send + 'static>(
        &self,
        own: Option<u64>,
        look: fn() -> Result<T>,
        looks: &mut Looks<T>,
    ) -> Vec<(u64, anyhow::Error)> {
        let mut failed = Vec::new();
        for (inode, path) in &self.paths {
            if looks.seen.contains_key(inode) {
                continue;
            }
            match inside(own, *inode, path, look) {
                Ok(namespace) => drop(looks.seen.insert(*inode, namespace)),
                Err(error) => failed.push((*inode, error)),
            }
        }
        failed
    }

    /// What is read in each of these network namespaces; those that cannot be entered are left out.
    pub fn of_each<T: Send + 'static>(
        &self,
        wanted: &BTreeSet<u64>,
        read: fn() -> Result<T>,
    ) -> BTreeMap<u64, T> {
        let own = own();
        let mut all = BTreeMap::new();
        for (inode, path) in self.paths.iter().filter(|(inode, _)| wanted.contains(inode)) {
            match inside(own, *inode, path, read) {
                Ok(found) => drop(all.insert(*inode, found)),
                Err(error) => log::debug!("network namespace {inode} is left out: {error:#}"),
            }
        }
        all
    }
}

fn own() -> Option<u64> {
    inode_of("/proc/thread-self/ns/net")
}

/// The network namespace of a process, and the thread that has it: an ended one has none
/// (`exit_task_namespaces`), and the main thread may end before the others.
fn of_process(pid: u32) -> Option<(u64, u32)> {
    let of = |tid| Some((inode_of(of_thread(pid, tid))?, tid));
    of(pid).or_else(|| proc_fds::threads(pid).into_iter().find_map(of))
}

/// The path of a thread's network namespace.
fn of_thread(pid: u32, tid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}/ns/net"))
}

fn inode_of(path: impl AsRef<Path>) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Does something in a namespace: from a thread that enters it and ends there, unless it is the own.
fn inside<T: Send + 'static>(
    own: Option<u64>,
    inode: u64,
    path: &Path,
    look: fn() -> Result<T>,
) -> Result<T> {
    if own == Some(inode) {
        return look();
    }
    let path = path.to_owned();
    let worker = thread::Builder::new().name("netns".into()).spawn(move || {
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        // The process may have ended, and another may have its id.
        if file.metadata()?.ino() != inode {
            bail!("{} leads to another one by now", path.display());
        }
        setns(&file, CloneFlags::CLONE_NEWNET).context("cannot enter it")?;
        look()
    })?;
    worker.join().map_err(|_| anyhow!("the thread that looked at it ended early"))?
}

#[cfg(test)]
mod tests {
    use super::{Places, own};
    use crate::host::netns::Namespace;

    /// No namespace's inode number.
    const GONE: u64 = 1;

    #[test]
    fn processes_that_are_new_are_asked() {
        let own = own().expect("/proc");
        let mut places = Places::new();
        assert!(places.contains(own));
        // As if this process had not been there, and another one with its id.
        places.paths.clear();
        places.find_new();
        let paths = places.paths.clone();
        let own_entry = places.known.get_mut(&std::process::id()).expect("this process");
        own_entry.identity = 0;
        own_entry.netns = None;
        places.find_new();
        assert!(places.contains(own), "found anew, beside {paths:?}");
    }

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_not_believed() {
        let own = own().expect("/proc");
        let mut places = Places::new();
        places.paths.insert(GONE, "/proc/self/ns/net".into());
        let wanted = [own, GONE].into();
        let seen = places.of_each(&wanted, || Ok(()));
        assert!(seen.contains_key(&own) && !seen.contains_key(&GONE));
        let looks = places.look_at_each(|| Ok(Namespace::default()));
        assert!(looks.seen.contains_key(&own) && !looks.seen.contains_key(&GONE));
        assert!(!looks.left_out.contains(&GONE), "it is not there any more");
        assert!(!places.contains(GONE));
    }
}
