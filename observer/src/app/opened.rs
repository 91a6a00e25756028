//! What a face says of its window on standard error: that it is open, what is waited for, why it ended.

use crate::app::{
    args::FilterArgs,
    render::{labels, table::heading, text},
    run::say,
};
use observer::{Observer, host::filter, model::Via};

/// Says that every program is attached: to people, and to scripts that wait for it. `tells_drops` says whether drops
/// are shown one by one.
pub fn say_opened(observer: &Observer, filters: &FilterArgs, tells_drops: bool) {
    let listeners = match observer.chosen() {
        1 => "1 listener".to_owned(),
        count => format!("{count} listeners"),
    };
    let hooks = heading::hooks(observer.providers()).0;
    say(&format!("observing {listeners}: {hooks}"));
    say_pid_namespace(observer);
    if tells_drops && observer.providers().drops.via == Via::Tracepoint {
        say(
            "observer: by tracepoint, only drops at the final ACK are seen one by one, since Linux 6.18; the \
             others are counted",
        );
    }
    if observer.chosen() == 0 {
        for path in filters.cgroup.iter().filter(|path| !filter::is_cgroup(path)) {
            let path = text::clean(&path.display().to_string());
            say(&format!("observer: there is no cgroup {path} now"));
        }
        if let Some(waits) = labels::waiting(filters) {
            say(&format!("observer: {waits}"));
        }
    }
}

/// Says where processes outside of a PID namespace are not known.
pub fn say_pid_namespace(observer: &Observer) {
    if let Some(inode) = observer.pid_namespace() {
        say(&format!(
            "observer: this is PID namespace {inode} and not the host's: tasks outside of it are \
             counted without process ids, and who holds a listener there is not known; run it in the \
             host's (--pid=host, or hostPID: true in Kubernetes)"
        ));
    }
}

/// Says why the window ends before anybody asked for that.
pub fn say_all_ended(pids: &[u32]) {
    let of = match pids {
        [pid] => format!("process {pid} has"),
        _ => "all processes named with --pid have".to_owned(),
    };
    say(&format!("observer: {of} ended, and the window with it"));
}
