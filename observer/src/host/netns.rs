//! Network namespaces: finding them, and looking at each from inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    sync::Arc,
};

use crate::host::{
    inet_diag::{self, Listening, Request, Socket},
    netns_handles::{Looks, Places},
    processes::Processes,
};
use anyhow::Result;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// The kernel's TcpExt counters that the audit compares with.
pub const COUNTERS: &[&str] =
    &["ListenDrops", "ListenOverflows", "TCPReqQFullDrop", "TCPReqQFullDoCookies"];

/// What tells a network namespace from every other one. The kernel gives out the lowest inode number that is
/// free, so that of one that is gone is the next one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId {
    /// Its inode number.
    pub inode: u64,
    /// Its cookie (SO_NETNS_COOKIE, Linux 5.14); `None` where the kernel tells none.
    pub cookie: Option<u64>,
}

/// The counters of one network namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetnsCounters {
    /// The namespace's cookie.
    pub cookie: Option<u64>,
    /// TcpExt counters by the kernel's name.
    pub values: Arc<BTreeMap<String, u64>>,
}

/// One network namespace, as it looked at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its cookie; see [`NetnsId`].
    pub cookie: Option<u64>,
    /// TCP sockets that listen.
    pub sockets: Vec<Socket>,
    /// Requests in their SYN queues; `None` where nobody asked or the kernel does not tell.
    pub requests: Option<Vec<Request>>,
    /// TcpExt counters by the kernel's name.
    pub counters: Arc<BTreeMap<String, u64>>,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u64>,
    /// `net.ipv4.tcp_max_syn_backlog`.
    pub tcp_max_syn_backlog: Option<u64>,
    /// `net.ipv4.tcp_syncookies`.
    pub syncookies: Option<u64>,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub abort_on_overflow: Option<u64>,
}

/// Network namespaces as they looked at one moment, by inode number. One that was not looked at again is shared with
/// the moment before.
pub type Namespaces = BTreeMap<u64, Arc<Namespace>>;

impl Namespace {
    /// What was the same namespace, among those of another moment.
    #[must_use]
    pub fn among<'a>(&self, inode: u64, then: &'a Namespaces) -> Option<&'a Self> {
        then.get(&inode).map(AsRef::as_ref).filter(|then| then.cookie == self.cookie)
    }

    /// What it allows its queues: `somaxconn`, `tcp_max_syn_backlog`, `tcp_syncookies`,
    /// `tcp_abort_on_overflow`.
    #[must_use]
    pub fn limits(&self) -> [Option<u64>; 4] {
        [self.somaxconn, self.tcp_max_syn_backlog, self.syncookies, self.abort_on_overflow]
    }
}

/// Every network namespace that a process is in or that has a name, by inode number. Those that
/// could not be entered are left out: without CAP_SYS_ADMIN that is all but the own one. So are those that are to be
/// left alone.
#[must_use]
pub fn look_at_all(
    places: &mut Places,
    processes: &mut Processes,
    left_alone: impl Fn(u64) -> bool,
) -> Namespaces {
    places.look_at_each(processes, left_alone, look).seen
}

/// Every network namespace with the requests in its SYN queues and without its counters, and those that are left
/// out.
#[must_use]
pub fn look_with_requests() -> Looks<Namespace> {
    let mut processes = Processes::default();
    Places::new(&mut processes).look_at_each(
        &mut processes,
        |_| false,
        || {
            let Listening { sockets, requests } = inet_diag::listening_with_requests()?;
            Ok(Namespace { sockets, requests, ..settings() })
        },
    )
}

/// The TcpExt counters of these network namespaces, read anew; those that cannot be entered any more
/// are left out.
#[must_use]
pub fn counters_of(places: &Places, wanted: &BTreeSet<u64>) -> BTreeMap<u64, NetnsCounters> {
    places.of_each(wanted, || Ok(NetnsCounters { cookie: cookie(), values: Arc::new(tcp_ext()?) }))
}

/// The requests in the SYN queues of these network namespaces; those that cannot be entered any more,
/// or where the kernel does not tell, are left out.
#[must_use]
pub fn requests_of(places: &Places, wanted: &BTreeSet<u64>) -> BTreeMap<u64, Vec<Request>> {
    let found = places.of_each(wanted, inet_diag::requests).into_iter();
    found.filter_map(|(inode, requests)| Some((inode, requests?))).collect()
}

/// Looks at the namespace that this thread is in.
fn look() -> Result<Arc<Namespace>> {
    Ok(Arc::new(Namespace {
        sockets: inet_diag::listening_sockets()?,
        counters: Arc::new(tcp_ext().unwrap_or_default()),
        ..settings()
    }))
}

/// The limits of the namespace that this thread is in.
fn settings() -> Namespace {
    // /proc/sys/net shows the namespace of whoever opens it, and so does thread-self/net. What has a directory for each
    // namespace is opened once: the kernel goes through those of all to find that of this one (`proc_sys_compare`).
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, "/proc/sys/net/ipv4", flags, Mode::empty()).ok();
    let setting = |path: &str| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut file: File = openat(directory.as_ref()?, path, flags, Mode::empty()).ok()?.into();
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    };
    Namespace {
        cookie: cookie(),
        somaxconn: setting("../core/somaxconn"),
        tcp_max_syn_backlog: setting("tcp_max_syn_backlog"),
        syncookies: setting("tcp_syncookies"),
        abort_on_overflow: setting("tcp_abort_on_overflow"),
        ..Namespace::default()
    }
}

/// The cookie of the network namespace that this thread is in; `None` where the kernel tells none (before
/// Linux 5.14).
#[must_use]
pub fn cookie() -> Option<u64> {
    let socket = UnixDatagram::unbound().ok()?;
    let mut cookie = 0_u64;
    let mut size = libc::socklen_t::try_from(size_of_val(&cookie)).ok()?;
    // SAFETY: the kernel writes at most `size` bytes, which `cookie` has.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    (result == 0).then_some(cookie)
}

fn tcp_ext() -> io::Result<BTreeMap<String, u64>> {
    Ok(parse_tcp_ext(&fs::read_to_string("/proc/thread-self/net/netstat")?))
}

/// Reads the counters out of a netstat file: a line of names, then a line of values, each after the
/// group's name.
fn parse_tcp_ext(text: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return BTreeMap::new();
    };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .filter(|(name, _)| COUNTERS.contains(name))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{COUNTERS, look_at_all, parse_tcp_ext};
    use crate::host::{netns_handles::Places, processes::Processes};

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\n\
                    IpExt: InNoRoutes\nIpExt: 4\n";
        let counters = parse_tcp_ext(text);
        assert_eq!(counters.get("ListenOverflows"), Some(&22));
        assert_eq!(counters.get("ListenDrops"), Some(&333));
        assert_eq!(counters.get("SyncookiesSent"), None);
        assert!(parse_tcp_ext("IpExt: A\nIpExt: 1\n").is_empty());
        assert!(parse_tcp_ext("TcpExt: A\n").is_empty());
    }

    #[test]
    fn this_namespace_shows_a_listener_of_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let mut processes = Processes::default();
        let found = look_at_all(&mut Places::new(&mut processes), &mut processes, |_| false);
        let (_, namespace) = found
            .iter()
            .find(|(_, namespace)| namespace.sockets.iter().any(|socket| socket.port == port))
            .expect("the listener's namespace");
        for name in COUNTERS {
            assert!(namespace.counters.contains_key(*name), "{name}");
        }
        assert!(namespace.somaxconn.is_some_and(|value| value > 0));
        assert!(namespace.tcp_max_syn_backlog.is_some());
        assert!(namespace.syncookies.is_some());
        assert!(namespace.abort_on_overflow.is_some());
    }
}
