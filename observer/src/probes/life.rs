//! The probes of births and deaths of listeners, and of the processes that `--pid` names.

use super::probe::{
    Kind, Probe,
    Provider::{Fentry, Kprobe, Tracepoint},
    Signal::{Handshakes, Life, Wakeups},
    When, probe,
};

/// In the order of attaching.
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
];
