//! The records that travel as perf events. Losing some never makes a count wrong.

use crate::{
    assert_layout,
    counters::{ClientKey, ListenerId},
};

/// Something that happened once and that people read one by one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which kind: one of the constants of [`EventKind`].
    pub kind: u32,
    /// The errno of a failed accept, positive; 0 otherwise.
    pub errno: u32,
    /// `bpf_ktime_get_ns` when it happened.
    pub time: u64,
    /// The listener.
    pub listener: ListenerId,
    /// Thread group id of the task at work.
    pub pid: u32,
    /// Thread id of the task at work.
    pub tid: u32,
    /// Its name.
    pub comm: [u8; 16],
}
assert_layout!(Event, 48);

/// The kinds of events.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A socket began to listen.
    Birth = 1,
    /// A listener stopped listening.
    Death = 2,
    /// An accept call failed otherwise than with EAGAIN.
    AcceptError = 3,
    /// A connection attempt was refused; the record is a [`DropEvent`].
    Drop = 4,
}

/// A connection attempt that was refused. It begins as [`Event`] does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropEvent {
    /// [`EventKind::Drop`].
    pub kind: u32,
    /// Why: a number of [`crate::drops::DropReason`].
    pub reason: u32,
    /// `bpf_ktime_get_ns` when it happened.
    pub time: u64,
    /// The listener.
    pub listener: ListenerId,
    /// Who wanted to connect.
    pub client: Endpoint,
    /// To where.
    pub server: Endpoint,
}
assert_layout!(DropEvent, 64);

/// Where a kernel program puts a refusal together: its stack is too small.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The client.
    pub key: ClientKey,
    /// The event.
    pub event: DropEvent,
}
assert_layout!(Refusal, 96);

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
    Task(Event, EventKind),
    /// A refusal.
    Drop(DropEvent),
}

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There are fewer bytes than an event has.
    Short,
    /// The kind is none of [`EventKind`].
    Kind(u32),
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or(DecodeError::Short)
}

impl Record {
    /// Reads an event from what the perf buffer gave; longer input is allowed, because the kernel
    /// pads records.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are too few or of an unknown kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = match u32::from_ne_bytes(take(bytes, 0)?) {
            1 => EventKind::Birth,
            2 => EventKind::Death,
            3 => EventKind::AcceptError,
            4 => return Ok(Self::Drop(DropEvent::read(bytes)?)),
            other => return Err(DecodeError::Kind(other)),
        };
        Ok(Self::Task(Event::read(bytes)?, kind))
    }
}

impl DropEvent {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: u32::from_ne_bytes(take(bytes, 0)?),
            reason: u32::from_ne_bytes(take(bytes, 4)?),
            time: u64::from_ne_bytes(take(bytes, 8)?),
            listener: u64::from_ne_bytes(take(bytes, 16)?),
            client: Endpoint::read(bytes, 24)?,
            server: Endpoint::read(bytes, 44)?,
        })
    }
}

impl Endpoint {
    fn read(bytes: &[u8], at: usize) -> Result<Self, DecodeError> {
        Ok(Self {
            address: take(bytes, at)?,
            port: u16::from_ne_bytes(take(bytes, at + 16)?),
            version: u16::from_ne_bytes(take(bytes, at + 18)?),
        })
    }
}

impl Event {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: u32::from_ne_bytes(take(bytes, 0)?),
            errno: u32::from_ne_bytes(take(bytes, 4)?),
            time: u64::from_ne_bytes(take(bytes, 8)?),
            listener: u64::from_ne_bytes(take(bytes, 16)?),
            pid: u32::from_ne_bytes(take(bytes, 24)?),
            tid: u32::from_ne_bytes(take(bytes, 28)?),
            comm: take(bytes, 32)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, EventKind, Record};

    fn bytes(kind: u32) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[0..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&24_u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&77_u64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&9_u64.to_ne_bytes());
        bytes[24..28].copy_from_slice(&5_u32.to_ne_bytes());
        bytes[28..32].copy_from_slice(&6_u32.to_ne_bytes());
        bytes[32..37].copy_from_slice(b"nginx");
        bytes
    }

    #[test]
    fn every_field_is_read_from_its_place() {
        let Ok(Record::Task(event, kind)) = Record::decode(&bytes(3)) else { panic!("no event") };
        assert_eq!(kind, EventKind::AcceptError);
        assert_eq!((event.errno, event.time, event.listener), (24, 77, 9));
        assert_eq!((event.pid, event.tid), (5, 6));
        assert_eq!(&event.comm[..6], b"nginx\0");
    }

    #[test]
    fn a_drop_is_read_with_both_of_its_ends() {
        let mut bytes = [0; 64];
        bytes[..24].copy_from_slice(&self::bytes(4)[..24]);
        bytes[24..28].copy_from_slice(&[10, 0, 0, 1]);
        bytes[40..42].copy_from_slice(&40_000_u16.to_ne_bytes());
        bytes[42..44].copy_from_slice(&4_u16.to_ne_bytes());
        bytes[44..48].copy_from_slice(&[10, 0, 0, 2]);
        bytes[60..62].copy_from_slice(&80_u16.to_ne_bytes());
        let Ok(Record::Drop(drop)) = Record::decode(&bytes) else { panic!("no drop") };
        assert_eq!((drop.reason, drop.time, drop.listener), (24, 77, 9));
        assert_eq!((drop.client.address[3], drop.client.port, drop.client.version), (1, 40_000, 4));
        assert_eq!((drop.server.address[3], drop.server.port), (2, 80));
        assert_eq!(Record::decode(&bytes[..63]), Err(DecodeError::Short));
    }

    #[test]
    fn padding_is_allowed_and_short_input_is_an_error() {
        let mut padded = [0; 56];
        padded[..48].copy_from_slice(&bytes(1));
        assert!(Record::decode(&padded).is_ok());
        for length in 0..48 {
            assert_eq!(Record::decode(&bytes(1)[..length]), Err(DecodeError::Short));
        }
    }

    #[test]
    fn an_unknown_kind_is_an_error() {
        assert_eq!(Record::decode(&bytes(0)), Err(DecodeError::Kind(0)));
        assert_eq!(Record::decode(&bytes(5)), Err(DecodeError::Kind(5)));
    }
}
