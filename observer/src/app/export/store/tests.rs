use std::time::{Duration, Instant};

use observer::{
    host::identity::Scope,
    model::{Bucket, Finding, Holder, Listener, Report, Severity, Via, Wakeups, WindowKind},
};

use super::Store;
use crate::app::{
    export::{
        origins::Origins,
        tally::{BASE_SERIES, DETAIL_SERIES, Tally},
    },
    render::table::fixtures,
};

/// Processes in containers of their own.
struct Containers;

impl Origins for Containers {
    fn scope(&mut self, pid: u32) -> Scope {
        Scope { container_id: Some(format!("c{pid}")), pod_uid: None }
    }

    fn descriptors(&mut self, listener: &Listener, _now: Instant) -> Vec<(u64, Option<u64>)> {
        listener.holders.iter().flatten().map(|holder| (u64::from(holder.pid), Some(100))).collect()
    }

    fn end_report(&mut self) {}
}

fn listener(port: u16, inode: u64, counted: u64) -> Listener {
    let mut listener = fixtures::listener("10.0.0.1", port);
    listener.inode = inode;
    listener.cookie = Some(inode);
    listener.queued = Some(counted);
    listener.accepted = Some(counted);
    listener.wakeups = Some(Wakeups { total: counted, won: counted, ..Wakeups::default() });
    listener.accept_errors.clear();
    if counted > 0 {
        listener.accept_errors.insert("EAGAIN".into(), counted);
    }
    listener.holders = Some(vec![Holder { pid: 7, comm: "nginx".into(), fd: 3, wait: None }]);
    listener.workers = Vec::new();
    listener.findings = Vec::new();
    listener
}

fn report(listeners: Vec<Listener>) -> Report {
    let mut report = fixtures::report(listeners);
    report.window.kind = WindowKind::Interval;
    report.window.seconds = 5.0;
    report
}

fn closed(mut listener: Listener) -> Listener {
    listener.closed = true;
    listener.accept_queue.now = None;
    listener
}

struct Stored {
    store: Store,
    now: Instant,
}

impl Stored {
    fn new(most: usize) -> Self {
        Self { store: Store::new(most, true), now: Instant::now() }
    }

    fn add(&mut self, listeners: Vec<Listener>) {
        self.now += Duration::from_secs(5);
        self.store.add(&report(listeners), &mut Containers, self.now);
    }

    fn at(&self, port: u16) -> Option<&Tally> {
        self.store.places().find(|(place, _)| place.port == port).map(|(_, tally)| tally)
    }
}

#[test]
fn counters_go_on_where_a_listener_is_born_again() {
    let mut stored = Stored::new(1000);
    stored.add(vec![listener(80, 1, 3)]);
    stored.add(vec![closed(listener(80, 1, 4))]);
    assert_eq!(stored.at(80).and_then(|tally| tally.accepted), Some(7));
    stored.add(vec![]);
    let gone = stored.at(80).expect("it is kept");
    assert_eq!((gone.accepted, gone.gauges.listeners), (Some(7), 0));
    assert_eq!(gone.gauges.queue, None, "nothing waits where nobody listens, and it is no 0");
    stored.add(vec![listener(80, 2, 5)]);
    let reborn = stored.at(80).expect("it is there");
    assert_eq!((reborn.accepted, reborn.gauges.listeners), (Some(12), 1));
    let details = reborn.details.as_ref().expect("something happened");
    assert_eq!(details.wakeups, Some([12, 0, 0, 0]));
    assert_eq!(details.accept_errors["EAGAIN"], 12);
    assert_eq!(stored.store.places().count(), 1);
}

#[test]
fn one_that_closed_and_another_in_the_same_interval_add_up() {
    let mut stored = Stored::new(1000);
    stored.add(vec![closed(listener(80, 1, 4)), listener(80, 2, 5)]);
    let tally = stored.at(80).expect("it is there");
    assert_eq!((tally.accepted, tally.gauges.listeners), (Some(9), 1));
}

#[test]
fn counts_of_before_are_forgotten_an_hour_after_the_end() {
    let mut stored = Stored::new(1000);
    stored.add(vec![listener(80, 1, 3)]);
    for _ in 0..719 {
        stored.add(vec![]);
    }
    assert!(stored.at(80).is_some());
    for _ in 0..2 {
        stored.add(vec![]);
    }
    assert!(stored.at(80).is_none());
    assert_eq!(stored.store.room().taken(), 0);
}

#[test]
fn what_is_not_known_is_not_0() {
    let mut stored = Stored::new(1000);
    let mut unknown = listener(80, 1, 1);
    (unknown.queued, unknown.accepted, unknown.wakeups) = (None, None, None);
    unknown.drops = Default::default();
    unknown.syn_queue.cookies_sent = None;
    unknown.accept_queue.limit = None;
    stored.add(vec![unknown.clone()]);
    let tally = stored.at(80).expect("it is there");
    assert_eq!((tally.queued, tally.accepted, tally.gauges.limit), (None, None, None));
    let details = tally.details.as_ref().expect("accept failed");
    assert_eq!((details.wakeups, details.cookies), (None, None));
    assert!(details.drops.is_empty());
    // What is known later counts from then on, and stays when it is not known for once.
    stored.add(vec![listener(80, 1, 2)]);
    stored.add(vec![unknown]);
    assert_eq!(stored.at(80).and_then(|tally| tally.accepted), Some(2));
}

#[test]
fn a_signal_that_nothing_observes_has_no_series() {
    let mut stored = Stored::new(1000);
    let mut report = report(vec![listener(80, 1, 3)]);
    for provider in [&mut report.providers.wakeups, &mut report.providers.accepts] {
        (provider.via, provider.exact) = (Via::None, false);
    }
    stored.store.add(&report, &mut Containers, stored.now);
    let tally = stored.at(80).expect("it is there");
    assert_eq!((tally.queued, tally.accepted), (Some(3), None));
    assert_eq!(tally.details.as_ref().expect("something happened").wakeups, None);
}

#[test]
fn a_group_is_added_up_and_its_fullest_told() {
    let mut stored = Stored::new(1000);
    let mut one = listener(80, 1, 1);
    let mut other = listener(80, 2, 2);
    (one.accept_queue.now, one.accept_queue.limit) = (Some(3), Some(10));
    (other.accept_queue.now, other.accept_queue.limit) = (Some(4), Some(20));
    (one.accept_queue.used_percent, other.accept_queue.used_percent) = (Some(90.0), Some(20.0));
    stored.add(vec![one.clone(), other.clone()]);
    let gauges = &stored.at(80).expect("it is there").gauges;
    assert_eq!((gauges.listeners, gauges.queue, gauges.limit), (2, Some(7), Some(30)));
    assert_eq!(gauges.used_percent, Some(90.0));
    one.accept_queue.limit = None;
    stored.add(vec![one, other]);
    assert_eq!(stored.at(80).expect("it is there").gauges.limit, None, "a part is not known");
}

#[test]
fn labels_stay_while_a_listener_lives() {
    let mut stored = Stored::new(1000);
    let mut nobody = listener(80, 1, 1);
    nobody.holders = None;
    stored.add(vec![nobody]);
    stored.add(vec![listener(80, 1, 1)]);
    // Another process has it now, and the series are those of before.
    let mut renamed = listener(80, 1, 1);
    renamed.holders = Some(vec![Holder { pid: 3, comm: "apache2".into(), fd: 3, wait: None }]);
    stored.add(vec![renamed.clone()]);
    let places: Vec<_> = stored.store.places().map(|(place, _)| place.process.as_str()).collect();
    assert_eq!(places, ["", "nginx"]);
    let labels: Vec<_> =
        stored.store.places().map(|(place, _)| place.container_id.as_str()).collect();
    assert_eq!(labels, ["", "c7"]);
    // It is another listener: another process began it.
    renamed.inode = 2;
    stored.add(vec![renamed]);
    assert_eq!(stored.store.places().count(), 3);
}

#[test]
fn the_first_process_does_not_stand_for_a_server() {
    let mut stored = Stored::new(1000);
    let mut passed = listener(80, 1, 1);
    let of = |pid, comm: &str| Holder { pid, comm: comm.into(), fd: 3, wait: None };
    passed.holders = Some(vec![of(1, "systemd"), of(900, "sshd")]);
    stored.add(vec![passed]);
    let processes: Vec<_> =
        stored.store.places().map(|(place, _)| place.process.as_str()).collect();
    assert_eq!(processes, ["sshd"]);
}

#[test]
fn findings_last_and_end() {
    let mut stored = Stored::new(1000);
    let finding = Finding {
        id: "thundering-herd".into(),
        severity: Severity::Warning,
        server: None,
        summary: String::new(),
        evidence: String::new(),
        fix: String::new(),
        steps: Vec::new(),
        source: String::new(),
    };
    let mut ill = listener(80, 1, 1);
    ill.findings = vec![finding];
    let mut other = ill.clone();
    other.inode = 2;
    stored.add(vec![ill.clone(), other]);
    stored.add(vec![ill]);
    let lasting = |stored: &Stored| {
        let tally = stored.at(80).expect("it is there");
        *tally.findings.values().next().expect("a finding")
    };
    assert!(lasting(&stored).active && (lasting(&stored).seconds - 10.0).abs() < 1e-9);
    stored.add(vec![listener(80, 1, 1)]);
    assert!(!lasting(&stored).active && (lasting(&stored).seconds - 10.0).abs() < 1e-9);
}

#[test]
fn there_are_never_more_series_than_asked_for() {
    let idle_fit = 10;
    let mut stored = Stored::new(idle_fit * BASE_SERIES);
    let all =
        |counted| (1..=50).map(|port| listener(port, u64::from(port), counted)).collect::<Vec<_>>();
    stored.add(all(0));
    assert_eq!(stored.store.places().count(), idle_fit);
    assert_eq!(stored.store.room().left_out(), 40 * BASE_SERIES);
    // Those that are there stay, and count what needs no more room.
    stored.add(all(2));
    stored.add(all(2));
    assert_eq!(stored.store.places().count(), idle_fit);
    assert_eq!(stored.at(1).and_then(|tally| tally.accepted), Some(4));
    assert!(stored.at(1).is_some_and(|tally| tally.details.is_none()));
    assert!(stored.store.room().left_out() >= 40 * BASE_SERIES + 10 * DETAIL_SERIES);
    assert!(stored.store.room().taken() <= idle_fit * BASE_SERIES);
    // Where nobody listens any more there is room for others.
    stored.add(vec![]);
    stored.add(vec![listener(49, 49, 0), listener(50, 50, 0)]);
    assert!(stored.at(49).is_some() && stored.at(50).is_some());
    assert_eq!(stored.store.room().left_out(), 0);
}

#[test]
fn workers_go_and_give_back_their_room() {
    let mut stored = Stored::new(1000);
    let mut with = |workers: &[u32]| {
        let mut one = listener(80, 1, 1);
        one.workers = workers.iter().map(|pid| fixtures::worker("nginx", *pid)).collect();
        stored.add(vec![one]);
        (stored.at(80).expect("it is there").workers.len(), stored.store.room().taken())
    };
    let (first, taken) = with(&[7, 8, 9]);
    assert_eq!(first, 3);
    for pid in 10..500 {
        assert_eq!(with(&[pid, pid + 1, pid + 2]), (3, taken));
    }
    assert_eq!(with(&[]).0, 0);
}

#[test]
fn drops_that_are_uncertain_have_two_counts() {
    let mut stored = Stored::new(1000);
    let with = |total, at_most| {
        let mut one = listener(80, 1, 1);
        one.drops = Default::default();
        (one.drops.total, one.drops.at_most) = (Some(total), at_most);
        one
    };
    stored.add(vec![with(5, None)]);
    stored.add(vec![with(2, Some(4))]);
    stored.add(vec![with(1, None)]);
    let details =
        stored.at(80).and_then(|tally| tally.details.as_ref()).expect("something happened");
    assert_eq!(details.drops["unknown"], 8);
    assert_eq!(details.drops_at_most, Some(10));
}

#[test]
fn the_descriptors_of_who_has_least_left_are_told() {
    let mut stored = Stored::new(1000);
    let mut one = listener(80, 1, 1);
    let of = |pid| Holder { pid, comm: "nginx".into(), fd: 3, wait: None };
    one.holders = Some(vec![of(20), of(90), of(30)]);
    one.accept_queue.histogram = vec![Bucket { le: 1, count: 1 }];
    stored.add(vec![one]);
    assert_eq!(stored.at(80).expect("it is there").gauges.descriptors, Some((90, Some(100))));
}

/// Listeners of which each has a port of its own, born and dead within a report: what is kept, walked through and served
/// has its bound, whichever generation it is.
#[test]
fn generations_do_not_add_up() {
    let mut stored = Stored::new(1000);
    let mut most = (0, 0, 0);
    for generation in 0..600_u16 {
        let alive = listener(80, 1, 1);
        let ports = (0..5).map(|one| 1000 + generation * 5 + one);
        let dead = ports.map(|port| closed(listener(port, u64::from(port), 1)));
        stored.add(dead.chain([alive]).collect());
        let Store { places, gone, listeners, room, .. } = &stored.store;
        most = (most.0.max(places.len()), most.1.max(listeners.len()), most.2.max(room.taken()));
        assert_eq!(gone.len() + 1, places.len(), "all but one are gone");
        let reserved: usize = places.values().map(|kept| kept.tally.reserved).sum();
        assert_eq!(reserved, room.taken());
    }
    let each = BASE_SERIES + DETAIL_SERIES;
    assert!(most.0 <= 1000 / each && most.1 == 6 && most.2 <= 1000, "{most:?}");
    // The one that was there all along lost nothing.
    assert_eq!(stored.at(80).and_then(|tally| tally.accepted), Some(600));
}
