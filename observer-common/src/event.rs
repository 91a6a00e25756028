//! The records that travel as perf events. Losing some never makes a count wrong.

use crate::{assert_layout, counters::ListenerId};

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
}

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There are fewer bytes than an event has.
    Short,
    /// The kind is none of [`EventKind`].
    Kind(u32),
}

impl Event {
    /// Reads an event from what the perf buffer gave; longer input is allowed, because the kernel
    /// pads records.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are too few or of an unknown kind.
    pub fn decode(bytes: &[u8]) -> Result<(Self, EventKind), DecodeError> {
        fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
            bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or(DecodeError::Short)
        }
        let event = Self {
            kind: u32::from_ne_bytes(take(bytes, 0)?),
            errno: u32::from_ne_bytes(take(bytes, 4)?),
            time: u64::from_ne_bytes(take(bytes, 8)?),
            listener: u64::from_ne_bytes(take(bytes, 16)?),
            pid: u32::from_ne_bytes(take(bytes, 24)?),
            tid: u32::from_ne_bytes(take(bytes, 28)?),
            comm: take(bytes, 32)?,
        };
        let kind = match event.kind {
            1 => EventKind::Birth,
            2 => EventKind::Death,
            3 => EventKind::AcceptError,
            other => return Err(DecodeError::Kind(other)),
        };
        Ok((event, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Event, EventKind};

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
        let (event, kind) = Event::decode(&bytes(3)).expect("a whole event");
        assert_eq!(kind, EventKind::AcceptError);
        assert_eq!((event.errno, event.time, event.listener), (24, 77, 9));
        assert_eq!((event.pid, event.tid), (5, 6));
        assert_eq!(&event.comm[..6], b"nginx\0");
    }

    #[test]
    fn padding_is_allowed_and_short_input_is_an_error() {
        let mut padded = [0; 56];
        padded[..48].copy_from_slice(&bytes(1));
        assert!(Event::decode(&padded).is_ok());
        for length in 0..48 {
            assert_eq!(Event::decode(&bytes(1)[..length]), Err(DecodeError::Short));
        }
    }

    #[test]
    fn an_unknown_kind_is_an_error() {
        assert_eq!(Event::decode(&bytes(0)), Err(DecodeError::Kind(0)));
        assert_eq!(Event::decode(&bytes(4)), Err(DecodeError::Kind(4)));
    }
}
