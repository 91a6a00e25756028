//! Where network namespaces are found, and how each is looked at from inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use crate::host::{
    netns_links::{self, inode_of},
    processes::Processes,
};

/// How long a look at one network namespace may take: that at ten thousand listeners takes some ten milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A path to each network namespace that a process is in or that has a name, by inode number.
///
/// No namespace is held open: that would keep it alive after its last process.
#[derive(Debug, Default)]
pub struct Places {
    paths: BTreeMap<u64, PathBuf>,
    /// When the directories of names changed last, as was seen when they were read.
    named: [Option<SystemTime>; NAMES.len()],
}

/// Directories of names.
const NAMES: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// How long after a directory has changed it is read again, though it says that it has not changed since: the
/// kernel's clock for files goes in steps.
const STEP: Duration = Duration::from_millis(100);

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
    /// Namespaces of all processes, and those that have names.
    #[must_use]
    pub fn new(processes: &mut Processes) -> Self {
        let mut places = Self::default();
        places.find(processes);
        places
    }

    /// Looks for all of them anew. Processes that have not run since are where they were.
    pub fn find(&mut self, processes: &mut Processes) {
        self.paths.clear();
        self.note_all(processes, true);
    }

    /// Looks where processes are that are new, and at all names. A process that has entered another
    /// namespace since is found there by [`Self::find`] only; what becomes of the path that led through it
    /// is noticed when it is next used.
    pub fn find_new(&mut self, processes: &mut Processes) {
        self.note_all(processes, false);
    }

    fn note_all(&mut self, processes: &mut Processes, again: bool) {
        for (netns, pid, tid) in processes.namespaces(again) {
            self.paths.entry(netns).or_insert_with(|| netns_links::of_thread(pid, tid));
        }
        // The file system that namespaces are on (nsfs).
        let namespaces = fs::metadata("/proc/thread-self/ns/net").ok().map(|own| own.dev());
        for (at, directory) in NAMES.iter().enumerate() {
            let changed = fs::metadata(directory).ok().and_then(|it| it.modified().ok());
            if !again && changed == self.named.get(at).copied().flatten() {
                continue;
            }
            let mut settled = changed.is_some_and(|at| at.elapsed().is_ok_and(|it| it > STEP));
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                settled &= self.note(entry.path(), namespaces);
            }
            if let Some(named) = self.named.get_mut(at) {
                *named = changed.filter(|_| settled);
            }
        }
    }

    /// Whether a namespace was found.
    #[must_use]
    pub fn contains(&self, netns: u64) -> bool {
        self.paths.contains_key(&netns)
    }

    /// Takes note of a name, and says whether it leads to a namespace: it is made as an empty file first.
    fn note(&mut self, path: PathBuf, namespaces: Option<u64>) -> bool {
        let found = fs::metadata(&path).ok().filter(|found| Some(found.dev()) == namespaces);
        found.map(|found| self.paths.entry(found.ino()).or_insert(path)).is_some()
    }

    /// Looks at each that is not left alone. Where a path leads somewhere else by now, all are looked for again, once.
    pub fn look_at_each<T: Send + 'static>(
        &mut self,
        processes: &mut Processes,
        left_alone: impl Fn(u64) -> bool,
        look: fn() -> Result<T>,
    ) -> Looks<T> {
        let own = own();
        let mut looks = Looks::default();
        let mut failed = self.look_at(own, &left_alone, look, &mut looks);
        if !failed.is_empty() {
            self.find(processes);
            failed = self.look_at(own, &left_alone, look, &mut looks);
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
        left_alone: impl Fn(u64) -> bool,
        look: fn() -> Result<T>,
        looks: &mut Looks<T>,
    ) -> Vec<(u64, anyhow::Error)> {
        let mut failed = Vec::new();
        let is_left = |inode: &u64| looks.seen.contains_key(inode) || left_alone(*inode);
        let rest = self.paths.iter().filter(|(inode, _)| !is_left(inode));
        for (inode, found) in inside_each(own, rest, look) {
            match found {
                Ok(namespace) => drop(looks.seen.insert(inode, namespace)),
                Err(error) => failed.push((inode, error)),
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
        let wanted = self.paths.iter().filter(|(inode, _)| wanted.contains(inode));
        let mut all = BTreeMap::new();
        for (inode, found) in inside_each(own(), wanted, read) {
            match found {
                Ok(found) => drop(all.insert(inode, found)),
                Err(error) => log::debug!("network namespace {inode} is left out: {error:#}"),
            }
        }
        all
    }
}

fn own() -> Option<u64> {
    inode_of("/proc/thread-self/ns/net")
}

/// Does something in each of these namespaces: from a thread that enters one after the other and ends, but for the
/// own. Where one takes too long, those behind it are errors too.
fn inside_each<'a, T: Send + 'static>(
    own: Option<u64>,
    namespaces: impl Iterator<Item = (&'a u64, &'a PathBuf)>,
    look: fn() -> Result<T>,
) -> Vec<(u64, Result<T>)> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for (inode, path) in namespaces {
        if own == Some(*inode) {
            found.push((*inode, look()));
        } else {
            others.push((*inode, path.clone()));
        }
    }
    if others.is_empty() {
        return found;
    }
    let visit = Arc::new(Visit::default());
    let (visited, wanted) = (visit.clone(), others.clone());
    let go = move || visited.go(wanted, look);
    let began = thread::Builder::new().name("netns".into()).spawn(go);
    let mut seen = if began.is_ok() { visit.wait() } else { BTreeMap::new() };
    for (inode, _) in others {
        let late = || Err(anyhow!("it, or one before it, was not looked at in time"));
        found.push((inode, seen.remove(&inode).unwrap_or_else(late)));
    }
    found
}

/// What a thread sees that goes from one namespace to the next. Whoever waits for it is woken once.
struct Visit<T> {
    seen: Mutex<Seen<T>>,
    ended: Condvar,
}

struct Seen<T> {
    found: BTreeMap<u64, Result<T>>,
    has_ended: bool,
    /// Whether nobody waits any more.
    given_up: bool,
}

impl<T> Default for Visit<T> {
    fn default() -> Self {
        let seen = Seen { found: BTreeMap::new(), has_ended: false, given_up: false };
        Self { seen: Mutex::new(seen), ended: Condvar::new() }
    }
}

impl<T> Visit<T> {
    fn seen(&self) -> MutexGuard<'_, Seen<T>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go(&self, namespaces: Vec<(u64, PathBuf)>, look: fn() -> Result<T>) {
        // Also where a look ends in a panic.
        let _end = End(self);
        for (inode, path) in namespaces {
            let one = enter(inode, &path).and_then(|()| look());
            let mut seen = self.seen();
            if seen.given_up {
                return;
            }
            seen.found.insert(inode, one);
        }
    }

    /// Waits for its end, or until nothing more was seen for long.
    fn wait(&self) -> BTreeMap<u64, Result<T>> {
        let (mut seen, mut count) = (self.seen(), 0);
        while !seen.has_ended {
            let waited = self.ended.wait_timeout(seen, PATIENCE);
            let timeout;
            (seen, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && seen.found.len() == count {
                seen.given_up = true;
                break;
            }
            count = seen.found.len();
        }
        std::mem::take(&mut seen.found)
    }
}

/// Says that a visit ended.
struct End<'a, T>(&'a Visit<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.seen().has_ended = true;
        self.0.ended.notify_all();
    }
}

/// Moves this thread to a namespace.
fn enter(inode: u64, path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    // The process may have ended, and another may have its id.
    if file.metadata()?.ino() != inode {
        bail!("{} leads to another one by now", path.display());
    }
    setns(&file, CloneFlags::CLONE_NEWNET).context("cannot enter it")
}

#[cfg(test)]
mod tests {
    use super::{Places, own};
    use crate::host::{netns::Namespace, processes::Processes};

    /// No namespace's inode number.
    const GONE: u64 = 1;

    #[test]
    fn processes_that_are_new_are_asked() {
        let own = own().expect("/proc");
        let mut processes = Processes::default();
        let mut places = Places::new(&mut processes);
        assert!(places.contains(own));
        places.paths.clear();
        places.find_new(&mut processes);
        assert!(places.contains(own), "known");
        // As if no process had been there.
        let paths = std::mem::take(&mut places.paths);
        places.find_new(&mut Processes::default());
        assert!(places.contains(own), "found anew, beside {paths:?}");
    }

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_not_believed() {
        let own = own().expect("/proc");
        let mut processes = Processes::default();
        let mut places = Places::new(&mut processes);
        places.paths.insert(GONE, "/proc/self/ns/net".into());
        let wanted = [own, GONE].into();
        let seen = places.of_each(&wanted, || Ok(()));
        assert!(seen.contains_key(&own) && !seen.contains_key(&GONE));
        let looks = places.look_at_each(&mut processes, |_| false, || Ok(Namespace::default()));
        assert!(looks.seen.contains_key(&own) && !looks.seen.contains_key(&GONE));
        assert!(!looks.left_out.contains(&GONE), "it is not there any more");
        assert!(!places.contains(GONE));
    }

    #[test]
    fn namespaces_that_are_left_alone_are_not_looked_at() {
        let own = own().expect("/proc");
        let mut processes = Processes::default();
        let mut places = Places::new(&mut processes);
        let looks = places.look_at_each(&mut processes, |one| one == own, || Ok(()));
        assert!(!looks.seen.contains_key(&own));
        let looks = places.look_at_each(&mut processes, |_| false, || Ok(()));
        assert!(looks.seen.contains_key(&own));
    }
}
