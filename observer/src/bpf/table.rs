//! The probes, as data: one row per kernel program.

/// What a probe serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Which tasks a listener wakes, and what became of each wakeup.
    Wakeups,
    /// Accept calls and their outcome.
    Accepts,
    /// Connections that enter an accept queue.
    Handshakes,
    /// Births and deaths of listeners and of the processes that hold them.
    Life,
}

impl Signal {
    /// All of them, in the order in which people read them.
    pub const ALL: [Self; 4] = [Self::Wakeups, Self::Accepts, Self::Handshakes, Self::Life];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wakeups => "wakeups",
            Self::Accepts => "accepts",
            Self::Handshakes => "handshakes",
            Self::Life => "life",
        }
    }

    /// What is not known without it.
    #[must_use]
    pub fn loss(self) -> &'static str {
        match self {
            Self::Wakeups => "no wakeups, no herd ratio",
            Self::Accepts => "no accepted connections, no accept errors, no outcome of wakeups",
            Self::Handshakes => "no queued connections, no depth of the accept queue",
            Self::Life => "listeners opened in the window are found late or not at all",
        }
    }
}

/// The kind of a program, which decides how it is loaded and attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A BTF-typed tracepoint program: needs no tracefs.
    BtfTracepoint,
}

impl Kind {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BtfTracepoint => "tp_btf",
        }
    }
}

/// When a probe is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only when processes were named with `--pid`.
    PidFilter,
}

/// One kernel program and where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program's name in the object.
    pub program: &'static str,
    /// What it attaches to.
    pub hook: &'static str,
    /// How.
    pub kind: Kind,
    /// What it serves; without it, these signals cannot be had.
    pub signals: &'static [Signal],
    /// When it is attached.
    pub when: When,
    /// What it is there for.
    pub purpose: &'static str,
    /// Since when kernels have the hook, where that is a common reason for its absence.
    pub since: Option<&'static str>,
}

/// Every probe. The order is that of attaching: what opens a notification comes last, so that
/// nothing is seen half.
pub const PROBES: &[Probe] = &[
    Probe {
        program: "process_fork",
        hook: "sched_process_fork",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Life],
        when: When::PidFilter,
        purpose: "follows the descendants of the processes that --pid names",
        since: None,
    },
    Probe {
        program: "task_exit",
        hook: "sched_process_exit",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Wakeups],
        when: When::Always,
        purpose: "settles the wakeup of a task that ends",
        since: None,
    },
    Probe {
        program: "set_state",
        hook: "inet_sock_set_state",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Life, Signal::Wakeups],
        when: When::Always,
        purpose: "births and deaths of listeners; ends a notification",
        since: None,
    },
    Probe {
        program: "napi_done",
        hook: "napi_poll",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Wakeups],
        when: When::Always,
        purpose: "ends a notification",
        since: None,
    },
    Probe {
        program: "syscall_exit",
        hook: "sys_exit",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Accepts],
        when: When::Always,
        purpose: "results of accept and accept4",
        since: None,
    },
    Probe {
        program: "waking",
        hook: "sched_waking",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Wakeups],
        when: When::Always,
        purpose: "tasks woken within a notification",
        since: None,
    },
    Probe {
        program: "data_ready",
        hook: "sk_data_ready",
        kind: Kind::BtfTracepoint,
        signals: &[Signal::Wakeups, Signal::Handshakes],
        when: When::Always,
        purpose: "a connection entered an accept queue; begins the notification",
        since: Some("Linux 6.3"),
    },
];

/// The tracepoints that the table names.
#[must_use]
pub fn tracepoints() -> Vec<&'static str> {
    PROBES.iter().map(|probe| probe.hook).collect()
}
