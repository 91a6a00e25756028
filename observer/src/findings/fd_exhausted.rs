//! `fd-exhausted`: accept fails because the process, or the whole system, has no file descriptor left.

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::{counted, sentence},
};
use crate::model::{Severity, Worker};

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
        if calls == 0 {
            return None;
        }
        let of_process = "raise the server's limit on open files (ulimit -n; LimitNOFILE= in systemd), or find the \
                          descriptors that it leaks";
        let of_system = "raise fs.file-max, or find who holds so many open files";
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
        evidence.extend(worst(&case.listener.workers));
        Some(Verdict {
            severity: Severity::Critical,
            summary: format!("accept failed {hedge}{}: {what}", counted(calls, "time", "times")),
            evidence: evidence.join(", "),
            fix: sentence(&fix),
        })
    }
}

/// The worker with most of them.
fn worst(workers: &[Worker]) -> Option<String> {
    let of = |worker: &Worker| {
        let count = |name| worker.accept_errors.get(name).copied().unwrap_or(0);
        count("EMFILE").saturating_add(count("ENFILE"))
    };
    let worst = workers.iter().max_by_key(|worker| of(worker)).filter(|worker| of(worker) > 0)?;
    Some(match worst.pid {
        Some(pid) => format!("most by {} {pid}", worst.comm),
        None => format!("most by {}", worst.comm),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::fixtures::{listener, verdict, worker};

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
        assert_eq!(told.evidence, "EMFILE 1, most by nginx 4243");
        assert!(told.fix.contains("LimitNOFILE") && !told.fix.contains("file-max"));
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
        assert_eq!(both.evidence, "EMFILE 2, ENFILE 1, most by nginx 4243");
        assert!(both.fix.contains("fs.file-max") && both.fix.contains("LimitNOFILE"));
    }
}
