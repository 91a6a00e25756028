//! The probes of connections that enter an accept queue, and of the backlog that was asked for.

use super::probe::{
    Kind, Probe,
    Provider::{Fentry, Kprobe},
    Signal::{Drops, Handshakes},
    When, probe,
};

/// In the order of attaching.
pub(super) const PROBES: &[Probe] = &[
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "syn_recv_v6_enter",
            &["tcp_v6_syn_recv_sock"],
            Kind::Fentry,
            &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
            "tells the IPv6 handshake from the IPv4 one within it",
        )
    },
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "syn_recv_v6",
            &["tcp_v6_syn_recv_sock"],
            Kind::Fexit,
            &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
            "handshakes that fail at the final ACK, IPv6",
        )
    },
    probe(
        "syn_recv_v4",
        &["tcp_v4_syn_recv_sock"],
        Kind::Fexit,
        &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
        "handshakes that fail at the final ACK, IPv4",
    ),
    Probe {
        when: When::FallbackFor("syn_recv_v6"),
        ..probe(
            "syn_recv_v4_enter",
            &["tcp_v4_syn_recv_sock"],
            Kind::Fentry,
            &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
            "begins a handshake, where no program sees how those of IPv6 end",
        )
    },
    probe(
        "queue_add",
        &["inet_csk_reqsk_queue_add"],
        Kind::Fentry,
        &[(Handshakes, Some(Fentry))],
        "the same for SYN cookies and Fast Open",
    ),
    probe(
        "hashdance_enter",
        &["inet_csk_complete_hashdance"],
        Kind::Fentry,
        &[(Handshakes, Some(Fentry))],
        "a connection enters an accept queue",
    ),
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "k_syn_recv_v6_enter",
            &["tcp_v6_syn_recv_sock"],
            Kind::Kprobe,
            &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
            "tells the IPv6 handshake from the IPv4 one within it",
        )
    },
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "k_syn_recv_v6",
            &["tcp_v6_syn_recv_sock"],
            Kind::Kretprobe,
            &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
            "handshakes that fail at the final ACK, IPv6",
        )
    },
    probe(
        "k_syn_recv_v4_enter",
        &["tcp_v4_syn_recv_sock"],
        Kind::Kprobe,
        &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
        "whose handshake it is",
    ),
    probe(
        "k_syn_recv_v4",
        &["tcp_v4_syn_recv_sock"],
        Kind::Kretprobe,
        &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
        "handshakes that fail at the final ACK, IPv4",
    ),
    probe(
        "k_queue_add",
        &["inet_csk_reqsk_queue_add"],
        Kind::Kprobe,
        &[(Handshakes, Some(Kprobe))],
        "the same for SYN cookies and Fast Open",
    ),
    probe(
        "k_hashdance_enter",
        &["inet_csk_complete_hashdance"],
        Kind::Kprobe,
        &[(Handshakes, Some(Kprobe))],
        "a connection enters an accept queue",
    ),
    Probe {
        when: When::Optional,
        ..probe(
            "listen_enter",
            &["__sys_listen"],
            Kind::Fentry,
            &[(Handshakes, Some(Fentry))],
            "the backlog that a program asks for",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "k_listen_enter",
            &["__sys_listen"],
            Kind::Kprobe,
            &[(Handshakes, Some(Kprobe))],
            "the backlog that a program asks for",
        )
    },
];
