//! How evenly a listener's workers share its connections.

use std::collections::BTreeSet;

use crate::{host::holders::Holding, model::Worker, report::counts::jain};

/// Jain's index over what each worker of a listener accepted; `None` where that is not known: below two
/// workers, where nothing was accepted, where what some of them did is in the row of the others, and where
/// some are outside of the PID namespace: who else holds the listener there cannot be seen.
///
/// A worker is a task that was woken by the listener, called accept on it, or waits for it. A process
/// that holds the listener and has no such task is one more, which accepted nothing: a worker of nginx
/// without the accept mutex has taken the listener out of its epoll instance. But for
///
/// - a process that only started others which hold it (nginx's master, systemd with a socket of its own),
/// - a process that was started by one which accepted: it serves a connection,
/// - one that is `elsewhere`: it holds other listeners of the same reuseport group too, as each worker of
///   nginx holds those of all, and waits for its own.
pub(super) fn fairness(
    workers: &[Worker],
    holdings: &[Holding],
    elsewhere: impl Fn(u32) -> bool,
) -> Option<f64> {
    if workers.iter().any(|worker| worker.tid.is_none()) {
        return None;
    }
    let mut taken: Vec<u64> = workers.iter().map(|worker| worker.accepted).collect();
    if taken.iter().all(|accepted| *accepted == 0) {
        return None;
    }
    let active: BTreeSet<u32> = workers.iter().filter_map(|worker| worker.pid).collect();
    let accepting: BTreeSet<u32> =
        workers.iter().filter(|one| one.accepted > 0).filter_map(|one| one.pid).collect();
    let parents: BTreeSet<u32> = holdings.iter().map(|holding| holding.parent).collect();
    let silent: BTreeSet<u32> = holdings
        .iter()
        .filter(|holding| !accepting.contains(&holding.parent))
        .map(|holding| holding.holder.pid)
        .filter(|pid| !active.contains(pid) && !parents.contains(pid) && !elsewhere(*pid))
        .collect();
    taken.extend(silent.iter().map(|_| 0));
    jain(&taken)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::fairness;
    use crate::{
        host::holders::Holding,
        model::{Holder, Wakeups, Worker},
    };

    fn worker(pid: u32, tid: u32, accepted: u64) -> Worker {
        Worker {
            pid: Some(pid),
            tid: Some(tid),
            comm: String::new(),
            wakeups: Wakeups::default(),
            accepted,
            accept_errors: BTreeMap::new(),
        }
    }

    fn holding(pid: u32, parent: u32) -> Holding {
        let holder = Holder { pid, comm: String::new(), fd: 3, wait: None };
        Holding { holder, parent }
    }

    /// A master, 10, and its workers.
    fn master_and_workers() -> Vec<Holding> {
        [vec![holding(10, 1)], (11..=14).map(|pid| holding(pid, 10)).collect()].concat()
    }

    fn of(workers: &[Worker], holdings: &[Holding]) -> Option<f64> {
        fairness(workers, holdings, |_| false)
    }

    #[test]
    fn one_that_takes_all_is_one_of_those_that_hold_the_listener() {
        assert_eq!(of(&[worker(12, 12, 800)], &master_and_workers()), Some(0.25));
        let even: Vec<_> = (11..=14).map(|pid| worker(pid, pid, 200)).collect();
        assert_eq!(of(&even, &master_and_workers()), Some(1.0));
        // One that holds it twice is one.
        let twice = [master_and_workers(), vec![holding(11, 10)]].concat();
        assert_eq!(of(&[worker(12, 12, 800)], &twice), Some(0.25));
    }

    #[test]
    fn a_parent_that_accepts_or_is_woken_is_a_worker() {
        let taken = [worker(10, 10, 5), worker(11, 11, 5)];
        let holdings = [holding(10, 1), holding(11, 10)];
        assert_eq!(of(&taken, &holdings), Some(1.0));
        assert_eq!(of(&[worker(10, 10, 0), worker(11, 11, 5)], &holdings), Some(0.5));
        assert_eq!(of(&[worker(11, 11, 5)], &holdings), None);
    }

    #[test]
    fn a_child_of_one_that_accepted_serves_a_connection() {
        let forked: Vec<_> = (11..=14).map(|pid| holding(pid, 10)).collect();
        let all = [vec![holding(10, 1)], forked].concat();
        assert_eq!(of(&[worker(10, 10, 9)], &all), None);
    }

    #[test]
    fn a_process_with_threads_that_were_seen_counts_by_these() {
        let threads = [worker(11, 21, 6), worker(11, 22, 6)];
        assert_eq!(of(&threads, &[holding(11, 1)]), Some(1.0));
        assert_eq!(of(&threads, &[holding(11, 1), holding(12, 1)]), Some(2.0 / 3.0));
    }

    #[test]
    fn who_has_a_listener_of_the_group_for_itself_is_no_worker_of_another() {
        let only_13_and_14 = |pid| pid < 13;
        let workers = [worker(12, 12, 800)];
        assert_eq!(fairness(&workers, &master_and_workers(), |_| true), None);
        assert_eq!(fairness(&workers, &master_and_workers(), only_13_and_14), Some(1.0 / 3.0));
    }

    #[test]
    fn it_is_not_known_where_workers_were_folded() {
        let others = |accepted| Worker { pid: None, tid: None, ..worker(0, 0, accepted) };
        assert_eq!(of(&[others(700), worker(12, 12, 100)], &master_and_workers()), None);
        assert_eq!(of(&[others(0), worker(12, 12, 100)], &master_and_workers()), None);
    }

    #[test]
    fn it_is_not_known_where_workers_are_outside_of_the_pid_namespace() {
        let outside = Worker { pid: None, tid: None, ..worker(0, 0, 100) };
        assert_eq!(of(&[outside, worker(12, 12, 100)], &[]), None);
    }

    #[test]
    fn it_is_not_known_where_nothing_was_accepted() {
        assert_eq!(of(&[worker(11, 11, 0), worker(12, 12, 0)], &master_and_workers()), None);
        assert_eq!(of(&[], &master_and_workers()), None);
    }
}
