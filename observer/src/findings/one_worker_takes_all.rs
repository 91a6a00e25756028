//! `one-worker-takes-all`: of several workers that wait for a listener, one accepts nearly every connection.

use super::{
    chance::{self, NO_CHANCE},
    id,
    rule::{Case, Rule, Verdict},
    words::counted,
};
use crate::{model::Severity, units};

/// From this share of the connections on, in percent, one takes all.
const ALL: u64 = 90;

/// Nanoseconds of accept wait (99th percentile) up to which the other workers' idleness is no loss: who
/// connects does not wait for the one that is busy. Half of what `slow-accept` calls slow.
const NO_LOSS: u64 = 50_000_000;

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
    /// else is none, because one acceptor that hands connections on is meant so.
    ///
    /// Three things have to hold. One worker has nearly all; chance does not explain it, by a bound on the
    /// binomial tail ([`chance::of_so_many`]), were each connection given to any worker alike; and connections
    /// waited, while others had nothing to do. It costs nothing while that one worker keeps up.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let listener = case.listener;
        // Without it, workers were folded into one row, or there is only one.
        listener.fairness?;
        let accepted = listener.accepted?;
        let workers = &listener.workers;
        let top = workers.iter().max_by_key(|worker| worker.accepted)?;
        let of_all = u128::from(top.accepted) * 100;
        let is_all = of_all >= u128::from(accepted) * u128::from(ALL);
        if workers.len() < 2 || !is_all {
            return None;
        }
        let wait = listener.accept_wait.p99.filter(|wait| *wait > NO_LOSS)?;
        if chance::of_so_many(top.accepted.min(accepted), accepted, workers.len()) >= NO_CHANCE {
            return None;
        }
        let idle = workers.iter().filter(|worker| worker.accepted == 0).count();
        let hedge = case.hedge(&case.providers.accepts);
        let percent = of_all / u128::from(accepted.max(1));
        let who = match top.tid {
            Some(tid) => format!("{} {tid}", top.comm),
            None => top.comm.clone(),
        };
        Some(Verdict {
            severity: Severity::Warning,
            summary: format!(
                "one of {} workers ({who}) accepted {hedge}{percent}% of the connections, which waited \
                 up to {} (p99) for it",
                workers.len(),
                units::time(wait)
            ),
            evidence: format!(
                "{hedge}{} of {}; {} accepted none; chance gives one worker so many less than once in a \
                 million",
                top.accepted,
                counted(accepted, "connection", "connections"),
                counted(u64::try_from(idle).unwrap_or(u64::MAX), "worker", "workers"),
            ),
            fix: "Leave it while that worker keeps up; else use one SO_REUSEPORT socket for each worker."
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, verdict, worker},
        model::Listener,
    };

    fn shared(shares: &[u64]) -> Listener {
        let mut one = listener();
        one.accept_wait.p99 = Some(NO_LOSS + 1);
        one.accepted = Some(shares.iter().sum());
        one.fairness = Some(0.5);
        one.workers = (4242..).zip(shares).map(|(tid, share)| worker(tid, *share)).collect();
        one
    }

    fn judged(shares: &[u64]) -> Option<Verdict> {
        verdict(&OneWorkerTakesAll, &shared(shares), true)
    }

    #[test]
    fn nine_of_ten_are_all() {
        assert_eq!(judged(&[899, 101]), None);
        let told = judged(&[100, 900]).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(
            told.summary,
            "one of 2 workers (nginx 4243) accepted 90% of the connections, which waited up to 50 ms \
             (p99) for it"
        );
        assert_eq!(
            told.evidence,
            "900 of 1000 connections; 0 workers accepted none; chance gives one worker so many less \
             than once in a million"
        );
    }

    #[test]
    fn a_few_connections_are_an_accident() {
        // Both are all of them.
        assert_eq!(judged(&[20, 0]), None);
        assert!(judged(&[21, 0]).is_some());
        // Of more workers it takes fewer.
        assert!(judged(&[12, 0, 0, 0]).is_some());
    }

    #[test]
    fn idle_workers_are_no_loss_while_nobody_waits() {
        let mut one = shared(&[1000, 0]);
        for wait in [None, Some(NO_LOSS)] {
            one.accept_wait.p99 = wait;
            assert_eq!(verdict(&OneWorkerTakesAll, &one, true), None, "{wait:?}");
        }
    }

    #[test]
    fn one_acceptor_shares_with_nobody() {
        assert_eq!(judged(&[1000]), None);
        let mut one = shared(&[]);
        one.accepted = Some(1000);
        one.workers = vec![worker(4242, 1000), worker(4243, 0)];
        // Nobody else waits, or what some of them did is in the row of the others.
        one.fairness = None;
        assert_eq!(verdict(&OneWorkerTakesAll, &one, true), None);
    }
}
