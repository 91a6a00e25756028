//! The probes of dropped connection attempts and of the SYN queue.

use super::probe::{
    Kind, Probe,
    Provider::{Fentry, Kprobe, Tracepoint},
    Signal::{Drops, Handshakes},
    When, probe,
};

/// In the order of attaching: what tells how far a call came is there before what begins one.
pub(super) const PROBES: &[Probe] = &[
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "route_v6",
            &["inet6_csk_route_req"],
            Kind::Fexit,
            &[(Drops, Some(Fentry))],
            "final ACKs without a way back, IPv6",
        )
    },
    probe(
        "child_made",
        &["tcp_create_openreq_child"],
        Kind::Fexit,
        &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
        "final ACKs that found room in the accept queue",
    ),
    probe(
        "request_alloc",
        &["inet_reqsk_alloc"],
        Kind::Fexit,
        &[(Drops, Some(Fentry))],
        "SYNs that found room in both queues",
    ),
    probe(
        "request_rwin",
        &["tcp_openreq_init_rwin"],
        Kind::Fentry,
        &[(Drops, Some(Fentry))],
        "SYNs that are answered",
    ),
    probe(
        "peer_proven",
        &["tcp_peer_is_proven"],
        Kind::Fexit,
        &[(Drops, Some(Fentry))],
        "SYNs of unknown clients in the last quarter of tcp_max_syn_backlog",
    ),
    probe(
        "syn_exit",
        &["tcp_conn_request"],
        Kind::Fexit,
        &[(Drops, Some(Fentry))],
        "what became of a SYN; the SYN queue",
    ),
    probe(
        "syn_enter",
        &["tcp_conn_request"],
        Kind::Fentry,
        &[(Drops, Some(Fentry))],
        "a SYN comes",
    ),
    probe(
        "request_error",
        &["tcp_req_err"],
        Kind::Fentry,
        &[(Drops, Some(Fentry))],
        "clients that the network cannot reach",
    ),
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "k_route_v6",
            &["inet6_csk_route_req"],
            Kind::Kretprobe,
            &[(Drops, Some(Kprobe))],
            "final ACKs without a way back, IPv6",
        )
    },
    probe(
        "k_child_made",
        &["tcp_create_openreq_child"],
        Kind::Kretprobe,
        &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
        "final ACKs that found room in the accept queue",
    ),
    probe(
        "k_request_alloc",
        &["inet_reqsk_alloc"],
        Kind::Kretprobe,
        &[(Drops, Some(Kprobe))],
        "SYNs that found room in both queues",
    ),
    probe(
        "k_request_rwin",
        &["tcp_openreq_init_rwin"],
        Kind::Kprobe,
        &[(Drops, Some(Kprobe))],
        "SYNs that are answered",
    ),
    probe(
        "k_peer_proven",
        &["tcp_peer_is_proven"],
        Kind::Kretprobe,
        &[(Drops, Some(Kprobe))],
        "SYNs of unknown clients in the last quarter of tcp_max_syn_backlog",
    ),
    probe(
        "k_syn_exit",
        &["tcp_conn_request"],
        Kind::Kretprobe,
        &[(Drops, Some(Kprobe))],
        "what became of a SYN; the SYN queue",
    ),
    probe(
        "k_syn_enter",
        &["tcp_conn_request"],
        Kind::Kprobe,
        &[(Drops, Some(Kprobe))],
        "a SYN comes",
    ),
    probe(
        "k_request_error",
        &["tcp_req_err"],
        Kind::Kprobe,
        &[(Drops, Some(Kprobe))],
        "clients that the network cannot reach",
    ),
    Probe {
        when: When::Optional,
        ..probe(
            "packet_dropped",
            &["kfree_skb"],
            Kind::BtfTracepoint,
            &[(Drops, Some(Tracepoint))],
            "final ACKs that found the accept queue full",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "synack_again",
            &["tcp_retransmit_synack"],
            Kind::BtfTracepoint,
            &[(Drops, Some(Tracepoint))],
            "the SYN queue, now and then",
        )
    },
];
