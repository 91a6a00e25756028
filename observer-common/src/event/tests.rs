extern crate std;

use std::vec::Vec;

use super::{DecodeError, EventKind, Record};

fn bytes(kind: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(24_u32.to_ne_bytes());
    bytes.extend(77_u64.to_ne_bytes());
    bytes.extend(9_u64.to_ne_bytes());
    bytes
}

fn task(kind: EventKind) -> Vec<u8> {
    let mut bytes = bytes(kind as u32);
    bytes.extend(5_u32.to_ne_bytes());
    bytes.extend(6_u32.to_ne_bytes());
    bytes.extend(b"nginx\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend(70_u64.to_ne_bytes());
    bytes.extend(71_u64.to_ne_bytes());
    bytes.extend(72_u64.to_ne_bytes());
    bytes
}

fn client(kind: EventKind) -> Vec<u8> {
    let mut bytes = bytes(kind as u32);
    for value in [70_u64, 71, 511] {
        bytes.extend(value.to_ne_bytes());
    }
    for (host, port) in [(1, 40_000_u16), (2, 80)] {
        bytes.extend([10, 0, 0, host]);
        bytes.extend([0; 12]);
        bytes.extend(port.to_ne_bytes());
        bytes.extend(4_u16.to_ne_bytes());
    }
    bytes
}

#[test]
fn every_field_of_a_task_s_event_is_read_from_its_place() {
    let Ok(Record::Task(event, kind)) = Record::decode(&task(EventKind::AcceptError)) else {
        panic!("no event")
    };
    assert_eq!(kind, EventKind::AcceptError);
    assert_eq!((event.detail, event.time, event.listener), (24, 77, 9));
    assert_eq!((event.pid, event.tid), (5, 6));
    assert_eq!(&event.comm[..6], b"nginx\0");
    assert_eq!((event.connection.entered, event.connection.child, event.woken), (70, 71, 72));
}

#[test]
fn a_client_s_event_is_read_with_both_of_its_ends() {
    let bytes = client(EventKind::Dropped);
    let Ok(Record::Client(event, kind)) = Record::decode(&bytes) else { panic!("no event") };
    assert_eq!(kind, EventKind::Dropped);
    assert_eq!((event.detail, event.time, event.listener, event.limit), (24, 77, 9, 511));
    assert_eq!((event.connection.entered, event.connection.child), (70, 71));
    assert_eq!((event.client.address[3], event.client.port, event.client.version), (1, 40_000, 4));
    assert_eq!((event.server.address[3], event.server.port), (2, 80));
}

#[test]
fn padding_is_allowed_and_short_input_is_an_error() {
    for kind in EventKind::ALL {
        let bytes = match kind {
            EventKind::Queued | EventKind::Dropped => client(kind),
            _ => task(kind),
        };
        for length in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..length]), Err(DecodeError::Short), "{kind:?}");
        }
        assert!(Record::decode(&[bytes.as_slice(), &[0; 4]].concat()).is_ok(), "{kind:?}");
    }
}

#[test]
fn an_unknown_kind_is_an_error() {
    for kind in [8, u32::MAX] {
        assert_eq!(Record::decode(&bytes(kind)), Err(DecodeError::Kind(kind)));
    }
}

#[test]
fn kinds_are_numbered_in_their_order_and_have_a_bit_each() {
    for (index, kind) in EventKind::ALL.into_iter().enumerate() {
        assert_eq!((kind as usize, kind.bit()), (index, 1 << index));
    }
}
