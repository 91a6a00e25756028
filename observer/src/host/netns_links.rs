//! Network namespaces as the links in /proc tell them.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::host::proc_fds;

/// Inode number of a network namespace, and a thread that is in it.
pub(super) type Link = (u64, u32);

/// The network namespace of a process, and the thread that has it: an ended one has none
/// (`exit_task_namespaces`), and the main thread may end before the others.
pub(super) fn of_process(pid: u32) -> Option<Link> {
    let of = |tid| Some((inode_of(of_thread(pid, tid))?, tid));
    of(pid).or_else(|| proc_fds::threads(pid).into_iter().find_map(of))
}

/// The path of a thread's network namespace.
pub(super) fn of_thread(pid: u32, tid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}/ns/net"))
}

/// Inode number of the namespace that a path leads to.
pub(super) fn inode_of(path: impl AsRef<Path>) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}
