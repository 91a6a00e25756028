//! Which machines to run: pure.

use std::fmt;

use clap::ValueEnum;

use crate::arch::Arch;

/// The kind of hooks that observer is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// What observer chooses by itself
    Auto,
    /// fentry and fexit programs
    Fentry,
    /// kprobes and kretprobes
    Kprobe,
    /// Tracepoints only
    Tracepoint,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        })
    }
}

/// Debian's flavour that is small, with BTF and without drivers for hardware.
const CLOUD: &str = "-cloud-amd64";

/// A kernel series of the matrix, or a variant of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// What it is chosen by.
    pub(crate) name: &'static str,
    /// What kernel releases of it begin with.
    pub(crate) release: &'static str,
    /// What they end with.
    pub(crate) flavour: &'static str,
    /// The guest's architecture. One that is not x86_64 runs where it is named: its programs need compilers of
    /// their own.
    pub(crate) arch: Arch,
    /// CPUs of the guest.
    pub(crate) cpus: u8,
    /// CPUs that it could come to have, which maps per CPU have room for.
    pub(crate) possible_cpus: u8,
    /// The suites that carry it, the one to prefer first.
    pub(crate) suites: &'static [&'static str],
    /// What must work on it. A provider of this list that a kernel refuses is a failure: this is
    /// where the promise is written down, and a skip would hide that it is broken.
    pub(crate) providers: &'static [Provider],
}

/// The matrix.
pub(crate) const SERIES: [Series; 10] = [
    // bullseye's security suite lists packages that are gone from the archive.
    Series::plain("5.10", &["bullseye"], &[Provider::Fentry, Provider::Kprobe]),
    // Its tcp_v4_syn_recv_sock has seven arguments, one too many for that kernel's fentry: what
    // observer chooses by itself is a mixture here.
    Series::plain("6.1", &["bookworm-security", "bookworm"], &[Provider::Auto, Provider::Kprobe]),
    // As emulated machines that can be given CPUs while they run: each row of a map per CPU is 255 rows.
    Series {
        name: "6.1-255",
        possible_cpus: 255,
        ..Series::plain("6.1", &["bookworm-security", "bookworm"], &[Provider::Auto])
    },
    Series::plain("6.12", &["trixie", "trixie-security"], &EVERY),
    // PREEMPT_RT: what notifies a listener can be preempted.
    Series {
        name: "6.12-rt",
        flavour: "-rt-amd64",
        ..Series::plain("6.12", &["trixie", "trixie-security"], &[Provider::Fentry])
    },
    // More CPUs than the two of the others: more that happens between two steps of one of them.
    Series {
        name: "6.12-smp",
        cpus: 4,
        possible_cpus: 4,
        ..Series::plain("6.12", &["trixie", "trixie-security"], &[Provider::Fentry])
    },
    // Functions have no entry there that programs could be called from before 6.4
    // (DYNAMIC_FTRACE_WITH_DIRECT_CALLS).
    Series {
        name: "6.1-arm64",
        flavour: "-cloud-arm64",
        arch: Arch::Aarch64,
        ..Series::plain(
            "6.1",
            &["bookworm-security", "bookworm"],
            &[Provider::Auto, Provider::Kprobe],
        )
    },
    Series {
        name: "6.12-arm64",
        flavour: "-cloud-arm64",
        arch: Arch::Aarch64,
        ..Series::plain("6.12", &["trixie", "trixie-security"], &EVERY)
    },
    Series::plain("6.18", &["trixie-backports", "forky", "sid"], &EVERY),
    Series::plain("7.2", &["trixie-backports", "forky", "sid"], &EVERY),
];

/// The names of all series.
pub(crate) fn series_names() -> Vec<&'static str> {
    SERIES.iter().map(|series| series.name).collect()
}

impl Series {
    const fn plain(
        name: &'static str,
        suites: &'static [&'static str],
        providers: &'static [Provider],
    ) -> Self {
        Self {
            name,
            release: name,
            flavour: CLOUD,
            arch: Arch::X86_64,
            cpus: 2,
            possible_cpus: 2,
            suites,
            providers,
        }
    }

    /// Whether it is a series itself, and no variant of one.
    fn is_plain(&self) -> bool {
        self.name == self.release
    }
}

const EVERY: [Provider; 3] = [Provider::Fentry, Provider::Kprobe, Provider::Tracepoint];

/// One machine: a kernel, and what observer uses on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) series: &'static Series,
    pub(crate) provider: Provider,
    /// Which tests it runs where no filter says.
    pub(crate) scope: Scope,
}

/// How much of the tests a machine runs. Each part leaves out what the part before it has more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// All that depends on a kernel or a provider: the first machine of the oldest kernel, which differs most from the
    /// one that the native run has.
    Whole,
    /// What depends on the kernel: the first machine of each other kernel.
    Kernel,
    /// What depends on kernel and provider, and the kinds of listeners: kprobes on the oldest and on
    /// the newest kernel.
    Provider,
    /// The counts, of drops by `trace` only: kprobes on the kernels between them, and tracepoints, which run all there
    /// is natively.
    Counts,
    /// The counts where CPUs and tasks disturb each other: wakeups and overflows.
    Variant,
    /// What is bounded, and the counts of one way to wait, where there could be many CPUs.
    Possible,
}

impl Scope {
    /// Beginnings of the names of tests that it leaves out.
    pub(crate) fn leaves_out(self) -> Vec<&'static str> {
        // What is chosen, refused and printed depends on neither kernel nor provider, and each of these
        // tests starts an observer or several: the native run has them. So is it with the ways to begin to
        // listen, once it is known that a beginning is seen.
        let neither = [
            "backlog::",
            // With tools that no guest has; and what guests run is no program that a descriptor can be given for.
            "capabilities::",
            "deploy::",
            // Pages that no guest has.
            "examples::",
            "export::",
            "check_command::",
            "check_files::",
            "check_limits::",
            "fairness::",
            "faults::",
            "filters::",
            "findings::",
            "socket_kinds::late_ipv6",
            "socket_kinds::late_mptcp",
            "socket_kinds::late_socket",
            // Against `ss`, which no guest has.
            "listeners::",
            "load::",
            "nginx::",
            "servers::",
            "output::",
            // What is written, and a terminal that no guest has.
            "recording::",
            "top::",
            "trace::ends",
            "trace::full_pipe::",
            "truth::rounds_add_up",
            // Which events are sent is decided in one place for all hooks; and a parser that no guest has.
            "trace::a_",
            "trace::kinds",
            "trace::the_story_reads",
            "trace::what_a_limit",
            // What a budget beyond the kernel's means, what is not asked for, and an example.
            "bounds::a_greater",
            "cost::is_not",
            "events::the_example",
            // What a window in the library is told, while the same kernel programs are held to their counts by
            // `trace` for every strategy, where descriptors run out, and where connections and events are lost.
            "events::descriptors_run_out",
            "events::drops_and",
            "events::what_finds_no_room",
            "events::equal_the_report::blocking",
            "events::equal_the_report::epoll-",
            "events::equal_the_report::poll",
        ];
        // What differs from kernel to kernel by little: how full maps become, how listeners begin and end, how it
        // numbers tasks, what a face makes of counts that are exact, of whom events are sent, and who else is there.
        let whole = [
            "bounds::",
            "check::",
            "cost::",
            "lifecycle::",
            "pid_namespace::",
            "threads::",
            "trace::drops_of",
            "trace::the_story",
            "trace::what_",
            "trace::who_",
            "truth::passers_by",
            "truth::two_",
        ];
        // The verifier, the kernel's types, and which hooks it gives.
        let kernel = ["doctor::", "verifier::"];
        // What is more than counts.
        let provider = ["events::", "overflow::", "socket_kinds::"];
        let mut names = neither.to_vec();
        // CPU time, memory and gaps, of which an emulated machine tells nothing; FUSE and strace, which no guest
        // has. What is left of them is for the variants, which are told so below.
        if self != Self::Variant {
            names.push("harmless::");
        }
        // What is bounded is what machines with room for many CPUs are for.
        if self >= Self::Kernel && self != Self::Possible {
            names.extend(whole);
        }
        if self >= Self::Provider {
            names.extend(kernel);
        }
        if self == Self::Counts {
            names.extend(provider);
        }
        names
    }

    /// Beginnings of the names of the only tests that it runs; none where it runs all that it does not
    /// leave out.
    pub(crate) fn only(self) -> &'static [&'static str] {
        match self {
            Self::Whole | Self::Kernel | Self::Provider | Self::Counts => &[],
            Self::Variant => &["harmless::servers", "overflow::", "truth::"],
            Self::Possible => &["bounds::", "truth::spaced::epoll::"],
        }
    }

    /// Whether it is the first of its kernel.
    pub(crate) fn is_first(self) -> bool {
        self <= Self::Kernel
    }
}

/// At most so many tests of a machine are run once more: more than that fail for a reason.
const AGAIN: usize = 3;

/// Which of a machine's failed tests are run once more, each alone.
pub(crate) fn to_run_again(failed: &[String]) -> &[String] {
    if failed.len() <= AGAIN { failed } else { &[] }
}

/// The machines for these kernels and providers; for all of x86_64 that must work where none are named.
/// A provider that is named runs on every kernel that is.
///
/// # Errors
///
/// Names what is not a series of the matrix.
pub(crate) fn machines(kernels: &[String], providers: &[Provider]) -> Result<Vec<Machine>, String> {
    let known = series_names();
    if let Some(name) = kernels.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(format!("no kernel series {name} in the matrix: choose from {known}"));
    }
    let chosen: Vec<_> = SERIES
        .iter()
        .filter(|series| match kernels {
            [] => series.arch == Arch::X86_64,
            _ => kernels.iter().any(|name| name == series.name),
        })
        .collect();
    let mut plain = chosen.iter().filter(|series| series.is_plain());
    let (oldest, newest) = (plain.next().copied(), plain.next_back().copied());
    let mut machines: Vec<_> = chosen
        .iter()
        .flat_map(|series| {
            let providers = if providers.is_empty() { series.providers } else { providers };
            let at_an_end = [oldest, newest].contains(&Some(series));
            let variant = !series.is_plain();
            let possible = series.possible_cpus > series.cpus;
            providers.iter().enumerate().map(move |(index, provider)| Machine {
                series,
                provider: *provider,
                scope: match (index, provider) {
                    _ if possible => Scope::Possible,
                    _ if variant => Scope::Variant,
                    (0, _) if Some(*series) == oldest => Scope::Whole,
                    (0, _) => Scope::Kernel,
                    (_, Provider::Tracepoint) => Scope::Counts,
                    _ if at_an_end => Scope::Provider,
                    _ => Scope::Counts,
                },
            })
        })
        .collect();
    // What takes longest begins first, so that nobody waits for it alone at the end.
    machines.sort_by_key(|machine| machine.scope);
    Ok(machines)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
