//! The probes, as data: one row per kernel program.

mod drops;

use crate::cli::ProviderArg;

/// What a probe serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Births and deaths of listeners and of the processes that hold them.
    Life,
    /// Connections that enter an accept queue.
    Handshakes,
    /// Refused connection attempts, and the SYN queue.
    Drops,
    /// Accept calls and their outcome.
    Accepts,
    /// Which tasks a listener wakes, and what became of each wakeup.
    Wakeups,
}

impl Signal {
    /// All of them, in the order of attaching: what opens a notification comes last, so that nothing
    /// is seen half.
    pub const ALL: [Self; 5] =
        [Self::Life, Self::Handshakes, Self::Drops, Self::Accepts, Self::Wakeups];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wakeups => "wakeups",
            Self::Accepts => "accepts",
            Self::Handshakes => "handshakes",
            Self::Drops => "drops",
            Self::Life => "life",
        }
    }

    /// What is not known without it.
    #[must_use]
    pub fn loss(self) -> &'static str {
        match self {
            Self::Wakeups => "no wakeups, no herd ratio",
            Self::Accepts => "no accepted connections, no accept errors, no outcome of wakeups",
            Self::Handshakes => {
                "no queued connections, no depth of the accept queue, no accept waits"
            }
            Self::Drops => "no reasons of refusals, no depth of the SYN queue",
            Self::Life => "listeners opened in the window are found late or not at all",
        }
    }
}

/// A family of hooks that a signal can come from. The order is that of preference: fentry and
/// fexit see the functions themselves at the least cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// fentry and fexit programs.
    Fentry,
    /// kprobes and kretprobes.
    Kprobe,
    /// Tracepoints only.
    Tracepoint,
}

impl Provider {
    /// All of them, the preferred first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// Whether `--provider` allows it.
    #[must_use]
    pub fn is_allowed(self, argument: ProviderArg) -> bool {
        match argument {
            ProviderArg::Auto => true,
            ProviderArg::Fentry => self == Self::Fentry,
            ProviderArg::Kprobe => self == Self::Kprobe,
            ProviderArg::Tracepoint => self == Self::Tracepoint,
        }
    }
}

/// The kind of a program, which decides how it is loaded and attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A BTF-typed tracepoint program: needs no tracefs.
    BtfTracepoint,
    /// Runs at the entry of a kernel function.
    Fentry,
    /// Runs at the exit of a kernel function, with its arguments and its return value.
    Fexit,
    /// Runs at the entry of a kernel function, by a breakpoint or ftrace.
    Kprobe,
    /// Runs at the return of a kernel function; only so many at a time.
    Kretprobe,
}

/// When a probe is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only when processes were named with `--pid`.
    PidFilter,
    /// Only while accept calls are under way that began before the window.
    InFlight,
    /// Where the kernel has the hook; without it the signal is an estimate.
    IfThere,
    /// Where the kernel has the hook; it must attach then.
    WhereThere,
    /// Where the kernel lacks the hook of the probe of this name.
    Without(&'static str),
    /// Where the kernel has the hook and nothing else tells that a task puts the ready list of an
    /// epoll instance in order; elsewhere an exit is attached once that has woken somebody.
    ScansUnknown,
    /// The same, and also for fentry where the probe of this name has no hook, if the user did not
    /// choose: a function whose type information the compiler's work has cost it can still be
    /// found by its symbol.
    InPlaceOf(&'static str),
}

/// One kernel program and where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program's name in the object.
    pub program: &'static str,
    /// What it attaches to: the first of these that the kernel has. Type information does not know
    /// names with a dot, which are symbols of what a compiler made of a function: kprobes try them.
    pub hooks: &'static [&'static str],
    /// How.
    pub kind: Kind,
    /// What it serves, and for which provider of each signal: `None` for every provider.
    pub serves: &'static [(Signal, Option<Provider>)],
    /// When it is attached.
    pub when: When,
    /// What it is there for.
    pub purpose: &'static str,
    /// Since when kernels have the hook, where that is a common reason for its absence.
    pub since: Option<&'static str>,
}

impl Probe {
    /// Whether a provider of a signal needs it.
    #[must_use]
    pub fn is_for(&self, signal: Signal, provider: Provider) -> bool {
        self.serves
            .iter()
            .any(|(served, of)| *served == signal && of.is_none_or(|of| of == provider))
    }

    /// The name that people know its hook by.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        self.hooks.first().copied().unwrap_or(self.program)
    }
}

use Provider::{Fentry, Kprobe, Tracepoint};
use Signal::{Accepts, Drops, Handshakes, Life, Wakeups};

/// A row whose probe is always attached when its provider is chosen.
const fn probe(
    program: &'static str,
    hooks: &'static [&'static str],
    kind: Kind,
    serves: &'static [(Signal, Option<Provider>)],
    purpose: &'static str,
) -> Probe {
    Probe { program, hooks, kind, serves, when: When::Always, purpose, since: None }
}

/// Where one waiter of a shared epoll instance wakes the next: `ep_scan_ready_list` before 5.12,
/// which has lost its type information in Debian's 5.10 along with an argument.
const SCANS: &[&str] = &["ep_done_scan", "ep_scan_ready_list", "ep_scan_ready_list.constprop.0"];

/// The probes of connections, accepts and wakeups, in the order of attaching within a signal.
const PROBES: &[Probe] = &[
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
        when: When::WhereThere,
        ..probe(
            "child_forgotten",
            &["inet_child_forget"],
            Kind::Fentry,
            &[(Life, Some(Fentry))],
            "ends of connections that were never accepted",
        )
    },
    Probe {
        when: When::Without("child_forgotten"),
        ..probe(
            "sock_destroyed",
            &["inet_csk_destroy_sock"],
            Kind::Fentry,
            &[(Life, Some(Fentry))],
            "the same by the ends of all socks",
        )
    },
    probe(
        "syn_recv_v6_enter",
        &["tcp_v6_syn_recv_sock"],
        Kind::Fentry,
        &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
        "tells the IPv6 handshake from the IPv4 one within it",
    ),
    probe(
        "syn_recv_v6",
        &["tcp_v6_syn_recv_sock"],
        Kind::Fexit,
        &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
        "handshakes that fail at the final ACK, IPv6",
    ),
    probe(
        "syn_recv_v4",
        &["tcp_v4_syn_recv_sock"],
        Kind::Fexit,
        &[(Handshakes, Some(Fentry)), (Drops, Some(Fentry))],
        "handshakes that fail at the final ACK, IPv4",
    ),
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
    probe(
        "k_syn_recv_v6_enter",
        &["tcp_v6_syn_recv_sock"],
        Kind::Kprobe,
        &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
        "tells the IPv6 handshake from the IPv4 one within it",
    ),
    probe(
        "k_syn_recv_v6",
        &["tcp_v6_syn_recv_sock"],
        Kind::Kretprobe,
        &[(Handshakes, Some(Kprobe)), (Drops, Some(Kprobe))],
        "handshakes that fail at the final ACK, IPv6",
    ),
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
        when: When::IfThere,
        ..probe(
            "k_no_descriptor_below",
            &["__get_unused_fd_flags"],
            Kind::Kretprobe,
            &[(Accepts, Some(Kprobe))],
            "accept requests of io_uring that get no descriptor",
        )
    },
    probe(
        "k_installed",
        &["fd_install"],
        Kind::Kprobe,
        &[(Accepts, Some(Kprobe))],
        "accept calls that have a connection",
    ),
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
        when: When::IfThere,
        ..probe(
            "k_ring_exit",
            &["io_accept"],
            Kind::Kretprobe,
            &[(Accepts, Some(Kprobe))],
            "accept requests of io_uring that end",
        )
    },
    Probe {
        when: When::IfThere,
        ..probe(
            "k_ring_enter",
            &["io_accept"],
            Kind::Kprobe,
            &[(Accepts, Some(Kprobe))],
            "accept requests of io_uring that begin",
        )
    },
    Probe {
        when: When::IfThere,
        ..probe(
            "ring_exit",
            &["io_accept"],
            Kind::Fexit,
            &[(Accepts, Some(Fentry))],
            "accept requests of io_uring that fail, and why",
        )
    },
    probe(
        "sys_accept_exit",
        &["__sys_accept4"],
        Kind::Fexit,
        &[(Accepts, Some(Fentry))],
        "accept calls that fail, and why",
    ),
    probe(
        "accept_exit",
        &["inet_csk_accept"],
        Kind::Fexit,
        &[(Accepts, Some(Fentry))],
        "connections taken from an accept queue, by whomever",
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

/// Every probe, in the order of attaching within a signal.
pub fn probes() -> impl Iterator<Item = &'static Probe> {
    PROBES.iter().chain(drops::PROBES)
}

/// The tracepoints that the table names.
#[must_use]
pub fn tracepoints() -> Vec<&'static str> {
    hooks(|kind| kind == Kind::BtfTracepoint)
}

/// The functions that the table names.
#[must_use]
pub fn functions() -> Vec<&'static str> {
    hooks(|kind| kind != Kind::BtfTracepoint)
}

fn hooks(wanted: impl Fn(Kind) -> bool) -> Vec<&'static str> {
    let probes = probes().filter(|probe| wanted(probe.kind));
    probes.flat_map(|probe| probe.hooks).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Provider, Signal, probes};

    #[test]
    fn every_provider_of_every_signal_has_a_probe() {
        for signal in Signal::ALL {
            for provider in Provider::ALL {
                let any = probes().any(|probe| probe.is_for(signal, provider));
                assert!(any, "{} by {}", signal.name(), provider.name());
            }
        }
    }

    #[test]
    fn programs_are_named_once_and_have_a_hook() {
        let names: BTreeSet<_> = probes().map(|probe| probe.program).collect();
        assert_eq!(names.len(), probes().count());
        assert!(probes().all(|probe| !probe.hooks.is_empty() && !probe.serves.is_empty()));
    }
}
