//! Which numbers are exact: those of which no event can have been missed unnoticed. Pure.

use crate::model::{Provider, Providers, Via};

/// What the hooks of a session see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Of wakeups.
    pub wakeups: Hook,
    /// Of accept calls.
    pub accepts: Hook,
    /// Of connections that enter an accept queue.
    pub handshakes: Hook,
    /// Of drops.
    pub drops: Hook,
    /// Whether the wakeups are seen that one waiter of a shared epoll instance passes on.
    pub sees_chains: bool,
    /// Whether /proc shows every task, and not those of a PID namespace alone.
    pub knows_tasks: bool,
}

/// How one signal is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The kind.
    pub via: Via,
    /// Whether a kprobe is among them, and this kernel does not tell what kprobes missed.
    pub misses_unnoticed: bool,
}

/// What a window's counts say of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Wakeups of shown listeners that were attributed by what waker and woken were doing.
    pub inferred: u64,
    /// Wakeups that may have been by shown listeners, and were not counted.
    pub uncounted: u64,
    /// Whether the kernel itself waits for a shown listener.
    pub of_kernel: bool,
    /// Runs of programs that the kernel skipped.
    pub missed_runs: u64,
    /// Shown listeners of which something found a map full.
    pub incomplete: u64,
    /// Tasks whose counts moved while they were read, in each try.
    pub unsettled: u64,
}

/// What each signal comes from, and whether its hooks see every event.
#[must_use]
pub fn providers(hooks: &Hooks) -> Providers {
    let of = |hook: Hook, sees_all: bool| Provider {
        via: hook.via,
        exact: sees_all && hook.via != Via::None && !hook.misses_unnoticed,
        inferred: None,
        uncounted: None,
    };
    let has_functions = |hook: Hook| hook.via.sees_functions();
    Providers {
        // With tracepoints nothing marks the end of a notification: an interrupt within it can wake
        // somebody else, and who was past the point of return to sleep is taken for awake.
        // Who cannot be looked at may be somebody whom an interrupt woke.
        wakeups: of(
            hooks.wakeups,
            hooks.sees_chains && hooks.knows_tasks && has_functions(hooks.wakeups),
        ),
        // Tracepoints see no accept of a 32-bit program or of the kernel itself, and not all of io_uring.
        // Functions see the end of a call that was under way before only where /proc shows its task.
        accepts: of(hooks.accepts, hooks.knows_tasks && has_functions(hooks.accepts)),
        handshakes: of(hooks.handshakes, true),
        drops: of(hooks.drops, has_functions(hooks.drops)),
    }
}

/// Providers of one report: what happened in its window can take from their exactness.
#[must_use]
pub fn in_window(mut providers: Providers, counted: Counted) -> Providers {
    let Providers { wakeups, accepts, handshakes, drops } = &mut providers;
    if counted.inferred != 0 {
        wakeups.exact = false;
        wakeups.inferred = Some(counted.inferred);
    }
    if counted.uncounted != 0 {
        wakeups.exact = false;
        wakeups.uncounted = Some(counted.uncounted);
    }
    if counted.of_kernel {
        wakeups.exact = false;
    }
    if counted.unsettled != 0 {
        // What these tasks did may have been read twice, or not at all.
        wakeups.exact = false;
        accepts.exact = false;
    }
    if counted.missed_runs != 0 || counted.incomplete != 0 {
        // What a program did not see, or found no room for, nobody counted.
        for provider in [wakeups, accepts, handshakes, drops] {
            provider.exact = false;
        }
    }
    providers
}

#[cfg(test)]
mod tests {
    use super::{Counted, Hook, Hooks, in_window, providers};
    use crate::model::{Providers, Via};

    fn hooks(via: Via, misses_unnoticed: bool) -> Hooks {
        let hook = Hook { via, misses_unnoticed };
        Hooks {
            wakeups: hook,
            accepts: hook,
            handshakes: hook,
            drops: hook,
            sees_chains: true,
            knows_tasks: true,
        }
    }

    /// Of wakeups, accepts, handshakes and drops.
    fn exact(providers: &Providers) -> [bool; 4] {
        providers.signals().map(|(_, provider, _)| provider.exact)
    }

    #[test]
    fn functions_see_everything() {
        for via in [Via::Fentry, Via::Kprobe] {
            assert_eq!(exact(&providers(&hooks(via, false))), [true; 4], "{via:?}");
        }
    }

    #[test]
    fn tracepoints_see_every_connection_that_is_queued_and_nothing_else_for_certain() {
        let by_tracepoint = providers(&hooks(Via::Tracepoint, false));
        assert_eq!(exact(&by_tracepoint), [false, false, true, false]);
        assert_eq!(exact(&providers(&hooks(Via::None, false))), [false; 4]);
    }

    #[test]
    fn kprobes_that_miss_unnoticed_are_not_exact() {
        assert_eq!(exact(&providers(&hooks(Via::Kprobe, true))), [false; 4]);
        // One of them among other hooks is enough.
        let mut mixed = hooks(Via::Fentry, false);
        mixed.wakeups.misses_unnoticed = true;
        assert_eq!(exact(&providers(&mixed)), [false, true, true, true]);
    }

    #[test]
    fn wakeups_are_not_exact_without_those_that_are_passed_on() {
        let unseen = Hooks { sees_chains: false, ..hooks(Via::Fentry, false) };
        assert_eq!(exact(&providers(&unseen)), [false, true, true, true]);
    }

    #[test]
    fn what_tasks_do_is_not_exact_where_some_cannot_be_looked_at() {
        let within = Hooks { knows_tasks: false, ..hooks(Via::Fentry, false) };
        assert_eq!(exact(&providers(&within)), [false, false, true, true]);
    }

    #[test]
    fn nothing_is_exact_where_counts_are_missing() {
        let all = || providers(&hooks(Via::Fentry, false));
        let in_window = |counted| in_window(all(), counted);
        assert_eq!(exact(&in_window(Counted::default())), [true; 4]);
        for counted in [
            Counted { missed_runs: 1, ..Counted::default() },
            Counted { incomplete: 1, ..Counted::default() },
        ] {
            assert_eq!(exact(&in_window(counted)), [false; 4]);
        }
        let inferred = in_window(Counted { inferred: 3, ..Counted::default() });
        assert_eq!(exact(&inferred), [false, true, true, true]);
        assert_eq!(inferred.wakeups.inferred, Some(3));
        let uncounted = in_window(Counted { uncounted: 2, ..Counted::default() });
        assert_eq!(exact(&uncounted), [false, true, true, true]);
        assert_eq!(uncounted.wakeups.uncounted, Some(2));
        let unsettled = in_window(Counted { unsettled: 1, ..Counted::default() });
        assert_eq!(exact(&unsettled), [false, false, true, true]);
        let of_kernel = in_window(Counted { of_kernel: true, ..Counted::default() });
        assert_eq!(exact(&of_kernel), [false, true, true, true]);
    }
}
