//! All that was started below a process.

use std::{collections::HashSet, os::fd::OwnedFd};

use observer::host::descendants;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Sends a signal to every process below `root`.
///
/// A process is held by a descriptor before it is looked at again whether it belongs to them: its id may have become
/// somebody else's in between.
pub(super) fn signal(root: u32, signal: Signal) {
    let before = below(root);
    let held: Vec<(u32, OwnedFd)> =
        before.into_iter().filter_map(|pid| Some((pid, open(pid)?))).collect();
    let still = below(root);
    for (pid, process) in held {
        if still.contains(&pid) {
            let _ended = pidfd_send_signal(process, signal);
        }
    }
}

/// Processes below `root`.
pub(super) fn below(root: u32) -> HashSet<u32> {
    let mut all = descendants::of(&[root]);
    all.remove(&root);
    all
}

fn open(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}
