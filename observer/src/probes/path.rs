//! The probes of listeners' lives, connections, accepts and wakeups.

use super::probe::{
    Kind, Probe,
    Provider::{Fentry, Kprobe, Tracepoint},
    Signal::{Accepts, Drops, Handshakes, Life, Wakeups},
    When, probe,
};

/// Where one waiter of a shared epoll instance wakes the next: `ep_scan_ready_list` before 5.12,
/// which has lost its type information in Debian's 5.10 along with an argument.
const SCANS: &[&str] = &["ep_done_scan", "ep_scan_ready_list", "ep_scan_ready_list.constprop.0"];

/// In the order of attaching within a signal.
pub(super) const PROBES: &[Probe] = &[
    Probe {
        when: When::PidFilter,
        ..probe(
            "process_fork",
            &["sched_process_fork"],
            Kind::BtfTracepoint,
            &[(Life, None)],
            "follows the descendants of the processes that --pid names",
        )
    },
    probe(
        "set_state",
        &["inet_sock_set_state"],
        Kind::BtfTracepoint,
        &[
            (Life, Some(Kprobe)),
            (Life, Some(Tracepoint)),
            (Handshakes, Some(Tracepoint)),
            (Wakeups, Some(Tracepoint)),
        ],
        "births and deaths of listeners; ends a notification",
    ),
    probe(
        "listen_start",
        &["inet_csk_listen_start"],
        Kind::Fexit,
        &[(Life, Some(Fentry))],
        "births of listeners",
    ),
    probe(
        "listen_stop",
        &["inet_csk_listen_stop"],
        Kind::Fentry,
        &[(Life, Some(Fentry))],
        "deaths of listeners",
    ),
    Probe {
        when: When::RequiredIfPresent,
        ..probe(
            "child_forgotten",
            &["inet_child_forget"],
            Kind::Fentry,
            &[(Life, Some(Fentry))],
            "ends of connections that were never accepted",
        )
    },
    Probe {
        when: When::FallbackFor("child_forgotten"),
        ..probe(
            "sock_destroyed",
            &["inet_csk_destroy_sock"],
            Kind::Fentry,
            &[(Life, Some(Fentry))],
            "the same by the ends of all socks",
        )
    },
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
    probe(
        "task_exit",
        &["sched_process_exit"],
        Kind::BtfTracepoint,
        &[(Wakeups, None)],
        "settles the wakeup of a task that ends",
    ),
    probe(
        "process_exec",
        &["sched_process_exec"],
        Kind::BtfTracepoint,
        &[(Wakeups, None)],
        "settles the wakeup of a thread that goes on as the main thread",
    ),
    probe(
        "napi_done",
        &["napi_poll"],
        Kind::BtfTracepoint,
        &[(Wakeups, Some(Tracepoint))],
        "ends a notification",
    ),
    probe(
        "waking",
        &["sched_waking"],
        Kind::BtfTracepoint,
        &[(Wakeups, None)],
        "tasks woken within a notification",
    ),
    Probe {
        when: When::ScansUnknown,
        ..probe(
            "scan_exit",
            &["ep_done_scan", "ep_scan_ready_list"],
            Kind::Fexit,
            &[(Wakeups, Some(Fentry))],
            "ends what one waiter of a shared epoll instance passes on",
        )
    },
    Probe {
        when: When::ScansUnknown,
        ..probe(
            "scan_enter",
            &["ep_done_scan", "ep_scan_ready_list"],
            Kind::Fentry,
            &[(Wakeups, Some(Fentry))],
            "wakeups that one waiter of a shared epoll instance passes on",
        )
    },
    probe(
        "readable_exit",
        &["sock_def_readable"],
        Kind::Fexit,
        &[(Wakeups, Some(Fentry))],
        "ends a notification",
    ),
    probe(
        "readable_enter",
        &["sock_def_readable"],
        Kind::Fentry,
        &[(Wakeups, Some(Fentry))],
        "begins a notification",
    ),
    Probe {
        when: When::InPlaceOf("scan_exit"),
        ..probe(
            "k_scan_exit",
            SCANS,
            Kind::Kretprobe,
            &[(Wakeups, Some(Kprobe)), (Wakeups, Some(Fentry))],
            "ends what one waiter of a shared epoll instance passes on",
        )
    },
    Probe {
        when: When::InPlaceOf("scan_enter"),
        ..probe(
            "k_scan_enter",
            SCANS,
            Kind::Kprobe,
            &[(Wakeups, Some(Kprobe)), (Wakeups, Some(Fentry))],
            "wakeups that one waiter of a shared epoll instance passes on",
        )
    },
    probe(
        "k_readable_exit",
        &["sock_def_readable"],
        Kind::Kretprobe,
        &[(Wakeups, Some(Kprobe))],
        "ends a notification",
    ),
    probe(
        "k_readable_enter",
        &["sock_def_readable"],
        Kind::Kprobe,
        &[(Wakeups, Some(Kprobe))],
        "begins a notification",
    ),
    Probe {
        since: Some("Linux 6.3"),
        ..probe(
            "data_ready",
            &["sk_data_ready"],
            Kind::BtfTracepoint,
            &[(Handshakes, Some(Tracepoint)), (Wakeups, Some(Tracepoint))],
            "a connection entered an accept queue; begins a notification",
        )
    },
];
