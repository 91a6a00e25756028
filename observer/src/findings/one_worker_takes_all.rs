//! `one-worker-takes-all`: of several workers that wait for a listener, one accepts nearly every connection.

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::counted,
};
use crate::model::Severity;

/// From this share of the connections on, in percent, one takes all.
const ALL: u64 = 90;

/// Fewest connections with which that is no accident.
const FEWEST: u64 = 100;

pub(super) struct OneWorkerTakesAll;

impl Rule for OneWorkerTakesAll {
    fn id(&self) -> &'static str {
        id::ONE_WORKER_TAKES_ALL
    }

    fn source(&self) -> &'static str {
        "epoll_ctl(2): EPOLLEXCLUSIVE; socket(7): SO_REUSEPORT"
    }

    /// Workers are tasks that were woken by the listener or wait for it: with EPOLLEXCLUSIVE the first that is
    /// idle is woken each time, and the others never. A process that holds the listener and waits for something
    /// else is none, because one acceptor that hands connections on is meant so. It costs nothing while that one
    /// worker keeps up, hence no warning.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let listener = case.listener;
        // Without it, workers were folded into one row, or there is only one.
        listener.fairness?;
        let accepted = listener.accepted?;
        let workers = &listener.workers;
        let top = workers.iter().max_by_key(|worker| worker.accepted)?;
        let of_all = u128::from(top.accepted) * 100;
        let is_all = of_all >= u128::from(accepted) * u128::from(ALL);
        if workers.len() < 2 || accepted < FEWEST || !is_all {
            return None;
        }
        let hedge = case.hedge(&case.providers.accepts);
        let percent = of_all / u128::from(accepted.max(1));
        let who = match top.tid {
            Some(tid) => format!("{} {tid}", top.comm),
            None => top.comm.clone(),
        };
        Some(Verdict {
            severity: Severity::Info,
            summary: format!(
                "one of {} workers ({who}) accepted {hedge}{percent}% of the connections",
                workers.len()
            ),
            evidence: format!(
                "{hedge}{} of {}",
                top.accepted,
                counted(accepted, "connection", "connections")
            ),
            fix: "Leave it while that worker keeps up; else use one SO_REUSEPORT socket for each worker."
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::fixtures::{listener, verdict, worker};

    fn judged(shares: &[u64]) -> Option<Verdict> {
        let mut one = listener();
        one.accepted = Some(shares.iter().sum());
        one.fairness = Some(0.5);
        one.workers = (4242..).zip(shares).map(|(tid, share)| worker(tid, *share)).collect();
        verdict(&OneWorkerTakesAll, &one, true)
    }

    #[test]
    fn nine_of_ten_are_all() {
        assert_eq!(judged(&[899, 101]), None);
        let told = judged(&[100, 900]).expect("a finding");
        assert_eq!(told.severity, Severity::Info);
        assert_eq!(told.summary, "one of 2 workers (nginx 4243) accepted 90% of the connections");
        assert_eq!(told.evidence, "900 of 1000 connections");
    }

    #[test]
    fn a_few_connections_are_an_accident() {
        assert_eq!(judged(&[FEWEST - 1, 0]), None);
        assert!(judged(&[FEWEST, 0]).is_some());
    }

    #[test]
    fn one_acceptor_shares_with_nobody() {
        assert_eq!(judged(&[1000]), None);
        let mut one = listener();
        one.workers = vec![worker(4242, 1000), worker(4243, 0)];
        // Nobody else waits, or what some of them did is in the row of the others.
        one.fairness = None;
        assert_eq!(verdict(&OneWorkerTakesAll, &one, true), None);
    }
}
