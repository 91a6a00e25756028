//! What the iterator over open files writes: who waits for which listeners, and how.

use crate::counters::ListenerId;

/// A record of the iterator over files (`observer-ebpf/src/watches.rs`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchRecord {
    /// What it tells: one of the numbers of [`WatchKind`].
    pub kind: u32,
    /// The process that it is about; 0 where it is about none.
    pub pid: u32,
    /// The thread that waits, or the descriptor of an epoll instance.
    pub number: u32,
    /// The events that the listener is watched for: as `epoll_ctl` took them, or the key of poll and select
    /// (`wait_key_set`, `do_pollfd`); 0 in other records.
    pub events: u32,
    /// The listener; 0 where the record is about an epoll instance alone.
    pub listener: ListenerId,
    /// Address of the epoll instance, which is but a name for it here; 0 where none is concerned.
    pub epoll: u64,
    /// Name of the task that waits; zeros in other records.
    pub comm: [u8; 16],
}
crate::assert_layout!(WatchRecord, 48);

/// What a [`WatchRecord`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WatchKind {
    /// A process has an epoll instance open.
    Epoll = 1,
    /// An epoll instance watches a listener.
    Item = 2,
    /// A task waits on an epoll instance.
    OnEpoll = 3,
    /// A task waits for a listener in poll or select; [`WatchRecord::events`] are what it waits for.
    Polls = 4,
    /// A task waits for a listener in accept.
    Accepts = 5,
    /// A wait queue has more entries than [`WAITERS_WALKED`]: the next pass goes on from there.
    Cut = 6,
    /// A wait queue changed where it was to be gone on from: what is behind that is not told.
    Lost = 7,
}

impl WatchKind {
    /// All kinds, by their numbers.
    const ALL: [Self; 7] =
        [Self::Epoll, Self::Item, Self::OnEpoll, Self::Polls, Self::Accepts, Self::Cut, Self::Lost];

    /// The kind of a record; `None` of a number that is none.
    #[must_use]
    pub fn of(record: &WatchRecord) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == record.kind)
    }
}

/// Maximum number of entries of one wait queue that are walked in one pass: the verifier goes through each turn, when
/// the program is loaded.
pub const WAITERS_WALKED: usize = 32;

/// EPOLLEXCLUSIVE (uapi/linux/eventpoll.h).
pub const EPOLLEXCLUSIVE: u32 = 1 << 28;

/// What select waits for on a descriptor that is to be read, always and together: EPOLLIN, EPOLLPRI, EPOLLRDNORM
/// and EPOLLRDBAND (fs/select.c, `wait_key_set`). A poll that asks for all of them is taken for a select.
pub const SELECT_KEY: u32 = 0x1 | 0x2 | 0x40 | 0x80;

/// A walk through a wait queue: once in a pass, by way of the first file that leads to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Number of the pass (`bpf_iter_meta.session_id`).
    pub pass: u64,
    /// The process whose file led to it.
    pub pid: u32,
    /// The file's descriptor.
    pub fd: u32,
    /// The entry that it began with; 0 for the first.
    pub from: u64,
    /// The entry that the next pass goes on with; 0 where all were told.
    pub next: u64,
}
crate::assert_layout!(Walk, 32);
