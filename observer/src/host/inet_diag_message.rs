//! What inet_diag is asked, and one socket as it tells it: the header, and of its attributes the two that matter here.
//!
//! `InetResponse` makes a value of every attribute and keeps them all, which for ten thousand listeners
//! each second takes longer than the kernel takes to tell them.

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NlasIterator,
    Parseable as _,
};
use netlink_packet_sock_diag::{
    constants::{INET_DIAG_SKMEMINFO, INET_DIAG_SKV6ONLY},
    inet::{ExtensionFlags, InetResponseHeader, StateFlags, nlas::MemInfo},
};

/// Size of `struct inet_diag_msg`, after which the attributes begin.
const HEADER: usize = 72;

/// The request of the first inet_diag (`TCPDIAG_GETSOCK`), which every later one takes too. It is for sockets of both
/// families in one walk of the kernel's tables (`inet_diag_dump_compat`), where `SOCK_DIAG_BY_FAMILY` takes one for each.
const TCPDIAG_GETSOCK: u16 = 18;

/// Size of `struct nlmsghdr`.
const NETLINK_HEADER: usize = 16;

/// Size of `struct inet_diag_req`, and where in it the states are.
const REQUEST: usize = 60;
const STATES: usize = 52;

/// Length of the whole message, as its header has it.
const LENGTH: u32 = 76;
const _: () = assert!(LENGTH as usize == NETLINK_HEADER + REQUEST);

/// The message that asks for TCP sockets in these states, of both families.
pub(super) fn question(states: &StateFlags) -> Vec<u8> {
    let mut bytes = vec![0; NETLINK_HEADER + REQUEST];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    put(0, &LENGTH.to_ne_bytes());
    put(4, &TCPDIAG_GETSOCK.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Family, two lengths of prefixes, extensions.
    put(NETLINK_HEADER, &[0, 0, 0, ExtensionFlags::SKMEMINFO.bits()]);
    put(NETLINK_HEADER + STATES, &states.bits().to_ne_bytes());
    bytes
}

/// What a dump says of one socket.
pub(super) struct Answer {
    pub(super) header: InetResponseHeader,
    /// `sk_drops`; `None` for a request, which has no memory of its own.
    pub(super) drops: Option<u32>,
    /// Whether it takes IPv6 connections only; `None` where the kernel does not tell.
    pub(super) v6only: Option<bool>,
}

impl NetlinkDeserializable for Answer {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        if header.message_type != TCPDIAG_GETSOCK {
            return Err(format!("unknown message type {}", header.message_type).into());
        }
        let mut answer =
            Self { header: InetResponseHeader::parse(payload)?, drops: None, v6only: None };
        for attribute in NlasIterator::new(payload.get(HEADER..).unwrap_or_default()) {
            let attribute = attribute?;
            match attribute.kind() {
                INET_DIAG_SKMEMINFO => {
                    answer.drops = Some(MemInfo::parse(attribute.value())?.drops);
                }
                INET_DIAG_SKV6ONLY => {
                    answer.v6only = attribute.value().first().map(|only| *only != 0);
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use netlink_packet_core::{Emitable as _, NetlinkHeader};
    use netlink_packet_sock_diag::{
        constants::{AF_INET6, TCP_LISTEN},
        inet::{
            InetResponse, InetResponseHeader, SocketId,
            nlas::{MemInfo, Nla},
        },
    };

    use super::{Answer, HEADER, NetlinkDeserializable as _, TCPDIAG_GETSOCK};

    fn header() -> InetResponseHeader {
        InetResponseHeader {
            family: AF_INET6,
            state: TCP_LISTEN,
            timer: None,
            socket_id: SocketId {
                source_port: 80,
                source_address: IpAddr::from([7; 16]),
                cookie: [1, 2, 3, 4, 5, 6, 7, 8],
                ..SocketId::new_v6()
            },
            recv_queue: 3,
            send_queue: 511,
            uid: 33,
            inode: 4242,
        }
    }

    fn read(nlas: &[Nla], message_type: u16) -> Option<Answer> {
        let response = InetResponse { header: header(), nlas: nlas.iter().cloned().collect() };
        let mut bytes = vec![0; response.buffer_len()];
        response.emit(&mut bytes);
        let mut of = NetlinkHeader::default();
        of.message_type = message_type;
        Answer::deserialize(&of, &bytes).ok()
    }

    #[test]
    fn header_and_attributes_are_those_of_the_whole_answer() {
        let memory = MemInfo {
            receive_queue: 1,
            receive_queue_max: 2,
            bottom_send_queues: 3,
            send_queue_max: 4,
            cache: 5,
            send_queue: 6,
            options: 7,
            backlog_queue_length: 8,
            drops: 9,
        };
        let all = [Nla::Shutdown(1), Nla::SkV6Only(true), Nla::MemInfo(memory), Nla::Tos(2)];
        let answer = read(&all, TCPDIAG_GETSOCK).expect("an answer");
        assert_eq!(answer.header, header());
        assert_eq!((answer.drops, answer.v6only), (Some(9), Some(true)));
        let bare = read(&[], TCPDIAG_GETSOCK).expect("an answer");
        assert_eq!((bare.drops, bare.v6only), (None, None));
        assert!(read(&[], TCPDIAG_GETSOCK + 1).is_none());
        assert_eq!(header().buffer_len(), HEADER);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let mut of = NetlinkHeader::default();
        of.message_type = TCPDIAG_GETSOCK;
        assert!(Answer::deserialize(&of, &[AF_INET6; HEADER - 1]).is_err());
    }
}
