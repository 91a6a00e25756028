use observer::model::{AcceptWait, Holder, Report};

use super::*;
use crate::app::render::table::fixtures;

/// One listener with a thousand connections.
fn report(port: u16, name: &str) -> Report {
    let mut one = fixtures::listener("127.0.0.1", port);
    fixtures::traffic(&mut one, name, 2, 1_000, 1, None);
    one.accept_wait = AcceptWait { count: Some(1_000), p99: Some(12_000), ..AcceptWait::default() };
    let mut report = fixtures::report(vec![one]);
    report.providers.drops.exact = true;
    report
}

const fn terms(tolerance: f64) -> Terms {
    Terms { tolerance, allow_estimates: true, fewer: false }
}

fn baseline(report: &Report) -> Before {
    Before::of("before.json".to_owned(), report)
}

/// Names of what is worse than in the ordinary report, with what is told.
fn worse(tolerance: f64, change: impl FnOnce(&mut Report)) -> Vec<(String, String)> {
    let before = baseline(&report(80, "a"));
    let mut now = report(80, "a");
    change(&mut now);
    let broken =
        compare(&before, &now, terms(tolerance)).judged.into_iter().filter(Judged::is_broken);
    broken.map(|one| (one.limit.clone(), one.rows[0].shown.clone())).collect()
}

#[test]
fn the_same_is_not_worse() {
    assert_eq!(worse(0.0, |_| ()), []);
}

#[test]
fn worse_by_more_than_the_tolerance_is_broken() {
    let herd = |ratio: u64| {
        move |report: &mut Report| {
            report.listeners[0].wakeups.as_mut().expect("wakeups").total = ratio * 10;
        }
    };
    assert_eq!(
        worse(10.0, herd(150)),
        [("--baseline: herd ratio +10%".to_owned(), "1.50, was 1.00".to_owned())]
    );
    assert_eq!(worse(50.0, herd(150)), []);
    assert_eq!(worse(50.0, herd(151)).len(), 1);
    // Below the floor, whatever the tolerance.
    assert_eq!(worse(0.0, herd(109)), []);
}

#[test]
fn short_waits_differ_from_run_to_run() {
    let wait = |nanoseconds| {
        move |report: &mut Report| report.listeners[0].accept_wait.p99 = Some(nanoseconds)
    };
    assert_eq!(worse(10.0, wait(15_000)), []);
    assert_eq!(worse(10.0, wait(10_000_000)), []);
    assert_eq!(worse(10.0, wait(20_000_000))[0].1, "20 ms, was 12 µs");
    let few = |report: &mut Report| {
        report.listeners[0].accept_wait =
            AcceptWait { count: Some(99), p99: Some(1_000_000_000), ..AcceptWait::default() };
    };
    assert_eq!(worse(10.0, few), []);
}

#[test]
fn drops_and_errors_are_shares_of_what_came() {
    let dropped = |count| move |report: &mut Report| report.listeners[0].drops.total = Some(count);
    assert_eq!(worse(10.0, dropped(1)), []);
    assert_eq!(worse(10.0, dropped(1000))[0].1, "500.00, was 0.00");
    let failed = |report: &mut Report| {
        report.listeners[0].accept_errors.insert("EMFILE".into(), 7);
    };
    assert_eq!(worse(10.0, failed)[0].0, "--baseline: accept errors per 1000 connections +10%");
    let idle = |report: &mut Report| {
        report.listeners[0].accept_errors.insert("EAGAIN".into(), 1_000_000);
    };
    assert_eq!(worse(10.0, idle), []);
}

#[test]
fn what_was_known_and_is_not_now_is_broken() {
    let unknown = |report: &mut Report| report.listeners[0].drops.total = None;
    let expected = ("--baseline: drops per 1000 connections +10%", "not known, was 0.00");
    assert_eq!(worse(10.0, unknown), [(expected.0.to_owned(), expected.1.to_owned())]);
    let no_room = |report: &mut Report| {
        let one = &mut report.listeners[0];
        (one.accepted, one.queued, one.wakeups, one.herd_ratio) = (None, None, None, None);
        one.accept_wait.count = None;
    };
    let broken = worse(10.0, no_room);
    assert_eq!(broken.len(), 5, "{broken:?}");
    assert!(broken.iter().all(|(_, shown)| shown.starts_with("not known, was ")), "{broken:?}");
    // What was not known before decides nothing.
    let mut before = report(80, "a");
    before.listeners[0].drops.total = None;
    let judged = compare(&baseline(&before), &report(80, "a"), terms(10.0)).judged;
    assert!(!judged.iter().any(Judged::is_broken));
    assert_eq!(judged[2].rows[0].shown, "not known in the baseline");
}

#[test]
fn a_server_that_hangs_is_worse() {
    let hangs = |accepted: u64, queued: u64| {
        move |report: &mut Report| {
            let one = &mut report.listeners[0];
            (one.accepted, one.queued) = (Some(accepted), Some(queued));
            one.accept_wait.count = Some(accepted);
            one.wakeups.as_mut().expect("wakeups").total = accepted;
            report.window.seconds *= 2.0;
        }
    };
    let limit = accepted::TYPED;
    let few = worse(10.0, hangs(499, 500));
    assert_eq!(
        few,
        [(limit.to_owned(), "499, was 1000: --min-accepted says how many are enough".to_owned())]
    );
    // As many each second, and half as many in all, are a like run.
    assert_eq!(worse(10.0, hangs(500, 500)), []);
    let nothing = worse(10.0, hangs(0, 7));
    let told = "nothing was accepted, though 7 connections came, was 1000";
    assert_eq!(nothing, [(limit.to_owned(), told.to_owned())]);
    assert_eq!(worse(10.0, hangs(0, 0)).len(), 1);
    // It was said how many are enough, but not that a server may hang.
    let allowed = |accepted, queued| {
        let mut now = report(80, "a");
        hangs(accepted, queued)(&mut now);
        let terms = Terms { fewer: true, ..terms(10.0) };
        let judged = compare(&baseline(&report(80, "a")), &now, terms).judged;
        !judged.iter().any(|one| one.limit == limit && one.is_broken())
    };
    assert!(allowed(100, 100) && allowed(0, 0) && !allowed(0, 7));
}

#[test]
fn a_shorter_window_is_no_worse_one() {
    let shorter = |report: &mut Report| {
        report.listeners[0].accepted = Some(200);
        report.listeners[0].wakeups.as_mut().expect("wakeups").total = 200;
        report.window.seconds /= 5.0;
    };
    assert_eq!(worse(10.0, shorter), []);
}

#[test]
fn connections_that_nobody_takes_are_slow_ones() {
    let waits = |report: &mut Report| {
        let one = &mut report.listeners[0];
        (one.queued, one.accept_queue.now) = (Some(1_020), Some(20));
        one.accept_wait.oldest = Some(3_000_000_000);
    };
    assert_eq!(worse(10.0, waits)[0].1, "3.0 s, was 12 µs");
    let never = |report: &mut Report| report.listeners[0].discarded = Some(20);
    assert_eq!(worse(10.0, never)[0].1, "never, was 12 µs");
    let mut same = report(80, "a");
    same.listeners[0].discarded = Some(20);
    let judged = compare(&baseline(&same), &same, terms(0.0)).judged;
    assert!(!judged.iter().any(Judged::is_broken));
}

#[test]
fn drops_that_may_have_been_count() {
    let maybe = |report: &mut Report| report.listeners[0].drops.at_most = Some(500);
    assert_eq!(worse(10.0, maybe).len(), 1);
}

#[test]
fn what_compares_nothing_is_broken() {
    let other = |report: &mut Report| {
        let one = &mut report.listeners[0];
        one.port = 81;
        one.holders = None;
        one.workers.clear();
    };
    let told = worse(10.0, other);
    let expected = ("--baseline before.json", "no listener of the baseline is here");
    assert_eq!(told, [(expected.0.to_owned(), expected.1.to_owned())]);
    let judged = compare(&baseline(&few_connections()), &few_connections(), terms(10.0)).judged;
    let broken: Vec<&Judged> = judged.iter().filter(|one| one.is_broken()).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].rows[0].shown, "too few connections to compare anything");
}

fn few_connections() -> Report {
    let mut one = fixtures::listener("127.0.0.1", 80);
    fixtures::traffic(&mut one, "a", 2, 10, 9, None);
    fixtures::report(vec![one])
}

#[test]
fn another_port_of_the_only_program_of_that_name_is_the_same_listener() {
    let before = baseline(&report(40_001, "server"));
    let now = report(40_002, "server");
    let comparison = compare(&before, &now, terms(10.0));
    assert!(comparison.notes.is_empty(), "{:?}", comparison.notes);
    let row = &comparison.judged[0].rows[0];
    assert_eq!(row.state, State::Held);
    assert!(row.subject.at.ends_with(":40002 (port 40001 then)"), "{row:?}");
}

#[test]
fn those_that_could_be_several_are_not_matched() {
    let mut before = report(40_001, "server");
    before.listeners.push(report(40_003, "server").listeners.remove(0));
    let now = report(40_002, "server");
    let comparison = compare(&baseline(&before), &now, terms(10.0));
    assert_eq!(comparison.notes.len(), 2, "{:?}", comparison.notes);
    assert!(comparison.judged.iter().any(Judged::is_broken));
    // One of them is at its place.
    let mut now = report(40_001, "server");
    now.listeners.push(report(40_004, "server").listeners.remove(0));
    let pairs = pairs(&groups(&now), &groups(&before)).0.len();
    assert_eq!(pairs, 2);
}

#[test]
fn an_unknown_name_does_not_hide_a_port() {
    let before = baseline(&report(80, "a"));
    let mut now = report(80, "a");
    now.listeners[0].holders = Some(Vec::new());
    now.listeners[0].workers.clear();
    assert!(!compare(&before, &now, terms(10.0)).judged.iter().any(Judged::is_broken));
}

#[test]
fn those_that_share_a_port_are_one() {
    let mut now = report(80, "a");
    let mut other = now.listeners[0].clone();
    other.wakeups.as_mut().expect("wakeups").total = 3_000;
    other.accept_wait.p99 = Some(9_000_000);
    other.holders.as_mut().expect("holders").push(Holder {
        pid: 9,
        comm: "b".into(),
        fd: 1,
        wait: None,
    });
    now.listeners.push(other);
    let groups = groups(&now);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].herd_ratio(), Some(2.0));
    assert_eq!(groups[0].wait, Some(9e6));
    assert_eq!(groups[0].subject.at, "port 80, 2 listeners");
}

#[test]
fn a_missing_one_is_told_where_it_had_done_anything() {
    let mut before = report(80, "a");
    before.listeners.push(report(81, "b").listeners.remove(0));
    before.listeners.push(fixtures::listener("127.0.0.1", 82));
    let comparison = compare(&baseline(&before), &report(80, "a"), terms(10.0));
    let expected = "127.0.0.1:81 (b ×2) of the baseline is not here, and was not compared";
    assert_eq!(comparison.notes, [expected]);
}

#[test]
fn estimates_on_either_side_decide_nothing_unless_allowed() {
    let exact = report(80, "a");
    let mut estimate = exact.clone();
    estimate.providers.wakeups.exact = false;
    for (before, now, words) in [
        (&exact, &estimate, "wakeups by tracepoint"),
        (&estimate, &exact, "in before.json, wakeups"),
    ] {
        let judged =
            compare(&baseline(before), now, Terms { allow_estimates: false, ..terms(10.0) }).judged;
        let doubt = judged[0].doubt.as_deref().expect("doubt");
        assert!(doubt.starts_with(words), "{doubt}");
        assert_eq!(judged[1].doubt, None);
        assert_eq!(compare(&baseline(before), now, terms(10.0)).judged[0].doubt, None);
    }
}
