//! What the descriptors of a process are, by one system call each.
//!
//! procfs opens every descriptor's entry and asks for its mode too, which is four calls; with ten
//! thousand listeners in one process that is most of what observer does.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw},
    io::Errno,
};

/// Room for the entries of a directory that one call reads.
const ENTRIES: usize = 4096;
/// Longer than any `socket:[INODE]`; what is longer is cut and is no socket.
const TARGET: usize = 64;

/// What a descriptor that matters here leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A socket, by its inode number.
    Socket(u64),
    /// An epoll instance.
    Epoll,
    /// Anything else.
    Other,
}

/// The processes that /proc shows: the id of each, with what tells it from another one that had or
/// will have the same id. That is the inode number of its directory, which /proc counts up
/// (`get_next_ino`); that it changes does not say that the process did.
///
/// # Errors
///
/// When /proc cannot be read.
pub fn processes() -> io::Result<Vec<(u32, u64)>> {
    let mut found = Vec::new();
    for_each("/proc", |_, name, inode| {
        if let Some(pid) = number(name).and_then(|pid| u32::try_from(pid).ok()) {
            found.push((pid, inode));
        }
    })?;
    Ok(found)
}

/// Tells each descriptor of a process with what it leads to; those that are closed meanwhile are left
/// out. Returns the thread that /proc shows them of: the main thread or, where that has ended before the
/// others, another one, because an ended thread has no descriptors (`exit_files`).
///
/// # Errors
///
/// When the process is gone, or may not be looked into.
pub fn of(pid: u32, mut tell: impl FnMut(i32, Target)) -> io::Result<u32> {
    if of_thread(&format!("/proc/{pid}/fd"), &mut tell)? {
        return Ok(pid);
    }
    let others = threads(pid).into_iter().filter(|tid| *tid != pid);
    let mut has_any = |tid: &u32| {
        of_thread(&format!("/proc/{pid}/task/{tid}/fd"), &mut tell).is_ok_and(|any| any)
    };
    Ok(others.into_iter().find(|tid| has_any(tid)).unwrap_or(pid))
}

/// What a descriptor of a process leads to; `None` where it is closed, or nobody may know.
#[must_use]
pub fn leads_to(pid: u32, fd: i32) -> Option<Target> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); TARGET];
    let (target, _) = readlinkat_raw(CWD, format!("/proc/{pid}/fd/{fd}"), &mut buffer).ok()?;
    Some(parse(target))
}

/// Tells each descriptor in a directory of them, and whether there were any. The directory belongs to the
/// process's user, who may list it and still not be told where a descriptor leads: that takes the right to
/// trace the process (`proc_fd_access_allowed`).
fn of_thread(path: &str, tell: &mut impl FnMut(i32, Target)) -> io::Result<bool> {
    let (mut any, mut denied) = (false, None);
    for_each(path, |directory, name, _| {
        let Some(fd) = number(name).and_then(|fd| i32::try_from(fd).ok()) else { return };
        any = true;
        let mut buffer = [MaybeUninit::<u8>::uninit(); TARGET];
        match readlinkat_raw(directory, name, &mut buffer) {
            Ok((target, _)) => tell(fd, parse(target)),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => denied = Some(error),
            // Closed meanwhile.
            Err(_) => {}
        }
    })?;
    denied.map_or(Ok(any), |error| Err(error.into()))
}

/// How many descriptors a process has open, counted one by one: `most` of them at most.
///
/// # Errors
///
/// When the process is gone, may not be looked into, or has more.
pub fn count(pid: u32, most: usize) -> io::Result<u64> {
    let directory = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    let count = directory.take(most + 1).count();
    if count > most {
        return Err(io::Error::other("too many descriptors to count"));
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Thread ids of a process; none where it is gone.
#[must_use]
pub fn threads(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    // What was found before an error is there.
    let _gone = for_each(&format!("/proc/{pid}/task"), |_, name, _| {
        found.extend(number(name).and_then(|tid| u32::try_from(tid).ok()));
    });
    found
}

/// Reads a directory: its descriptor, and name and inode number of each entry.
fn for_each(path: &str, mut tell: impl FnMut(&OwnedFd, &std::ffi::CStr, u64)) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); ENTRIES];
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        tell(&directory, entry.file_name(), entry.ino());
    }
    Ok(())
}

fn number(name: &std::ffi::CStr) -> Option<u64> {
    name.to_str().ok()?.parse().ok()
}

/// Reads what the link says: `sockfs_dname` and `anon_inodefs_dname`.
fn parse(target: &[u8]) -> Target {
    let inode = target
        .strip_prefix(b"socket:[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match inode {
        Some(inode) => Target::Socket(inode),
        None if target == b"anon_inode:[eventpoll]" => Target::Epoll,
        None => Target::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd as _, unix::fs::MetadataExt as _};

    use nix::sys::epoll::{Epoll, EpollCreateFlags};

    use super::{Target, of, parse, processes};

    #[test]
    fn links_are_read() {
        assert_eq!(parse(b"socket:[123456]"), Target::Socket(123_456));
        assert_eq!(parse(b"socket:[]"), Target::Other);
        assert_eq!(parse(b"socket:[12"), Target::Other);
        assert_eq!(parse(b"anon_inode:[eventpoll]"), Target::Epoll);
        assert_eq!(parse(b"anon_inode:[eventfd]"), Target::Other);
        assert_eq!(parse(b"/tmp/socket:[1]"), Target::Other);
    }

    #[test]
    fn every_descriptor_of_this_process_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let link = std::fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd()));
        let inode = link.expect("its entry").ino();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll instance");
        // More than one read of the directory brings.
        let others: Vec<_> = (0..300)
            .map_while(|_| std::fs::File::open("/dev/null").ok())
            .map(|file| (file.as_raw_fd(), file))
            .collect();
        let mut found = std::collections::HashMap::new();
        of(std::process::id(), |fd, target| found.extend([(fd, target)])).expect("/proc");
        assert_eq!(found.get(&listener.as_raw_fd()), Some(&Target::Socket(inode)));
        assert_eq!(found.get(&epoll.0.as_raw_fd()), Some(&Target::Epoll));
        for (fd, _file) in &others {
            assert_eq!(found.get(fd), Some(&Target::Other));
        }
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_and_a_new_one_differs() {
        assert!(of(u32::MAX >> 2, |_, _| {}).is_err());
        let find = |pid: u32| {
            let all = processes().expect("/proc");
            all.iter().find(|(one, _)| *one == pid).map(|(_, inode)| *inode)
        };
        let own = find(std::process::id());
        assert!(own.is_some());
        assert_eq!(own, find(std::process::id()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let of_child = find(child.id());
        assert!(of_child.is_some() && of_child != own);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert_eq!(find(child.id()), None);
    }
}
