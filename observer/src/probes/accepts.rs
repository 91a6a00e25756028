//! The probes of accept calls, and of accept requests of io_uring.

use super::probe::{
    Kind, Probe,
    Provider::{Fentry, Kprobe, Tracepoint},
    Signal::Accepts,
    When, probe,
};

/// In the order of attaching.
pub(super) const PROBES: &[Probe] = &[
    probe(
        "signal_delivered",
        &["signal_deliver"],
        Kind::BtfTracepoint,
        &[(Accepts, None)],
        "whether a program gets EINTR of an accept call that a signal ended",
    ),
    probe(
        "k_put_unused",
        &["put_unused_fd"],
        Kind::Kprobe,
        &[(Accepts, Some(Kprobe))],
        "accept calls that fail",
    ),
    probe(
        "k_no_descriptor",
        &["get_unused_fd_flags"],
        Kind::Kretprobe,
        &[(Accepts, Some(Kprobe))],
        "accept calls that get no descriptor",
    ),
    Probe {
        when: When::Optional,
        ..probe(
            "k_no_descriptor_below",
            &["__get_unused_fd_flags"],
            Kind::Kretprobe,
            &[(Accepts, Some(Kprobe))],
            "accept requests of io_uring that get no descriptor",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "k_accept_denied",
            &["security_socket_accept"],
            Kind::Kretprobe,
            &[(Accepts, Some(Kprobe))],
            "accept calls that a security module refuses",
        )
    },
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "k_grafted",
            &["security_sock_graft"],
            Kind::Kprobe,
            &[(Accepts, Some(Kprobe))],
            "connections taken from an accept queue, by whomever",
        )
    },
    Probe {
        when: When::FallbackFor("k_grafted"),
        ..probe(
            "k_installed",
            &["fd_install"],
            Kind::Kprobe,
            &[(Accepts, Some(Kprobe))],
            "connections that system calls accept",
        )
    },
    probe(
        "k_queue_enter",
        &["inet_csk_accept"],
        Kind::Kprobe,
        &[(Accepts, Some(Kprobe))],
        "accept calls that reach the queue",
    ),
    probe(
        "k_accept_enter",
        &["__sys_accept4"],
        Kind::Kprobe,
        &[(Accepts, Some(Kprobe))],
        "accept calls that begin",
    ),
    Probe {
        when: When::Optional,
        ..probe(
            "k_ring_exit",
            &["io_accept"],
            Kind::Kretprobe,
            &[(Accepts, Some(Kprobe))],
            "accept requests of io_uring that end",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "k_ring_enter",
            &["io_accept"],
            Kind::Kprobe,
            &[(Accepts, Some(Kprobe))],
            "accept requests of io_uring that begin",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "ring_exit",
            &["io_accept"],
            Kind::Fexit,
            &[(Accepts, Some(Fentry))],
            "accept requests of io_uring that fail, and why",
        )
    },
    // Before the next: what the end of a system call finds not counted was skipped.
    probe(
        "accept_exit",
        &["inet_csk_accept"],
        Kind::Fexit,
        &[(Accepts, Some(Fentry))],
        "connections taken from an accept queue, by whomever",
    ),
    probe(
        "sys_accept_exit",
        &["__sys_accept4"],
        Kind::Fexit,
        &[(Accepts, Some(Fentry))],
        "accept calls that fail, and why",
    ),
    Probe {
        when: When::InFlight,
        ..probe(
            "installed",
            &["fd_install"],
            Kind::Fentry,
            &[(Accepts, Some(Fentry))],
            "accept calls that were under way when the window opened",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "ring_submitted",
            &["io_uring_submit_req", "io_uring_submit_sqe"],
            Kind::BtfTracepoint,
            &[(Accepts, Some(Tracepoint))],
            "accept requests of io_uring for many connections, whose they are",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "ring_woken",
            &["io_uring_task_add"],
            Kind::BtfTracepoint,
            &[(Accepts, Some(Tracepoint))],
            "the same of those that were there before",
        )
    },
    Probe {
        when: When::Optional,
        ..probe(
            "ring_completed",
            &["io_uring_complete"],
            Kind::BtfTracepoint,
            &[(Accepts, Some(Tracepoint))],
            "results of accept requests of io_uring",
        )
    },
    probe(
        "syscall_exit",
        &["sys_exit"],
        Kind::BtfTracepoint,
        &[(Accepts, Some(Tracepoint))],
        "results of accept and accept4",
    ),
];
