//! Words that several rules share.

use crate::model::{Backlog, Holder, Listener};

/// A count with its noun.
pub(super) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// How to make both queues longer: the smaller of backlog and somaxconn is what counts, and only `listen()`
/// reads them.
pub(super) fn raise_limit(backlog: &Backlog) -> String {
    match backlog.somaxconn.filter(|_| backlog.at_somaxconn == Some(true)) {
        Some(somaxconn) => format!(
            "raise net.core.somaxconn (now {somaxconn}) and the backlog passed to listen(), then restart"
        ),
        None => {
            "raise the backlog passed to listen(), and net.core.somaxconn if smaller, then restart"
                .to_owned()
        }
    }
}

/// A sentence of this clause.
pub(super) fn sentence(clause: &str) -> String {
    let mut rest = clause.chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", rest.as_str())
}

/// Processes that hold a listener: `nginx ×8`, `postgres 77`; `None` where they are not known.
pub(super) fn holders(listener: &Listener) -> Option<String> {
    let holders = listener.holders.as_deref()?;
    let Some(first) = holders.first() else { return Some("no process that was found".to_owned()) };
    let several = holders.iter().any(|other| other.pid != first.pid);
    let Holder { pid, comm, .. } = first;
    if !several {
        return Some(format!("{comm} {pid}"));
    }
    let mut pids: Vec<u32> = holders.iter().map(|holder| holder.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let others = if holders.iter().all(|other| other.comm == *comm) { "" } else { " and others" };
    Some(format!("{comm}{others} ×{}", pids.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::fixtures;

    #[test]
    fn the_smaller_of_the_two_limits_is_named() {
        let backlog = |at| Backlog { somaxconn: Some(128), at_somaxconn: at, ..Backlog::default() };
        for at in [None, Some(false)] {
            assert!(raise_limit(&backlog(at)).contains("somaxconn if smaller"));
        }
        assert!(raise_limit(&backlog(Some(true))).contains("net.core.somaxconn (now 128)"));
    }

    #[test]
    fn holders_are_named_once() {
        let mut listener = fixtures::listener();
        listener.holders = None;
        assert_eq!(holders(&listener), None);
        let mut named = |all: &[(u32, &str)]| {
            let holder = |(pid, comm): &(u32, &str)| Holder {
                pid: *pid,
                comm: (*comm).into(),
                fd: 3,
                wait: None,
            };
            listener.holders = Some(all.iter().map(holder).collect());
            holders(&listener).unwrap_or_default()
        };
        assert_eq!(named(&[]), "no process that was found");
        assert_eq!(named(&[(7, "a"), (7, "a")]), "a 7");
        assert_eq!(named(&[(7, "a"), (8, "a"), (7, "a")]), "a ×2");
        assert_eq!(named(&[(7, "a"), (8, "b")]), "a and others ×2");
    }

    #[test]
    fn a_sentence_begins_large_and_ends() {
        assert_eq!(sentence("raise it"), "Raise it.");
        assert_eq!(sentence(""), ".");
    }
}
