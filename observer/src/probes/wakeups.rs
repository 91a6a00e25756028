//! The probes of wakeups, and of the tasks that are woken.

use super::probe::{
    Kind, Probe,
    Provider::{Fentry, Kprobe, Tracepoint},
    Signal::{Handshakes, Wakeups},
    When, probe,
};

/// Where one waiter of a shared epoll instance wakes the next: `ep_scan_ready_list` before 5.12,
/// which has lost its type information in Debian's 5.10 along with an argument.
const SCANS: &[&str] = &["ep_done_scan", "ep_scan_ready_list", "ep_scan_ready_list.constprop.0"];

/// In the order of attaching.
pub(super) const PROBES: &[Probe] = &[
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
    Probe {
        when: When::CostAsked,
        ..probe(
            "switched",
            &["sched_switch"],
            Kind::BtfTracepoint,
            &[(Wakeups, None)],
            "how long tasks run that were woken in vain",
        )
    },
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
