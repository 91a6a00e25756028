//! Listeners: recognising one, its identity, and its row in the maps.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_ktime_get_ns,
};
use observer_common::counters::{
    FLAG_OF_TREE, FLAG_REUSEPORT, ListenerId, ListenerInfo, QueueStats, WorkerKey, WorkerStats,
};

use crate::{
    kernel::{
        AF_INET, AF_INET6, Address, IPPROTO_MPTCP, IPPROTO_TCP, NET_INODE, REUSEPORT_BYTE,
        REUSEPORT_MASK, SOCK_ADDRESS4, SOCK_ADDRESS6, SOCK_BACKLOG_LIMIT, SOCK_COOKIE, SOCK_FAMILY,
        SOCK_NET, SOCK_PORT, SOCK_PROTOCOL, SOCK_SOCKET, SOCK_STATE, SOCKET_INODE, STATE_LISTEN,
        read,
    },
    maps::{LISTENERS, QUEUES, TREE, WORKERS, count_map_full},
};

/// What new rows start from. Statics, because the stack of a program is 512 bytes in all.
static ZERO_QUEUE: &QueueStats = &QueueStats::ZERO;
/// The same for workers.
static ZERO_WORKER: &WorkerStats = &WorkerStats::ZERO;

/// A sock that is a TCP or MPTCP listener.
#[derive(Clone, Copy)]
pub(crate) struct Listener {
    /// Its identity.
    pub(crate) id: ListenerId,
    /// Its sock: for MPTCP the connection-level one or the subflow's, which share the identity.
    pub(crate) sock: Address,
    /// Whether the sock has the accept queue: TCP, not the connection level of MPTCP.
    pub(crate) has_queue: bool,
}

impl Listener {
    /// The listener that `sock` is; `None` when it is none.
    #[inline(always)]
    pub(crate) fn of_sock(sock: Address) -> Option<Self> {
        if u32::from(read::<u8>(sock, &SOCK_STATE)?) != STATE_LISTEN.load() {
            return None;
        }
        Self::of_listening(sock)
    }

    /// The same for a sock whose state is known to be LISTEN, or was just now. Unix, SCTP and vsock
    /// sockets use the same state.
    #[inline(always)]
    pub(crate) fn of_listening(sock: Address) -> Option<Self> {
        let family: u16 = read(sock, &SOCK_FAMILY)?;
        if family != AF_INET && family != AF_INET6 {
            return None;
        }
        let protocol: u16 = read(sock, &SOCK_PROTOCOL)?;
        if protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP {
            return None;
        }
        let socket: Address = read(sock, &SOCK_SOCKET)?;
        let id: u64 = read(socket, &SOCKET_INODE)?;
        Some(Self { id, sock, has_queue: protocol == IPPROTO_TCP })
    }

    /// Makes the rows of a listener that has none yet; `false` when there is no room.
    #[inline(always)]
    pub(crate) fn ensure_rows(&self) -> bool {
        if LISTENERS.get_ptr(self.id).is_some() {
            return true;
        }
        self.insert_rows(0, [0; 16], false)
    }

    /// Makes the rows of a listener, over those of an earlier life of the same socket.
    #[inline(always)]
    pub(crate) fn insert_rows(&self, creator: u32, comm: [u8; 16], newborn: bool) -> bool {
        let Some(mut info) = self.describe() else { return false };
        info.creator = creator;
        info.comm = comm;
        if newborn {
            // SAFETY: the helper takes nothing and always succeeds.
            info.born = unsafe { bpf_ktime_get_ns() };
            if TREE.get_ptr(creator).is_some() {
                info.flags |= FLAG_OF_TREE;
            }
        }
        let flags = if newborn { BPF_ANY } else { BPF_NOEXIST };
        // Another CPU may insert the same rows in between: then BPF_NOEXIST fails with EEXIST, and
        // they are there. The listener's comes last, because whoever finds it counts on the others.
        // A socket that listens again keeps what was counted in its earlier life.
        if QUEUES.insert(self.id, ZERO_QUEUE, u64::from(BPF_NOEXIST)).is_err()
            && QUEUES.get_ptr(self.id).is_none()
        {
            count_map_full();
            return false;
        }
        let rest = WorkerKey { listener: self.id, pid: 0, tid: 0 };
        let _exists = WORKERS.insert(rest, ZERO_WORKER, u64::from(BPF_NOEXIST));
        if LISTENERS.insert(self.id, info, u64::from(flags)).is_err()
            && LISTENERS.get_ptr(self.id).is_none()
        {
            count_map_full();
            return false;
        }
        true
    }

    /// Reads what identifies the listener to people.
    #[inline(always)]
    fn describe(&self) -> Option<ListenerInfo> {
        let sock = self.sock;
        let family: u16 = read(sock, &SOCK_FAMILY)?;
        let mut address = [0; 16];
        if family == AF_INET6 {
            address = read(sock, &SOCK_ADDRESS6)?;
        } else {
            let short: [u8; 4] = read(sock, &SOCK_ADDRESS4)?;
            address[0] = short[0];
            address[1] = short[1];
            address[2] = short[2];
            address[3] = short[3];
        }
        let reuse: u8 = read(sock, &REUSEPORT_BYTE)?;
        Some(ListenerInfo {
            sock: sock as u64,
            cookie: read(sock, &SOCK_COOKIE)?,
            born: 0,
            closed: 0,
            netns: read(read(sock, &SOCK_NET)?, &NET_INODE)?,
            creator: 0,
            limit: read(sock, &SOCK_BACKLOG_LIMIT)?,
            drops: 0,
            port: read(sock, &SOCK_PORT)?,
            family,
            flags: if u32::from(reuse) & REUSEPORT_MASK.load() != 0 { FLAG_REUSEPORT } else { 0 },
            address,
            comm: [0; 16],
        })
    }
}
