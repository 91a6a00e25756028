//! The records that travel as perf events. Losing some never makes a count wrong.

use crate::{
    assert_layout,
    counters::{ClientKey, Connection, ListenerId},
};

/// What a task did, or what became of a listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskEvent {
    /// Which kind: one of the numbers of [`EventKind`].
    pub kind: u32,
    /// The errno of a failed accept, positive; the limit on the accept queue of a listener that begins or
    /// ends; 0 otherwise.
    pub detail: u32,
    /// `bpf_ktime_get_ns` when it happened.
    pub time: u64,
    /// The listener.
    pub listener: ListenerId,
    /// Thread group id of the task.
    pub pid: u32,
    /// Thread id of the task.
    pub tid: u32,
    /// Its name.
    pub comm: [u8; 16],
    /// The connection that it is about; zeros where that is not known.
    pub connection: Connection,
    /// When the task was woken, of an accept that is the outcome of a wakeup; 0 otherwise.
    pub woken: u64,
}
assert_layout!(TaskEvent, 72);

/// What became of a client's connection attempt. It begins as [`TaskEvent`] does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientEvent {
    /// [`EventKind::Queued`] or [`EventKind::Dropped`].
    pub kind: u32,
    /// Depth of the accept queue, this connection included; or why the attempt was dropped: a number of
    /// [`crate::drops::DropReason`].
    pub detail: u32,
    /// `bpf_ktime_get_ns` when it happened.
    pub time: u64,
    /// The listener.
    pub listener: ListenerId,
    /// The connection; zeros for a dropped attempt.
    pub connection: Connection,
    /// Limit on the accept queue; 0 for a dropped attempt.
    pub limit: u64,
    /// Who wanted to connect.
    pub client: Endpoint,
    /// Where the client of a dropped attempt wanted to connect to; of version 0 elsewhere.
    pub server: Endpoint,
}
assert_layout!(ClientEvent, 88);

/// The kinds of events.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A connection entered the accept queue.
    Queued = 0,
    /// A listener made a task runnable.
    Woken = 1,
    /// An accept call returned a connection.
    Accepted = 2,
    /// An accept call failed, EAGAIN included.
    AcceptError = 3,
    /// A task that was woken went back to sleep without having called accept.
    Silent = 4,
    /// A connection attempt was dropped.
    Dropped = 5,
    /// A socket began to listen.
    Listening = 6,
    /// A listener stopped listening.
    Closed = 7,
}

impl EventKind {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Woken,
        Self::Accepted,
        Self::AcceptError,
        Self::Silent,
        Self::Dropped,
        Self::Listening,
        Self::Closed,
    ];

    /// Its bit in the global `EVENT_KINDS`, which says which kinds are sent.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// In the global `MUTES`: listeners that userspace names are muted.
pub const MUTES_SOME: u8 = 1;
/// In the global `MUTES`: those too that a process begins which is not below those of `--pid`.
pub const MUTES_STRANGERS: u8 = 2;

/// Memory in which a kernel program puts a drop together, because its stack is too small.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropScratch {
    /// The client.
    pub key: ClientKey,
    /// The event.
    pub event: ClientEvent,
}
assert_layout!(DropScratch, 120);

/// One end of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// All 16 bytes for IPv6, the first 4 for IPv4; network byte order.
    pub address: [u8; 16],
    /// Host byte order.
    pub port: u16,
    /// 4 or 6; 0 where the packet is not known.
    pub version: u16,
}
assert_layout!(Endpoint, 20);

/// An event of either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// What a task did, or what became of a listener.
    Task(TaskEvent, EventKind),
    /// What became of a connection attempt.
    Client(ClientEvent, EventKind),
}

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There are fewer bytes than an event has.
    Short,
    /// The kind is none of [`EventKind`].
    Kind(u32),
}

/// Reads the fields of a record one after the other.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.bytes().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.bytes().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.bytes().map(u64::from_ne_bytes)
    }

    fn connection(&mut self) -> Result<Connection, DecodeError> {
        Ok(Connection { entered: self.u64()?, child: self.u64()? })
    }

    fn endpoint(&mut self) -> Result<Endpoint, DecodeError> {
        Ok(Endpoint { address: self.bytes()?, port: self.u16()?, version: self.u16()? })
    }
}

impl Record {
    /// Reads an event from what the perf buffer gave; longer input is allowed, because the kernel
    /// pads records.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are too few or of an unknown kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let number = Reader(bytes).u32()?;
        let kind = EventKind::ALL.into_iter().find(|kind| *kind as u32 == number);
        let kind = kind.ok_or(DecodeError::Kind(number))?;
        let reader = Reader(bytes);
        Ok(match kind {
            EventKind::Queued | EventKind::Dropped => {
                Self::Client(ClientEvent::read(reader)?, kind)
            }
            _ => Self::Task(TaskEvent::read(reader)?, kind),
        })
    }

    /// The listener.
    #[must_use]
    pub fn listener(&self) -> ListenerId {
        match self {
            Self::Task(event, _) => event.listener,
            Self::Client(event, _) => event.listener,
        }
    }

    /// `bpf_ktime_get_ns` when it happened.
    #[must_use]
    pub fn time(&self) -> u64 {
        match self {
            Self::Task(event, _) => event.time,
            Self::Client(event, _) => event.time,
        }
    }
}

impl ClientEvent {
    fn read(mut from: Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: from.u32()?,
            detail: from.u32()?,
            time: from.u64()?,
            listener: from.u64()?,
            connection: from.connection()?,
            limit: from.u64()?,
            client: from.endpoint()?,
            server: from.endpoint()?,
        })
    }
}

impl TaskEvent {
    fn read(mut from: Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: from.u32()?,
            detail: from.u32()?,
            time: from.u64()?,
            listener: from.u64()?,
            pid: from.u32()?,
            tid: from.u32()?,
            comm: from.bytes()?,
            connection: from.connection()?,
            woken: from.u64()?,
        })
    }
}

#[cfg(test)]
mod tests;
