//! One socket as inet_diag tells it: the header, and of its attributes the two that matter here.
//!
//! `InetResponse` makes a value of every attribute and keeps them all, which for ten thousand listeners
//! each second takes longer than the kernel takes to tell them.

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NlasIterator, Parseable as _,
};
use netlink_packet_sock_diag::{
    SOCK_DIAG_BY_FAMILY,
    constants::{INET_DIAG_SKMEMINFO, INET_DIAG_SKV6ONLY},
    inet::{InetResponseHeader, nlas::MemInfo},
};

/// Size of `struct inet_diag_msg`, after which the attributes begin.
const HEADER: usize = 72;

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
        if header.message_type != SOCK_DIAG_BY_FAMILY {
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
        SOCK_DIAG_BY_FAMILY,
        constants::{AF_INET6, TCP_LISTEN},
        inet::{
            InetResponse, InetResponseHeader, SocketId,
            nlas::{MemInfo, Nla},
        },
    };

    use super::{Answer, HEADER, NetlinkDeserializable as _};

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
        let answer = read(&all, SOCK_DIAG_BY_FAMILY).expect("an answer");
        assert_eq!(answer.header, header());
        assert_eq!((answer.drops, answer.v6only), (Some(9), Some(true)));
        let bare = read(&[], SOCK_DIAG_BY_FAMILY).expect("an answer");
        assert_eq!((bare.drops, bare.v6only), (None, None));
        assert!(read(&[], SOCK_DIAG_BY_FAMILY + 1).is_none());
        assert_eq!(header().buffer_len(), HEADER);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let mut of = NetlinkHeader::default();
        of.message_type = SOCK_DIAG_BY_FAMILY;
        assert!(Answer::deserialize(&of, &[AF_INET6; HEADER - 1]).is_err());
    }
}
