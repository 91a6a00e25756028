//! Listeners, and what is known of each.

use crate::assert_layout;

/// A listener's identity in the kernel maps: the inode number of its socket.
///
/// All sockets of a host are inodes of one sockfs, so the number is unique among the sockets that
/// live, in whichever network namespace. Unlike a sock's address it is not reused by the slab, and
/// unlike the cookie it is there before anybody asks for it (`sock_alloc` in net/socket.c).
pub type ListenerId = u64;

/// SO_REUSEPORT is set on the listener.
pub const FLAG_REUSEPORT: u32 = 1;
/// The task that called `listen()` was of the processes that `--pid` names or below them.
pub const FLAG_OF_TREE: u32 = 2;

/// What is known of a listener, kept once per listener and not per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Address of the TCP sock when it was last seen; 0 in a row that userspace made, until something happens on the
    /// listener. It may have been freed since: whoever follows it compares the inode number first.
    pub sock: u64,
    /// Socket cookie, 0 when nobody had asked the kernel for one (`skc_cookie`).
    pub cookie: u64,
    /// `bpf_ktime_get_ns` at its birth; 0 when it was older than the window.
    pub born: u64,
    /// `bpf_ktime_get_ns` when it stopped listening; 0 while it listens.
    pub closed: u64,
    /// Cookie of the network namespace (`net->net_cookie`), which no other ever has; 0 where the kernel gave
    /// it none.
    pub netns_cookie: u64,
    /// Inode number of the network namespace (`net->ns.inum`), which is another's as soon as it is gone.
    pub netns: u32,
    /// Thread group id of the task that called `listen()`; 0 when that was before the window.
    pub creator: u32,
    /// Limit on the accept queue when it was last seen (`sk_max_ack_backlog`).
    pub limit: u32,
    /// `sk_drops` when it stopped listening.
    pub drops: u32,
    /// Local port, host byte order.
    pub port: u16,
    /// AF_INET or AF_INET6.
    pub family: u16,
    /// [`FLAG_REUSEPORT`] and [`FLAG_OF_TREE`].
    pub flags: u32,
    /// Local address: all 16 bytes for IPv6, the first 4 for IPv4; network byte order.
    pub address: [u8; 16],
    /// Name of the task that called `listen()`.
    pub comm: [u8; 16],
}
assert_layout!(ListenerInfo, 96);
