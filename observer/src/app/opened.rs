//! What every face that opens a window says on standard error: that it observes, and why it ends by itself.

use crate::app::{
    args::FilterArgs,
    render::{
        table::{self, heading},
        text,
    },
    run::say,
};
use observer::{Observer, host::filter};

/// Says that every program is attached: to people, and to scripts that wait for it. What is waited for is said
/// where there is no listener yet.
pub fn say_opened(filters: &FilterArgs, observer: &Observer) {
    let listeners = match observer.chosen() {
        1 => "1 listener".to_owned(),
        count => format!("{count} listeners"),
    };
    let hooks = heading::hooks(observer.providers()).0;
    say(&format!("observing {listeners}: {hooks}"));
    if let Some(inode) = observer.pid_namespace() {
        say(&format!(
            "observer: this is PID namespace {inode} and not the host's: tasks outside of it are \
             counted without process ids, and who holds a listener there is not known; run it in the \
             host's (--pid=host, or hostPID: true in Kubernetes)"
        ));
    }
    if observer.chosen() == 0 {
        for path in filters.cgroup.iter().filter(|path| !filter::is_cgroup(path)) {
            let path = text::clean(&path.display().to_string());
            say(&format!("observer: there is no cgroup {path} now"));
        }
        if let Some(waits) = waiting(filters) {
            say(&format!("observer: {waits}"));
        }
    }
}

/// What is waited for where no listener passes the filters; nothing where there is none.
fn waiting(filters: &FilterArgs) -> Option<String> {
    let FilterArgs { pid, port, comm, cgroup } = filters;
    let only_pids = port.is_empty() && comm.is_empty() && cgroup.is_empty();
    if only_pids && pid.is_empty() {
        return None;
    }
    if only_pids {
        let pids: Vec<_> = pid.iter().map(ToString::to_string).collect();
        return Some(format!(
            "no listener is held by process {} or a descendant yet; waiting for one",
            pids.join(", ")
        ));
    }
    Some(format!("no listener matches {} yet; waiting for one", table::flags(filters)))
}

/// Says why the window ends before anybody asked for that.
pub fn say_all_ended(pids: &[u32]) {
    let of = match pids {
        [pid] => format!("process {pid} has"),
        _ => "all processes named with --pid have".to_owned(),
    };
    say(&format!("observer: {of} ended, and the window with it"));
}
