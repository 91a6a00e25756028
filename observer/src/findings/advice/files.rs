//! More file descriptors: the server's own setting, its unit's, its container's.

use super::about::{About, Advice};
use crate::findings::words::sentence;

/// Descriptors that are enough for most servers; a limit that is not far below is doubled.
const ENOUGH: u64 = 65_536;

/// Most processes whose limit is raised by a command each.
const MOST: usize = 8;

/// Accept fails for want of descriptors.
pub(super) fn exhausted(about: &About<'_>) -> Advice {
    let errors = &about.listener.accept_errors;
    let has = |name: &str| errors.get(name).is_some_and(|count| *count > 0);
    let (system, process) = (has("ENFILE"), has("EMFILE"));
    if system && !process {
        // How many are enough depends on who holds them.
        let steps = vec!["sysctl fs.file-nr fs.file-max".to_owned()];
        return Advice { fix: None, steps, source: None };
    }
    let limit = about.listener.server.as_ref().and_then(|server| server.open_files_limit);
    let files = limit.map_or(ENOUGH, |limit| limit.saturating_mul(2).max(ENOUGH));
    let mut steps =
        about.server.map(|server| about.lines(&server.files, Some(files))).unwrap_or_default();
    steps.extend(about.place.files(&pids(about), files));
    let fix = about.server.map(|server| {
        let own = match server.files.place {
            "" => String::new(),
            place => format!(" in {place}"),
        };
        let does = match server.exhausted {
            "" => String::new(),
            does => format!(" Without a descriptor, {} {does}.", server.name),
        };
        let clause = format!(
            "raise {}'s limit on open files{own} and LimitNOFILE= of its unit, or find the descriptors that \
             it leaks",
            server.name
        );
        let system = if system { " Then raise fs.file-max (ENFILE)." } else { "" };
        sentence(&clause) + &does + system
    });
    let source =
        fix.as_ref().and(about.server).map(|server| format!("{}; getrlimit(2)", server.source));
    Advice { fix, steps, source }
}

/// The processes that met the limit, or the one that is known.
fn pids(about: &About<'_>) -> Vec<u32> {
    let workers = about.listener.workers.iter();
    let met = workers.filter(|worker| worker.accept_errors.contains_key("EMFILE"));
    let mut pids: Vec<u32> = met.filter_map(|worker| worker.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.truncate(MOST);
    if pids.is_empty() {
        pids.extend(about.listener.server.as_ref().map(|server| server.pid));
    }
    pids
}
