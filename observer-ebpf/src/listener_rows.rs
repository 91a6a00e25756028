//! Rows of listeners in the maps: of those on which something is counted, and of those that only began or ended.

use core::mem::transmute;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_ktime_get_ns,
};
use observer_common::{
    counters::{FLAG_OF_TREE, FLAG_REUSEPORT, ListenerInfo, QueueStats, WorkerKey, WorkerStats},
    room::Room,
};

use crate::{
    globals::{
        NET_COOKIE, NET_INODE, REUSEPORT_BYTE, REUSEPORT_MASK, SOCK_ADDRESS4, SOCK_ADDRESS6,
        SOCK_BACKLOG_LIMIT, SOCK_COOKIE, SOCK_DROPS, SOCK_FAMILY, SOCK_NET, SOCK_PORT,
        has_address6,
    },
    kernel::{Address, opaque, read},
    listener::{Listener, port_of},
    maps::{LISTENERS, PID_TREE, QUEUES, QUIET, WORKERS},
    no_room::{count_no_room, count_without_rows, misc},
    room::{freed, is_full, is_made, make},
    task,
};

/// What new rows start from. Statics, because the stack of a program is 512 bytes in all.
static ZERO_QUEUE: &QueueStats = &QueueStats::ZERO;
/// What a worker's new row starts from.
static ZERO_WORKER: &WorkerStats = &WorkerStats::ZERO;

/// Makes the rows of a listener, or fills them in where they `are_there`; 0 where there is no room. A function of its own,
/// as are the next: each takes much of the stack, and one at a time.
#[inline(never)]
fn makes_rows(sock: Address, are_there: u64) -> u64 {
    let Some((listener, _)) = Listener::recognise(sock) else { return 0 };
    u64::from(listener.make_rows(are_there != 0))
}

/// Notes the birth of a listener, by the current task; 0 where there is no room.
#[inline(never)]
pub(crate) fn is_born(sock: Address) -> u64 {
    let Some((listener, _)) = Listener::recognise(sock) else { return 0 };
    u64::from(listener.note_birth())
}

/// Notes the death of a listener on which nothing was counted; 0 where there is no room.
#[inline(never)]
pub(crate) fn has_died(sock: Address) -> u64 {
    let Some((listener, _)) = Listener::recognise(sock) else { return 0 };
    u64::from(listener.note_quiet_death())
}

impl Listener {
    /// Makes the rows of a listener on which something is to be counted, where it has none yet; `false` when there is no
    /// room.
    #[inline(always)]
    pub(crate) fn ensure_rows(&self) -> bool {
        let info = LISTENERS.get_ptr(self.id);
        // SAFETY: a copy of an integer in a live map value.
        if info.is_some_and(|info| unsafe { (*info).sock } != 0) {
            return true;
        }
        if info.is_none() && is_full(Room::Listeners) {
            count_without_rows(self.id);
            return false;
        }
        makes_rows(self.sock, u64::from(info.is_some())) != 0
    }

    /// Makes the rows, or fills in those that userspace has made.
    #[inline(always)]
    fn make_rows(&self, are_there: bool) -> bool {
        let Some(mut info) = self.describe() else { return false };
        if let Some(quiet) = QUIET.get_ptr(self.id) {
            // SAFETY: copies of integers in a live map value.
            unsafe {
                info.born = (*quiet).born;
                info.closed = (*quiet).closed;
                info.creator = (*quiet).creator;
                info.flags |= (*quiet).flags & FLAG_OF_TREE;
                info.comm = (*quiet).comm;
            }
        }
        let (id, row) = (&self.id, &info);
        if are_there {
            // What is counted has its rows in any case.
            let _later = LISTENERS.insert(id, row, u64::from(BPF_ANY));
            return true;
        }
        // Another CPU may insert the same rows in between: then BPF_NOEXIST fails with EEXIST, and
        // they are there. The listener's comes last, because whoever finds it counts on the others.
        // A socket that listens again keeps what was counted in its earlier life.
        let queue = QUEUES.insert(self.id, ZERO_QUEUE, u64::from(BPF_NOEXIST));
        if !is_made(Room::Listeners, queue) && QUEUES.get_ptr(self.id).is_none() {
            count_without_rows(self.id);
            return false;
        }
        let rest = WorkerKey { listener: self.id, pid: 0, tid: 0 };
        let _exists = make(Room::Workers, &WORKERS, rest, ZERO_WORKER);
        if is_made(Room::Listeners, LISTENERS.insert(id, row, u64::from(BPF_NOEXIST))) {
            // Userspace makes room by these counts.
            // SAFETY: only takes the address of a field of a live map value.
            misc(|misc| unsafe { &raw mut (*misc).listeners });
        } else if LISTENERS.get_ptr(self.id).is_none() {
            // Userspace frees what has a row here, and only that.
            let _only_made_here = QUEUES.remove(self.id);
            count_without_rows(self.id);
            return false;
        }
        if QUIET.remove(self.id).is_ok() {
            freed(Room::Quiet);
        }
        true
    }

    /// Notes that the current task made it listen; `false` when there is no room, which is counted. Where something was
    /// counted in an earlier life of the same socket, its row is this one's; else it gets none that a busy listener
    /// could need.
    #[inline(always)]
    fn note_birth(&self) -> bool {
        let Some(mut info) = self.describe() else { return false };
        let (creator, _) = task::current_ids();
        info.creator = creator;
        info.comm = task::current_comm();
        // SAFETY: the helper takes nothing and always succeeds.
        info.born = unsafe { bpf_ktime_get_ns() };
        if PID_TREE.get_ptr(creator).is_some() {
            info.flags |= FLAG_OF_TREE;
        }
        if LISTENERS.get_ptr(self.id).is_some() {
            let (id, row) = (&self.id, &info);
            return LISTENERS.insert(id, row, u64::from(BPF_ANY)).is_ok();
        }
        self.note_quiet(&info)
    }

    /// Notes that it listens no more, where nothing was counted on it; `false` when there is no room, which is counted.
    #[inline(always)]
    fn note_quiet_death(&self) -> bool {
        // SAFETY: the helper takes nothing and always succeeds.
        let closed = unsafe { bpf_ktime_get_ns() };
        let drops = read(self.sock, &SOCK_DROPS).unwrap_or(0);
        let port = port_of(self.sock).unwrap_or(0);
        if let Some(info) = QUIET.get_ptr_mut(self.id) {
            // SAFETY: `info` is a live map value; a socket is closed once at a time.
            unsafe {
                (*info).closed = closed;
                (*info).drops = drops;
                (*info).port = port;
            }
            return true;
        }
        let Some(mut info) = self.describe() else { return false };
        info.closed = closed;
        info.drops = drops;
        info.port = port;
        self.note_quiet(&info)
    }

    #[inline(always)]
    fn note_quiet(&self, info: &ListenerInfo) -> bool {
        let id = &self.id;
        if make(Room::Quiet, &QUIET, id, info) {
            // SAFETY: only takes the address of a field of a live map value.
            misc(|misc| unsafe { &raw mut (*misc).quiet });
            return true;
        }
        if QUIET.get_ptr(self.id).is_some() && QUIET.insert(id, info, u64::from(BPF_ANY)).is_ok() {
            return true;
        }
        // SAFETY: only takes the address of a field of a live map value.
        count_no_room(|full| unsafe { &raw mut (*full).lives });
        false
    }

    /// Reads what identifies the listener to people.
    #[inline(always)]
    fn describe(&self) -> Option<ListenerInfo> {
        let sock = self.sock;
        let family: u16 = read(sock, &SOCK_FAMILY)?;
        // Zeros that LLVM knows as such are written by a loop over the bytes, which the verifier follows step
        // by step.
        let zero = opaque(0);
        let address: [u32; 4] = if has_address6(family) {
            read(sock, &SOCK_ADDRESS6)?
        } else {
            [read(sock, &SOCK_ADDRESS4)?, zero as u32, zero as u32, zero as u32]
        };
        let reuse: u8 = read(sock, &REUSEPORT_BYTE)?;
        let net: Address = read(sock, &SOCK_NET)?;
        let netns_cookie = if NET_COOKIE.load() == u32::MAX { 0 } else { read(net, &NET_COOKIE)? };
        Some(ListenerInfo {
            sock: sock as u64,
            cookie: read(sock, &SOCK_COOKIE)?,
            born: zero,
            closed: zero,
            netns_cookie,
            netns: read(net, &NET_INODE)?,
            creator: 0,
            limit: read(sock, &SOCK_BACKLOG_LIMIT)?,
            drops: 0,
            port: read(sock, &SOCK_PORT)?,
            family,
            flags: if u32::from(reuse) & REUSEPORT_MASK.load() != 0 { FLAG_REUSEPORT } else { 0 },
            // SAFETY: as many bytes.
            address: unsafe { transmute::<[u32; 4], [u8; 16]>(address) },
            // SAFETY: the same.
            comm: unsafe { transmute::<[u64; 2], [u8; 16]>([zero; 2]) },
        })
    }
}
