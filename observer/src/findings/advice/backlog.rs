//! A longer queue: the server's backlog and `net.core.somaxconn`, the smaller of which counts, and the
//! `listen()` that takes them over.

use super::about::{About, Advice};
use crate::findings::{servers::Apply, words::sentence};

/// Least backlog that is advised: a longer queue costs nothing while it is empty, and the next burst may be larger
/// than the one that was seen.
const ENOUGH: u64 = 1024;

/// Limit on both queues, as sysctl.
const SOMAXCONN: &str = "net.core.somaxconn";

/// A backlog that is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    backlog: u64,
    /// What would have been enough, where that is known.
    needed: Option<u64>,
}

impl About<'_> {
    fn wanted(&self) -> Wanted {
        let backlog = &self.listener.backlog;
        let limit = backlog.limit.unwrap_or(0);
        let asked = backlog.requested.filter(|asked| is_positive(*asked) && *asked > limit);
        let needed = self.needed.filter(|needed| *needed > limit);
        let rounded = |number: u64| number.checked_next_power_of_two().unwrap_or(number);
        let backlog = match (needed, asked) {
            (Some(needed), asked) => rounded(needed).max(asked.unwrap_or(0)),
            (None, Some(asked)) => asked,
            (None, None) => rounded(limit.saturating_mul(2)),
        };
        Wanted { backlog: backlog.max(ENOUGH), needed }
    }

    /// Whether somaxconn does not allow a backlog.
    fn is_above_somaxconn(&self, wanted: u64) -> bool {
        self.listener.backlog.somaxconn.is_none_or(|somaxconn| somaxconn < wanted)
    }

    /// Whether the server must ask for more than it does.
    fn must_ask_for_more(&self, wanted: u64) -> bool {
        let asked = self.listener.backlog.requested.filter(|asked| is_positive(*asked));
        !self.server.is_some_and(|server| server.backlog.asks_somaxconn)
            && self.listener.backlog.requested.is_none_or(is_positive)
            && asked.is_none_or(|asked| asked < wanted)
    }

    /// What makes another `listen()`, as a clause.
    fn then(&self, changed: bool) -> String {
        let Some(server) = self.server else { return "restart it".to_owned() };
        match server.backlog.apply {
            Apply::Reload { .. } if changed => "reload it".to_owned(),
            Apply::Reload { .. } => {
                "restart it (a reload is enough only where the backlog in its configuration was changed)"
                    .to_owned()
            }
            Apply::Restart("") => "restart it".to_owned(),
            Apply::Restart(reload) => format!("restart it ({reload})"),
        }
    }

    /// The steps to a longer queue.
    fn raise(&self, wanted: u64) -> Vec<String> {
        let asks_more = self.must_ask_for_more(wanted);
        let by_reload = asks_more
            && self.server.is_some_and(|one| matches!(one.backlog.apply, Apply::Reload { .. }));
        let mut steps = Vec::new();
        if self.is_above_somaxconn(wanted) {
            steps.extend(self.place.sysctl(SOMAXCONN, wanted, by_reload));
        }
        match self.server {
            Some(server) => {
                if asks_more {
                    steps.extend(self.lines(&server.backlog.set, Some(wanted)));
                }
                steps.extend(self.apply(server, asks_more));
            }
            None => steps.extend(self.place.restart()),
        }
        steps
    }

    /// Clause that says so of a server that is known.
    fn raise_in_words(&self, wanted: Wanted) -> Option<String> {
        let server = self.server?;
        let Wanted { backlog, needed } = wanted;
        let to = match needed {
            Some(needed) => format!("to {backlog} ({needed} would have been enough this time)"),
            None => format!("to {backlog} or so"),
        };
        let asks_more = self.must_ask_for_more(backlog);
        let sysctl = self.is_above_somaxconn(backlog).then(|| {
            let now = self.listener.backlog.somaxconn;
            let now = now.map(|now| format!(" (now {now})")).unwrap_or_default();
            format!("{SOMAXCONN}{now}")
        });
        let setting = (asks_more && !server.backlog.set.lines.is_empty()).then(|| {
            let default = match server.backlog.default {
                "" => String::new(),
                default => format!(" ({default} by default)"),
            };
            format!("{}'s backlog{default}", server.name)
        });
        let what: Vec<String> = sysctl.into_iter().chain(setting).collect();
        let then = self.then(asks_more);
        let raise = match &what[..] {
            [] => then,
            what => format!("raise {} {to}, then {then}", what.join(" and ")),
        };
        Some(raise)
    }

    /// The server's note, as a further sentence.
    fn note(&self) -> String {
        match self.server.map_or("", |server| server.backlog.note) {
            "" => String::new(),
            note => format!(" {note}"),
        }
    }

    fn source(&self) -> Option<String> {
        let server = self.server?;
        Some(format!("{}; listen(2)", server.source))
    }
}

/// Whether a backlog is none of those that ask for as much as there is: it is an int, and a negative one is
/// more than somaxconn (`__sys_listen_socket`).
fn is_positive(backlog: u64) -> bool {
    i32::try_from(backlog).is_ok()
}

/// The accept queue is full, or nearly.
pub(super) fn overflow(about: &About<'_>) -> Advice {
    let zero = about.server.map_or("", |server| server.backlog.zero);
    if about.listener.backlog.limit == Some(0) && !zero.is_empty() {
        let clause = format!("give {} more file descriptors: {zero}", about.name());
        let files = super::files::exhausted(about);
        return Advice { fix: Some(sentence(&clause)), source: about.source(), ..files };
    }
    let wanted = about.wanted();
    let fix = about.raise_in_words(wanted).map(|raise| {
        let slow = match about.server.map_or("", |server| server.slow) {
            "" => "accept faster".to_owned(),
            slow => slow.to_owned(),
        };
        sentence(&format!("{slow}; against bursts, {raise}")) + &about.note()
    });
    let source = fix.as_ref().and_then(|_| about.source());
    Advice { fix, steps: about.raise(wanted.backlog), source }
}

/// The SYN queue is full: its limit is the backlog, too, and `tcp_max_syn_backlog` is read only without
/// cookies (`tcp_conn_request`).
pub(super) fn syn_queue(about: &About<'_>) -> Advice {
    let (backlog, drops) = (&about.listener.backlog, &about.listener.drops);
    let dropped = |reason: &str| {
        let counts = drops.by_reason.as_ref();
        counts.and_then(|counts| counts.get(reason)).is_some_and(|count| *count > 0)
    };
    let (full, quarter) = (dropped("syn_queue_full"), dropped("syn_queue_last_quarter"));
    let cookies = about.listener.syn_queue.cookies_sent.is_some_and(|sent| sent > 0);
    let mut steps = Vec::new();
    if backlog.syncookies == Some(0) {
        steps.extend(about.place.sysctl("net.ipv4.tcp_syncookies", 1, true));
        if quarter && let Some(max) = backlog.tcp_max_syn_backlog {
            let max = max.saturating_mul(2).max(ENOUGH);
            steps.extend(about.place.sysctl("net.ipv4.tcp_max_syn_backlog", max, true));
        }
    }
    // Where only the last quarter was refused, the backlog is long enough.
    if full || cookies || !quarter {
        let wanted = about.wanted();
        steps.extend(about.raise(wanted.backlog));
    }
    Advice { fix: None, steps, source: None }
}

/// `listen()` got less than it asked for.
pub(super) fn clamped(about: &About<'_>) -> Advice {
    let backlog = &about.listener.backlog;
    let Some(server) = about.server else {
        // The sysctl is the same for any server.
        let steps = match backlog.stale {
            Some(true) => about.place.restart(),
            _ => about.raise(about.wanted().backlog),
        };
        return Advice { steps, ..Advice::default() };
    };
    if backlog.stale == Some(true) {
        let clause = about.then(false).replacen("it", server.name, 1);
        let clause = format!("{clause}: only another listen() takes the higher limit");
        return Advice {
            fix: Some(sentence(&clause)),
            steps: about.place.restart(),
            source: about.source(),
        };
    }
    let wanted = about.wanted().backlog;
    let then = about.then(false).replacen("it", server.name, 1);
    let clause =
        format!("raise {SOMAXCONN} to {wanted} in the listener's network namespace, then {then}");
    let mut steps = about.place.sysctl(SOMAXCONN, wanted, false);
    steps.extend(about.place.restart());
    Advice { fix: Some(sentence(&clause)), steps, source: about.source() }
}

/// Clients wait in vain: for a queue that was full as for any full queue, and else for a look at what the
/// server does.
pub(super) fn silent(about: &About<'_>) -> Advice {
    let listener = about.listener;
    let waits =
        listener.accept_queue.now.is_some_and(|now| now > 0) && listener.accepted.unwrap_or(0) == 0;
    if !waits {
        return Advice { fix: None, ..overflow(about) };
    }
    let Some(pid) = listener.server.as_ref().map(|server| server.pid) else {
        return Advice::default();
    };
    let steps = vec![
        "# what the server does, thread by thread:".to_owned(),
        format!("head -n 3 /proc/{pid}/task/*/status"),
        format!("grep . /proc/{pid}/task/*/wchan"),
    ];
    Advice { steps, ..Advice::default() }
}
