//! `fd-exhausted`: accept fails because the process, or the whole system, has no file descriptor left.

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::{counted, sentence},
};
use crate::{
    model::{HolderState, Severity, Worker},
    units,
};

pub(super) struct FdExhausted;

impl Rule for FdExhausted {
    fn id(&self) -> &'static str {
        id::FD_EXHAUSTED
    }

    fn source(&self) -> &'static str {
        "accept(2), getrlimit(2), proc_sys_fs(5)"
    }

    /// Failed calls are no number of clients: some servers call accept again and again until it works.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let errors = &case.listener.accept_errors;
        let count = |name| errors.get(name).copied().unwrap_or(0);
        let (process, system) = (count("EMFILE"), count("ENFILE"));
        let calls = process.saturating_add(system);
        let of_process = "raise the server's limit on open files (ulimit -n; LimitNOFILE= in systemd), or find the \
                          descriptors that it leaks";
        let of_system = "raise fs.file-max, or find who holds so many open files";
        if calls == 0 {
            return nearly_exhausted(case, of_process);
        }
        let (what, fix) = match (process, system) {
            (_, 0) => ("no file descriptor left (EMFILE)", of_process.to_owned()),
            (0, _) => ("no open file left in the system (ENFILE)", of_system.to_owned()),
            _ => (
                "no file descriptor left (EMFILE, ENFILE)",
                format!("{of_process}; then {of_system}"),
            ),
        };
        let hedge = case.hedge(&case.providers.accepts);
        let mut evidence = Vec::new();
        for (name, count) in [("EMFILE", process), ("ENFILE", system)] {
            if count > 0 {
                evidence.push(format!("{name} {hedge}{count}"));
            }
        }
        let worst = worst(&case.listener.workers);
        evidence.extend(worst.map(|worker| match worker.pid {
            Some(pid) => format!("most by {} {pid}", worker.comm),
            None => format!("most by {}", worker.comm),
        }));
        evidence.extend(case.per_second(calls).map(|rate| {
            format!("{hedge}{rate:.1} failing calls per second, which are no number of clients")
        }));
        let state = worst.and_then(|worker| state_of(case, worker.pid?)).or_else(|| fullest(case));
        let used = state.filter(|_| process > 0).and_then(used);
        evidence.extend(state.filter(|_| process > 0).and_then(growth));
        evidence.extend(case.listener.accept_wait.oldest.map(|oldest| {
            format!("the oldest client in the queue has waited for {}", units::time(oldest))
        }));
        let mut summary =
            format!("accept failed {hedge}{}: {what}", counted(calls, "time", "times"));
        if let Some(used) = used {
            summary += &format!("; {used}");
        }
        summary += &believers(case).map(|told| format!("; {told}")).unwrap_or_default();
        Some(Verdict {
            severity: Severity::Critical,
            summary,
            evidence: evidence.join("; "),
            fix: sentence(&fix),
        })
    }
}

/// Percent of the limit on descriptors from which on they are nearly used up.
const NEAR: u128 = 95;

/// No accept failed yet, or accepts are not observed, and a holder has next to no descriptor left.
fn nearly_exhausted(case: &Case<'_>, fix: &str) -> Option<Verdict> {
    let state = fullest(case)?;
    let (open, limit) = state.descriptors.zip(state.descriptor_limit)?;
    if u128::from(open) * 100 < u128::from(limit) * NEAR {
        return None;
    }
    let waits = case.listener.accept_queue.now.is_some_and(|now| now > 0);
    let severity = if open >= limit && waits { Severity::Critical } else { Severity::Warning };
    let mut summary = format!("{} {}: {}", state.comm, state.pid, used(state)?);
    summary += &believers(case)
        .filter(|_| open >= limit)
        .map(|told| format!("; {told}"))
        .unwrap_or_default();
    let evidence = growth(state).unwrap_or_else(|| {
        format!("{} left before accept fails (EMFILE)", limit.saturating_sub(open))
    });
    Some(Verdict { severity, summary, evidence, fix: sentence(fix) })
}

/// The task whose process has used most of its limit.
fn fullest<'a>(case: &Case<'a>) -> Option<&'a HolderState> {
    let states = case.listener.holder_states.as_deref().unwrap_or_default();
    let share = |state: &HolderState| {
        let (open, limit) = state.descriptors.zip(state.descriptor_limit)?;
        (limit > 0).then(|| u128::from(open) * 1_000_000 / u128::from(limit))
    };
    states.iter().filter(|state| share(state).is_some()).max_by_key(|state| share(state))
}

fn state_of<'a>(case: &Case<'a>, pid: u32) -> Option<&'a HolderState> {
    case.listener.holder_states.as_deref()?.iter().find(|state| state.pid == pid)
}

/// `64 of 64 descriptors used`.
fn used(state: &HolderState) -> Option<String> {
    let (open, limit) = state.descriptors.zip(state.descriptor_limit)?;
    // The limit is on a descriptor's number: one that was opened before it was lowered may be above.
    Some(if open > limit {
        format!("all {limit} descriptors used")
    } else {
        format!("{open} of {limit} descriptors used")
    })
}

/// Whether the descriptors grew. That a busy server has more of them is no leak: only the numbers are told.
fn growth(state: &HolderState) -> Option<String> {
    let (now, before) = state.descriptors.zip(state.descriptors_before)?;
    (now > before).then(|| {
        format!(
            "{} had {before} open when it was first looked at and has {now} now: a leak, if it does not \
             serve so many more connections",
            state.comm
        )
    })
}

/// `37 clients believe they are connected`: those in the accept queue.
fn believers(case: &Case<'_>) -> Option<String> {
    match case.listener.accept_queue.now? {
        0 => None,
        1 => Some("1 client in the queue believes it is connected".to_owned()),
        several => Some(format!("{several} clients in the queue believe they are connected")),
    }
}

/// The worker with most of them.
fn worst(workers: &[Worker]) -> Option<&Worker> {
    let of = |worker: &Worker| {
        let count = |name| worker.accept_errors.get(name).copied().unwrap_or(0);
        count("EMFILE").saturating_add(count("ENFILE"))
    };
    workers.iter().max_by_key(|worker| of(worker)).filter(|worker| of(worker) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::fixtures::{listener, state, still, verdict, worker};

    fn judged(errors: &[(&str, u64)], exact: bool) -> Option<Verdict> {
        let mut one = listener();
        one.accept_errors = errors.iter().map(|(name, count)| ((*name).into(), *count)).collect();
        let mut failing = worker(4243, 1);
        failing.accept_errors = one.accept_errors.clone();
        one.workers = vec![worker(4242, 9), failing];
        verdict(&FdExhausted, &one, exact)
    }

    #[test]
    fn one_call_is_enough_and_other_errors_are_none_of_it() {
        assert_eq!(judged(&[("EAGAIN", 9), ("ECONNABORTED", 3), ("EMFILE", 0)], true), None);
        let told = judged(&[("EMFILE", 1)], true).expect("a finding");
        assert_eq!(told.severity, Severity::Critical);
        assert_eq!(told.summary, "accept failed 1 time: no file descriptor left (EMFILE)");
        assert_eq!(
            told.evidence,
            "EMFILE 1; most by nginx 4243; 0.2 failing calls per second, which are no number of clients"
        );
        assert!(told.fix.contains("LimitNOFILE") && !told.fix.contains("file-max"));
    }

    fn descriptors(open: u64, limit: u64, before: Option<u64>) -> HolderState {
        HolderState {
            descriptors: Some(open),
            descriptor_limit: Some(limit),
            descriptors_before: before,
            ..state(4243, 'R')
        }
    }

    #[test]
    fn who_hangs_and_how_many_descriptors_are_used_is_told() {
        let mut one = listener();
        one.accept_errors.insert("EMFILE".to_owned(), 500);
        one.accept_queue.now = Some(44);
        one.accept_wait.oldest = Some(3_000_000_000);
        one.holder_states = Some(vec![descriptors(64, 64, Some(20))]);
        let told = verdict(&FdExhausted, &one, true).expect("a finding");
        assert_eq!(
            told.summary,
            "accept failed 500 times: no file descriptor left (EMFILE); 64 of 64 descriptors used; 44 \
             clients in the queue believe they are connected"
        );
        assert!(told.evidence.contains("100.0 failing calls per second"), "{told:?}");
        assert!(told.evidence.contains("has waited for 3.0 s"), "{told:?}");
        assert!(told.evidence.contains("python3 had 20 open"), "{told:?}");
        // No growth is seen where it was at its limit from the start, or nobody looked.
        for before in [None, Some(64)] {
            one.holder_states = Some(vec![descriptors(64, 64, before)]);
            let told = verdict(&FdExhausted, &one, true).expect("a finding");
            assert!(!told.evidence.contains("leak"), "{told:?}");
        }
        // The process's own descriptors are not what the system lacks.
        one.accept_errors = std::collections::BTreeMap::from([("ENFILE".to_owned(), 5)]);
        let told = verdict(&FdExhausted, &one, true).expect("a finding");
        assert!(!told.summary.contains("64 of 64"), "{told:?}");
    }

    #[test]
    fn nearly_used_up_is_told_before_accept_fails() {
        let judged = |open, queue| {
            let mut one = listener();
            one.accept_queue.now = Some(queue);
            one.holder_states = Some(vec![state(1, 'S'), descriptors(open, 100, None)]);
            still(&FdExhausted, &one)
        };
        assert_eq!(judged(94, 3), None);
        let told = judged(95, 3).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(told.summary, "python3 4243: 95 of 100 descriptors used");
        assert_eq!(told.evidence, "5 left before accept fails (EMFILE)");
        assert_eq!(judged(100, 0).expect("a finding").severity, Severity::Warning);
        let told = judged(101, 0).expect("a finding");
        assert_eq!(told.summary, "python3 4243: all 100 descriptors used");
        let told = judged(100, 1).expect("a finding");
        assert_eq!(told.severity, Severity::Critical);
        assert!(told.summary.ends_with("; 1 client in the queue believes it is connected"));
    }

    #[test]
    fn the_systems_limit_is_another() {
        let told = judged(&[("ENFILE", 12)], false).expect("a finding");
        assert_eq!(
            told.summary,
            "accept failed about 12 times: no open file left in the system (ENFILE)"
        );
        assert!(told.fix.contains("fs.file-max") && !told.fix.contains("LimitNOFILE"));
        let both = judged(&[("ENFILE", 1), ("EMFILE", 2)], true).expect("a finding");
        assert!(both.evidence.starts_with("EMFILE 2; ENFILE 1; most by nginx 4243;"), "{both:?}");
        assert!(both.fix.contains("fs.file-max") && both.fix.contains("LimitNOFILE"));
    }
}
