//! Which listeners the filters choose: values of one flag are alternatives, different flags must
//! all hold, and the flags about processes must hold for one and the same process.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{config::Filters, host::holders::Holdings};

/// A process as the filters see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Process id.
    pub pid: u32,
    /// Its name.
    pub comm: &'a str,
}

/// The filters, and what they have chosen so far. A listener that was chosen once stays chosen while it is
/// reported, whoever holds it later.
#[derive(Debug, Default)]
pub struct Selection {
    filters: Filters,
    chosen: HashSet<u64>,
}

impl Selection {
    /// The selection by `filters`.
    #[must_use]
    pub fn new(filters: Filters) -> Self {
        Self { filters, chosen: HashSet::new() }
    }

    /// Whether a filter asks who holds a listener.
    #[must_use]
    pub fn asks_for_processes(&self) -> bool {
        self.filters.ask_for_processes()
    }

    /// Whether there are no filters.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.filters.port.is_empty() && !self.asks_for_processes()
    }

    /// Whether a port passes the filters.
    #[must_use]
    pub fn wants_port(&self, port: u16) -> bool {
        self.filters.port.is_empty() || self.filters.port.contains(&port)
    }

    /// Chooses among the listeners that processes hold now.
    pub fn update(&mut self, holdings: &Holdings, tree: &HashSet<u32>) {
        if !self.asks_for_processes() {
            return;
        }
        let mut cgroups = HashMap::new();
        for (listener, holders) in holdings {
            if !self.chosen.contains(listener)
                && holders.iter().any(|holding| {
                    let holder = &holding.holder;
                    let candidate = Candidate { pid: holder.pid, comm: &holder.comm };
                    self.process_passes(candidate, tree, &mut cgroups)
                })
            {
                self.chosen.insert(*listener);
            }
        }
    }

    /// Chooses a listener by the process that opened it, which may be gone already.
    ///
    /// `of_tree` says whether that process was one of `--pid` or below it when it opened it.
    pub fn consider_creator(&mut self, listener: u64, creator: Candidate<'_>, of_tree: bool) {
        let tree = of_tree.then_some(creator.pid).into_iter().collect();
        if self.asks_for_processes() && self.process_passes(creator, &tree, &mut HashMap::new()) {
            self.chosen.insert(listener);
        }
    }

    /// Forgets the listeners that are not there any more and of which nothing is reported: their numbers are used
    /// again.
    pub fn forget_all_but(&mut self, there: impl Fn(u64) -> bool) {
        self.chosen.retain(|listener| there(*listener));
    }

    /// Whether a listener is chosen.
    #[must_use]
    pub fn contains(&self, listener: u64, port: u16) -> bool {
        self.wants_port(port) && (!self.asks_for_processes() || self.chosen.contains(&listener))
    }

    /// Whether a listener that processes hold is chosen, whatever its port.
    #[must_use]
    pub fn contains_held(&self, listener: u64) -> bool {
        !self.asks_for_processes() || self.chosen.contains(&listener)
    }

    fn process_passes(
        &self,
        candidate: Candidate<'_>,
        tree: &HashSet<u32>,
        cgroups: &mut HashMap<u32, Vec<PathBuf>>,
    ) -> bool {
        let Filters { pid, comm, cgroup, port: _ } = &self.filters;
        (pid.is_empty() || tree.contains(&candidate.pid))
            && (comm.is_empty() || comm.iter().any(|name| name_matches(name, candidate.comm)))
            && (cgroup.is_empty() || {
                let member = cgroups.entry(candidate.pid).or_insert_with(|| of_pid(candidate.pid));
                cgroup.iter().any(|path| is_below(path, member))
            })
    }
}

/// The kernel keeps fifteen bytes of a name; a longer one is compared by those.
fn name_matches(wanted: &str, comm: &str) -> bool {
    let kept = wanted.as_bytes().get(..15).unwrap_or(wanted.as_bytes());
    kept == comm.as_bytes()
}

/// Where cgroups are mounted, by custom.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The cgroups of a process, one for each hierarchy, as paths below the mount point.
fn of_pid(pid: u32) -> Vec<PathBuf> {
    parse_cgroups(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
}

fn parse_cgroups(text: &str) -> Vec<PathBuf> {
    text.lines().filter_map(|line| Some(PathBuf::from(line.splitn(3, ':').nth(2)?))).collect()
}

/// Whether one of a process's cgroups is `wanted` or below it. `wanted` may be written as the
/// kernel does, `/system.slice/nginx.service`, or as the path of a directory below /sys/fs/cgroup,
/// where version 1 has one directory for each hierarchy.
fn is_below(wanted: &Path, member: &[PathBuf]) -> bool {
    let bare = match wanted.strip_prefix(CGROUPS) {
        Ok(below) => Path::new("/").join(below),
        Err(_) => Path::new("/").join(wanted),
    };
    let without_hierarchy: Option<PathBuf> = wanted
        .starts_with(CGROUPS)
        .then(|| Path::new("/").join(bare.components().skip(2).collect::<PathBuf>()));
    // The root of a hierarchy would take every process of the host; that is what it says.
    member.iter().any(|path| {
        path.starts_with(&bare)
            || without_hierarchy
                .as_ref()
                .is_some_and(|short| short.as_os_str() != "/" && path.starts_with(short))
    })
}

/// Whether there is such a cgroup now, in either spelling. Where cgroups are mounted elsewhere, every
/// one may be.
#[must_use]
pub fn is_cgroup(wanted: &Path) -> bool {
    let root = Path::new(CGROUPS);
    if wanted.starts_with(root) {
        return wanted.is_dir();
    }
    let below =
        |hierarchy: &Path| hierarchy.join(wanted.strip_prefix("/").unwrap_or(wanted)).is_dir();
    let Ok(hierarchies) = fs::read_dir(root) else { return true };
    below(root) || hierarchies.flatten().any(|hierarchy| below(&hierarchy.path()))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        path::{Path, PathBuf},
    };

    use super::{Selection, is_below, name_matches, parse_cgroups};
    use crate::{
        config::Filters,
        host::holders::{Holding, Holdings},
        model::Holder,
    };

    fn holdings(rows: &[(u64, u32, &str)]) -> Holdings {
        let mut holdings = Holdings::default();
        for (listener, pid, comm) in rows {
            let holder = Holder { pid: *pid, comm: (*comm).into(), fd: 3, wait: None };
            holdings.entry(*listener).or_default().push(Holding { holder, parent: 1 });
        }
        holdings
    }

    #[test]
    fn without_filters_everything_is_chosen() {
        let selection = Selection::new(Filters::default());
        assert!(selection.contains(1, 80));
        assert!(!selection.asks_for_processes());
    }

    #[test]
    fn what_is_not_there_any_more_is_not_chosen_when_its_number_is_used_again() {
        let filters = Filters { comm: vec!["nginx".into()], ..Filters::default() };
        let mut selection = Selection::new(filters);
        selection.update(&holdings(&[(1, 10, "nginx"), (2, 10, "nginx")]), &HashSet::new());
        selection.forget_all_but(|listener| listener == 1);
        assert!(selection.contains(1, 80) && !selection.contains(2, 80));
    }

    #[test]
    fn values_of_one_flag_are_alternatives_and_flags_must_all_hold() {
        let filters = Filters {
            port: vec![80, 81],
            comm: vec!["nginx".into(), "envoy".into()],
            ..Filters::default()
        };
        let mut selection = Selection::new(filters);
        let rows = holdings(&[(1, 10, "nginx"), (2, 11, "envoy"), (3, 12, "other")]);
        selection.update(&rows, &HashSet::new());
        assert!(selection.contains(1, 80));
        assert!(selection.contains(2, 81));
        assert!(!selection.contains(1, 82));
        assert!(!selection.contains(3, 80));
    }

    #[test]
    fn flags_about_processes_must_hold_for_one_process() {
        let filters = Filters { pid: vec![10], comm: vec!["nginx".into()], ..Filters::default() };
        let mut selection = Selection::new(filters);
        let rows = holdings(&[(1, 10, "envoy"), (1, 11, "nginx"), (2, 10, "nginx")]);
        selection.update(&rows, &HashSet::from([10]));
        assert!(!selection.contains(1, 80));
        assert!(selection.contains(2, 80));
    }

    #[test]
    fn a_listener_stays_chosen() {
        let filters = Filters { pid: vec![10], ..Filters::default() };
        let mut selection = Selection::new(filters);
        selection.update(&holdings(&[(1, 10, "a")]), &HashSet::from([10]));
        selection.update(&holdings(&[]), &HashSet::new());
        assert!(selection.contains(1, 80));
    }

    #[test]
    fn long_names_are_compared_by_what_the_kernel_keeps() {
        assert!(name_matches("a-very-long-program-name", "a-very-long-pro"));
        assert!(name_matches("nginx", "nginx"));
        assert!(!name_matches("ngin", "nginx"));
    }

    #[test]
    fn a_cgroup_that_is_not_there_is_told() {
        assert!(!super::is_cgroup(Path::new("/sys/fs/cgroup/no-such-group")));
        if Path::new("/sys/fs/cgroup").is_dir() {
            assert!(super::is_cgroup(Path::new("/sys/fs/cgroup")));
            assert!(super::is_cgroup(Path::new("/")));
            assert!(!super::is_cgroup(Path::new("/no-such-group")));
        }
    }

    #[test]
    fn cgroups_are_found_in_both_spellings_and_versions() {
        let member = parse_cgroups("4:memory:/a/b\n0::/system.slice/nginx.service\n");
        let below = |path: &str| is_below(Path::new(path), &member);
        assert_eq!(member[1], PathBuf::from("/system.slice/nginx.service"));
        assert!(below("/system.slice"));
        assert!(below("system.slice/nginx.service"));
        assert!(below("/sys/fs/cgroup/system.slice"));
        assert!(below("/sys/fs/cgroup/memory/a"));
        assert!(!below("/sys/fs/cgroup/memory/c"));
        assert!(!below("/system"));
        assert!(!below("/user.slice"));
        assert!(below("/"));
    }
}
