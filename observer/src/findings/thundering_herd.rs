//! `thundering-herd`: the kernel wakes several tasks for each connection, and all but one of them for nothing.

use std::collections::BTreeSet;

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::{counted, holders},
};
use crate::{
    model::{Listener, Severity, Wait, Wakeups},
    units,
};

/// From this ratio on, several tasks run for one connection.
const SEVERAL: f64 = 2.0;

/// Wakeups for nothing in each second from which on they are told. A task that is woken for nothing is switched
/// to and away from: some microseconds of a CPU, so that a hundred a second are less than a thousandth of one.
/// Below it a herd costs nothing, whatever its ratio.
const NOTICEABLE: f64 = 100.0;

/// Wakeups for nothing in each second from which on they are worth curing: near one hundredth of a CPU, and
/// as many delays of what else runs there.
const COSTLY: f64 = 1_000.0;

pub(super) struct ThunderingHerd;

impl Rule for ThunderingHerd {
    fn id(&self) -> &'static str {
        id::THUNDERING_HERD
    }

    fn source(&self) -> &'static str {
        "epoll_ctl(2): EPOLLEXCLUSIVE; socket(7): SO_REUSEPORT"
    }

    /// What it costs is workers times connections per second, so that the ratio alone is no finding. What the tasks burn
    /// is told where it was measured (`--cost`).
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let listener = case.listener;
        let ratio = listener.herd_ratio.filter(|ratio| *ratio >= SEVERAL)?;
        let Wakeups { total, won, lost, failed, silent, .. } = listener.wakeups?;
        let wasted = lost.saturating_add(failed).saturating_add(silent);
        let per_second = case.per_second(wasted).filter(|rate| *rate >= NOTICEABLE)?;
        let severity = if per_second >= COSTLY { Severity::Warning } else { Severity::Info };
        let exact = case.providers.wakeups.exact && case.providers.accepts.exact;
        let hedge = if exact && !listener.incomplete { "" } else { "about " };
        let mut evidence = format!(
            "{hedge}{} for {} in {}: {won} accepted one, {lost} found none left, {silent} did not call \
             accept",
            counted(total, "wakeup", "wakeups"),
            counted(listener.accepted?, "connection", "connections"),
            units::seconds(case.window.seconds),
        );
        if let Some(who) = holders(listener) {
            evidence += &format!("; held by {who}");
        }
        let burnt = listener.wasted_cpu.and_then(|wasted| case.per_second(wasted));
        let burnt = burnt.map(|time| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
            let time = units::time(time as u64);
            format!(" and {time} of CPU")
        });
        let burnt = burnt.unwrap_or_default();
        let waits = who_waits(listener).map(|who| format!(": {who}")).unwrap_or_default();
        Some(Verdict {
            severity,
            summary: format!(
                "thundering herd: {hedge}{} wakeups per connection{waits}; {} are wasted: {hedge}{:.0} \
                 context switches{burnt} per second",
                units::ratio(Some(ratio)),
                of_all(wasted, total),
                per_second,
            ),
            evidence,
            fix: fix(case).to_owned(),
        })
    }
}

/// `8 processes wait on fd 6 with epoll, none with EPOLLEXCLUSIVE`; `None` where it is not known how anybody
/// waits.
fn who_waits(listener: &Listener) -> Option<String> {
    let holders = listener.holders.as_deref()?;
    let waiting: Vec<_> =
        holders.iter().filter_map(|holder| Some((holder, holder.wait?))).collect();
    let pids: BTreeSet<u32> = waiting.iter().map(|(holder, _)| holder.pid).collect();
    let (first, _) = waiting.first()?;
    let who = match pids.len() {
        1 => {
            let threads = listener.workers.iter().filter(|one| one.pid == Some(first.pid)).count();
            format!("{} of {} {}", counted_usize(threads.max(1), "thread"), first.comm, first.pid)
        }
        several => format!("{several} processes"),
    };
    let verb = if who.starts_with("1 ") { "waits" } else { "wait" };
    let same = waiting.iter().all(|(holder, _)| holder.fd == first.fd);
    let fd = if same { format!(" on fd {}", first.fd) } else { String::new() };
    let ways: BTreeSet<Wait> = waiting.iter().map(|(_, wait)| *wait).collect();
    let of = |way| waiting.iter().filter(|(_, wait)| *wait == way).count();
    let how = match ways.into_iter().collect::<Vec<_>>()[..] {
        [Wait::Epoll] => "with epoll, none with EPOLLEXCLUSIVE".to_owned(),
        [Wait::EpollExclusive] => "with epoll, all with EPOLLEXCLUSIVE".to_owned(),
        [Wait::Epoll, Wait::EpollExclusive] => {
            format!("with epoll, {} of them with EPOLLEXCLUSIVE", of(Wait::EpollExclusive))
        }
        [Wait::Poll] => "in poll()".to_owned(),
        [Wait::Select] => "in select()".to_owned(),
        [Wait::Accept] => "in accept()".to_owned(),
        [Wait::IoUring] => "on io_uring".to_owned(),
        _ => "in several ways".to_owned(),
    };
    Some(format!("{who} {verb}{fd} {how}"))
}

/// Largest number of wakeups of which a part is told as `7 of 8`.
const COUNTABLE: u64 = 64;

/// `7 of 8 wakeups` where that is so, to one in a hundred, else `83% of wakeups`.
fn of_all(wasted: u64, total: u64) -> String {
    let (wasted, total) = (u128::from(wasted), u128::from(total));
    let kept = total.saturating_sub(wasted).max(1);
    let all = (total + kept / 2) / kept;
    // What `all - 1` of `all` would be.
    let expected = total.saturating_sub(total / all.max(1));
    if (2..=u128::from(COUNTABLE)).contains(&all) && expected.abs_diff(wasted) * 100 <= total {
        return format!("{} of {all} wakeups", all - 1);
    }
    let share = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
    format!("{} of wakeups", units::share(share(wasted), share(total)))
}

fn counted_usize(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What fits the way in which the server waits: EPOLLEXCLUSIVE is for epoll alone.
fn fix(case: &Case<'_>) -> &'static str {
    let holders = case.listener.holders.as_deref().unwrap_or_default();
    let waits = |wanted: &[Wait]| {
        holders.iter().any(|holder| holder.wait.is_some_and(|wait| wanted.contains(&wait)))
    };
    if waits(&[Wait::Poll, Wait::Select]) {
        "Use epoll with EPOLLEXCLUSIVE, or one SO_REUSEPORT socket for each worker."
    } else if waits(&[Wait::EpollExclusive]) {
        "Find the waiters without EPOLLEXCLUSIVE, or use one SO_REUSEPORT socket for each worker."
    } else {
        "Use EPOLLEXCLUSIVE, or one SO_REUSEPORT socket for each worker."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, verdict, worker},
        model::{Holder, Listener},
    };

    fn herd(ratio: Option<f64>) -> Listener {
        let mut one = listener();
        one.wakeups =
            Some(Wakeups { total: 8000, won: 1000, lost: 600, silent: 6400, ..Wakeups::default() });
        one.herd_ratio = ratio;
        one
    }

    /// With so many wakeups for nothing in the five seconds.
    fn wasting(wasted: u64) -> Option<Verdict> {
        let mut one = herd(Some(8.0));
        one.wakeups = Some(Wakeups {
            total: wasted + 10,
            won: 10,
            lost: 0,
            silent: wasted,
            ..Wakeups::default()
        });
        verdict(&ThunderingHerd, &one, true)
    }

    fn holding(waits: &[(u32, i32, Option<Wait>)]) -> Vec<Holder> {
        let holder = |(pid, fd, wait): &(u32, i32, _)| Holder {
            pid: *pid,
            comm: "a".into(),
            fd: *fd,
            wait: *wait,
        };
        waits.iter().map(holder).collect()
    }

    #[test]
    fn fewer_than_two_for_a_connection_are_no_herd() {
        for calm in [None, Some(0.1), Some(1.0), Some(1.99)] {
            assert_eq!(verdict(&ThunderingHerd, &herd(calm), true), None, "{calm:?}");
        }
        assert!(verdict(&ThunderingHerd, &herd(Some(2.0)), true).is_some());
    }

    #[test]
    fn it_is_what_it_costs_and_not_its_ratio() {
        // In 5 s.
        assert_eq!(wasting(499), None);
        assert_eq!(wasting(500).map(|told| told.severity), Some(Severity::Info));
        assert_eq!(wasting(4_999).map(|told| told.severity), Some(Severity::Info));
        assert_eq!(wasting(5_000).map(|told| told.severity), Some(Severity::Warning));
    }

    #[test]
    fn who_waits_and_how_is_told() {
        let mut one = herd(Some(8.0));
        let epoll: Vec<_> = (1..=8).map(|pid| (pid, 6, Some(Wait::Epoll))).collect();
        one.holders = Some(holding(&epoll));
        let told = verdict(&ThunderingHerd, &one, true).expect("a finding");
        assert_eq!(
            told.summary,
            "thundering herd: 8.00 wakeups per connection: 8 processes wait on fd 6 with epoll, none with \
             EPOLLEXCLUSIVE; 7 of 8 wakeups are wasted: 1400 context switches per second"
        );
        assert_eq!(
            told.evidence,
            "8000 wakeups for 1000 connections in 5.0 s: 1000 accepted one, 600 found none left, 6400 \
             did not call accept; held by a ×8"
        );
        let who = |waits: &[(u32, i32, Option<Wait>)]| {
            let mut one = herd(Some(8.0));
            one.holders = Some(holding(waits));
            one.workers = vec![worker(1, 5), worker(1, 5)];
            who_waits(&one)
        };
        assert_eq!(who(&[]), None);
        assert_eq!(who(&[(1, 3, None)]), None);
        let select = [(1, 3, Some(Wait::Select)), (2, 4, Some(Wait::Select)), (9, 3, None)];
        assert_eq!(who(&select).as_deref(), Some("2 processes wait in select()"));
        let mixed = [(1, 3, Some(Wait::Epoll)), (2, 3, Some(Wait::EpollExclusive))];
        let expected = "2 processes wait on fd 3 with epoll, 1 of them with EPOLLEXCLUSIVE";
        assert_eq!(who(&mixed).as_deref(), Some(expected));
        let threads = [(1, 3, Some(Wait::Poll))];
        assert_eq!(who(&threads).as_deref(), Some("2 threads of a 1 wait on fd 3 in poll()"));
    }

    #[test]
    fn a_part_is_counted_where_it_is_one() {
        assert_eq!(of_all(1400, 1600), "7 of 8 wakeups");
        assert_eq!(of_all(1395, 1600), "7 of 8 wakeups");
        assert_eq!(of_all(1, 2), "1 of 2 wakeups");
        assert_eq!(of_all(6, 10), "60% of wakeups");
        assert_eq!(of_all(0, 10), "0% of wakeups");
        assert_eq!(of_all(0, 0), "- of wakeups");
        assert_eq!(of_all(u64::MAX, u64::MAX), "100% of wakeups");
        assert_eq!(of_all(999, 1000), ">99% of wakeups");
    }

    #[test]
    fn an_estimate_is_told_as_one() {
        let told = verdict(&ThunderingHerd, &herd(Some(8.0)), false).expect("a finding");
        assert!(told.summary.starts_with("thundering herd: about 8.00"), "{told:?}");
        assert!(told.summary.ends_with("about 1400 context switches per second"), "{told:?}");
        assert!(told.evidence.starts_with("about 8000"), "{told:?}");
    }

    #[test]
    fn the_fix_is_of_the_way_of_waiting() {
        let fix = |wait| {
            let mut one = herd(Some(8.0));
            one.holders = Some(vec![Holder { pid: 1, comm: "a".into(), fd: 3, wait }]);
            verdict(&ThunderingHerd, &one, true).expect("a finding").fix
        };
        assert!(fix(None).starts_with("Use EPOLLEXCLUSIVE"));
        assert!(fix(Some(Wait::Epoll)).starts_with("Use EPOLLEXCLUSIVE"));
        assert!(fix(Some(Wait::EpollExclusive)).starts_with("Find the waiters"));
        assert!(fix(Some(Wait::Poll)).starts_with("Use epoll with EPOLLEXCLUSIVE"));
    }
}
