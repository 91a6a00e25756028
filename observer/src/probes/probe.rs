//! One probe: what it serves, by which provider, and when.

/// What a probe serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Births and deaths of listeners and of the processes that hold them.
    Life,
    /// Connections that enter an accept queue.
    Handshakes,
    /// Dropped connection attempts, and the SYN queue.
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
            Self::Drops => "no reasons of drops, no depth of the SYN queue",
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

    /// Whether it may be used where only `only` may, or any where that is `None`.
    #[must_use]
    pub fn is_allowed(self, only: Option<Self>) -> bool {
        only.is_none_or(|only| only == self)
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
    /// Where the kernel has the hook and lets it be attached; without it the signal is an estimate.
    Optional,
    /// Where the kernel has the hook; the provider is given up where it cannot be attached then.
    RequiredIfPresent,
    /// Only where the kernel lacks the hook of the probe of this name.
    FallbackFor(&'static str),
    /// Where the kernel has the hook and nothing else tells that a task puts the ready list of an
    /// epoll instance in order; elsewhere an exit is attached once that has woken somebody.
    ScansUnknown,
    /// As [`Self::ScansUnknown`], and also for fentry where the probe of this name has no hook, if the user did
    /// not choose: a function whose type information the compiler's work has cost it can still be
    /// found by its symbol.
    InPlaceOf(&'static str),
    /// Where somebody asks what wakeups in vain cost.
    CostAsked,
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

/// A row whose probe is always attached when its provider is chosen.
pub(super) const fn probe(
    program: &'static str,
    hooks: &'static [&'static str],
    kind: Kind,
    serves: &'static [(Signal, Option<Provider>)],
    purpose: &'static str,
) -> Probe {
    Probe { program, hooks, kind, serves, when: When::Always, purpose, since: None }
}
