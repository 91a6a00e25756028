//! One thing at a time is changed, and each listener that is shown otherwise must not be idle.

mod findings;
mod no_room;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use observer_common::counters::{
    ErrorKey, ListenerInfo, QueueStats, WaitKey, WorkerKey, WorkerStats,
};

use super::LastSeen;
use crate::{
    bpf::snapshot::{Incomplete, Snapshot},
    config::Filters,
    host::{
        filter::Selection,
        holders::{Holding, Holdings},
        inet_diag::{Request, Socket},
        netns::{Namespace, Namespaces},
        syn_requests::Waiting,
        waits::Waiter,
        way::Way,
        ways::Ways,
    },
    model::{Holder, Host, Provider, Providers, Report, Via, Wait, Window, WindowKind},
    report::{
        audit::{Reading, Readings},
        build::build,
        input::Input,
    },
};

const NETNS: u64 = 4_026_531_840;

/// The namespace, to be changed.
fn of_netns(namespaces: &mut Namespaces) -> &mut Namespace {
    Arc::make_mut(namespaces.get_mut(&NETNS).expect("the namespace"))
}

/// What a report is made from, to be changed.
#[derive(Clone)]
struct World {
    counted: Snapshot,
    before: Namespaces,
    now: Namespaces,
    holdings: Holdings,
    waiters: HashMap<u64, Vec<Waiter>>,
    ways: Ways,
    requests: Waiting,
    drops: Via,
    refused: Readings,
    hidden_holders: bool,
    clock: u64,
    most: usize,
    judge: fn(&mut Report),
}

impl World {
    /// Two listeners, on the second of which a connection waits.
    fn new() -> Self {
        let sockets = vec![socket(1, 80, 0), socket(2, 81, 1)];
        let mut requests = Waiting::default();
        requests.add(NETNS, &sockets, &[]);
        let settings = Namespace { somaxconn: Some(4096), ..Namespace::default() };
        let namespaces = Namespaces::from([(NETNS, Namespace { sockets, ..settings }.into())]);
        let holder = Holder { pid: 10, comm: "server".into(), fd: 3, wait: Some(Wait::Epoll) };
        let waiter = Waiter { pid: 10, tid: 11, comm: "server".into(), way: Way::Epoll };
        Self {
            counted: Snapshot::default(),
            before: namespaces.clone(),
            now: namespaces,
            holdings: Holdings::from_iter([(1, vec![Holding { holder, parent: 1 }])]),
            ways: Ways::default(),
            waiters: HashMap::from([(1, vec![waiter])]),
            requests,
            drops: Via::Fentry,
            refused: Readings::new(),
            hidden_holders: false,
            clock: 1000,
            most: 0,
            judge: |_| {},
        }
    }

    fn report(&self, last_seen: &mut LastSeen) -> Report {
        let provider =
            |via| Provider { via, exact: via == Via::Fentry, inferred: None, uncounted: None };
        let selection = Selection::new(Filters::default());
        build(
            Input {
                host: &Host { kernel: String::new(), arch: String::new(), cpus: 1 },
                window: Window { start: String::new(), seconds: 1.0, kind: WindowKind::Interval },
                providers: Providers {
                    wakeups: provider(Via::Fentry),
                    accepts: provider(Via::Fentry),
                    handshakes: provider(Via::Fentry),
                    drops: provider(self.drops),
                },
                counted: &self.counted,
                clock: self.clock,
                start: &self.refused,
                end: &self.refused,
                before: &self.before,
                now: &self.now,
                holdings: &self.holdings,
                hidden_holders: self.hidden_holders,
                unanswered: 0,
                waiters: &self.waiters,
                ways: &self.ways,
                requests: &self.requests,
                selection: &selection,
                sees_refused_acks: false,
                missed_runs: 0,
                most: self.most,
                look: &|_, _| {},
                judge: &self.judge,
            },
            last_seen,
        )
    }

    /// The report with every listener.
    fn whole(&self) -> Report {
        Self { most: usize::MAX, ..self.clone() }.report(&mut LastSeen::default())
    }

    fn first(&mut self) -> &mut Socket {
        &mut of_netns(&mut self.now).sockets[0]
    }
}

fn socket(inode: u64, port: u16, queue: u32) -> Socket {
    Socket {
        v6: false,
        v6only: None,
        interface: Some(0),
        uid: 0,
        inode,
        cookie: Some(inode + 100),
        address: [127, 0, 0, 1].into(),
        port,
        queue,
        limit: Some(511),
        drops: Some(0),
    }
}

/// A change of what a report is made from.
type Change = (&'static str, fn(&mut World));

const CHANGES: &[Change] = &[
    ("the queue", |world| world.first().queue = 5),
    ("the limit", |world| world.first().limit = Some(1024)),
    ("the cookie", |world| world.first().cookie = Some(7)),
    ("no limit", |world| {
        world.first().limit = None;
        of_netns(&mut world.before).sockets[0].limit = None;
    }),
    ("another in its place", |world| {
        let group = Socket { inode: 3, ..world.first().clone() };
        of_netns(&mut world.now).sockets.push(group);
    }),
    ("somaxconn", |world| of_netns(&mut world.now).somaxconn = Some(511)),
    ("somaxconn of before", |world| {
        of_netns(&mut world.before).somaxconn = Some(128);
        of_netns(&mut world.now).somaxconn = Some(511);
    }),
    ("tcp_max_syn_backlog", |world| {
        of_netns(&mut world.now).tcp_max_syn_backlog = Some(9);
    }),
    ("syncookies", |world| of_netns(&mut world.now).syncookies = Some(2)),
    ("abort_on_overflow", |world| {
        of_netns(&mut world.now).abort_on_overflow = Some(1);
    }),
    ("a request", |world| {
        let request = Request { v6: false, address: [127, 0, 0, 1].into(), port: 80, interface: 0 };
        let sockets = world.now[&NETNS].sockets.clone();
        world.requests.add(NETNS, &sockets, &[request; 4]);
    }),
    ("something had no room", |world| {
        world.counted.incomplete = Incomplete::of(&[1]);
    }),
    ("what was asked for", |world| {
        world.counted.asked.insert(1, 9000);
    }),
    ("a flag", |world| {
        let info = ListenerInfo { flags: 1, netns: 1, ..ListenerInfo::default() };
        world.counted.listeners.insert(1, info);
    }),
    ("a connection", |world| {
        let queue = QueueStats { queued: 1, depth_max: 1, ..QueueStats::ZERO };
        world.counted.queues.insert(1, queue);
    }),
    ("the most in the SYN queue", |world| {
        world.counted.queues.insert(1, QueueStats { syn_max: 2, ..QueueStats::ZERO });
    }),
    ("a drop", |world| {
        let mut queue = QueueStats::ZERO;
        queue.drops[1] = 3;
        world.counted.queues.insert(1, queue);
    }),
    ("a wait", |world| {
        world.counted.waits.insert(WaitKey { listener: 1, bucket: 5, zero: 0 }, 1);
    }),
    ("a wakeup", |world| {
        let key = WorkerKey { listener: 1, pid: 10, tid: 11 };
        world.counted.workers.insert(key, WorkerStats { wakeups: 1, ..WorkerStats::ZERO });
    }),
    ("an error", |world| {
        let worker = WorkerKey { listener: 1, pid: 10, tid: 11 };
        world.counted.errors.insert(ErrorKey { worker, errno: 24, zero: 0 }, 2);
    }),
    ("a holder's name", |world| {
        world.holdings.get_mut(&1).expect("holders")[0].holder.comm = "other".into();
    }),
    ("another holder", |world| {
        let holdings = world.holdings.get_mut(&1).expect("holders");
        let mut other = holdings[0].clone();
        other.holder.pid = 12;
        holdings.push(other);
    }),
    ("no holder", |world| drop(world.holdings.remove(&1))),
    ("nobody who waits", |world| drop(world.waiters.remove(&1))),
    ("another who waits", |world| {
        world.waiters.get_mut(&1).expect("waiters")[0].tid = 12;
    }),
    ("its end", |world| {
        of_netns(&mut world.now).sockets.remove(0);
    }),
];

/// Checks that the report has every listener that is shown otherwise than before, as it is, and counts the
/// others.
fn check(what: &str, before: &Report, report: &Report, whole: &Report) {
    for one in &whole.listeners {
        let shown = report.listeners.contains(one);
        assert!(shown || before.listeners.contains(one), "{what}: {} is not shown", one.port);
    }
    let counted = whole.listeners.len() - report.listeners.len();
    assert_eq!(report.idle_listeners, counted as u64, "{what}");
    let rest = Report { listeners: Vec::new(), idle_listeners: 0, ..whole.clone() };
    assert_eq!(
        Report { listeners: Vec::new(), idle_listeners: 0, ..report.clone() },
        rest,
        "{what}"
    );
}

#[test]
fn what_changed_is_shown() {
    for (what, change) in CHANGES {
        let mut world = World::new();
        let mut last_seen = LastSeen::default();
        let first = world.report(&mut last_seen);
        assert_eq!(first, world.whole(), "the first report has all");
        let second = world.report(&mut last_seen);
        assert_eq!((second.listeners.len(), second.idle_listeners), (1, 1));
        assert_eq!(second.listeners[0].port, 81, "a connection waits there");
        change(&mut world);
        let changed = world.report(&mut last_seen);
        let whole = world.whole();
        assert_ne!(whole.listeners, first.listeners, "{what} changes nothing");
        check(what, &first, &changed, &whole);
        // And back: what was counted in between is of the window no more.
        let back = World::new().report(&mut last_seen);
        let gone = whole.listeners.iter().all(|one| one.inode != 1 || one.closed);
        assert!(gone || back.idle_listeners <= 1, "{what}, and back");
        for one in &back.listeners {
            assert!(first.listeners.contains(one), "{what}, and back");
        }
    }
}

#[test]
fn drops_that_are_inferred_are_shown() {
    let mut world = World { drops: Via::Tracepoint, ..World::new() };
    let mut last_seen = LastSeen::default();
    let first = world.report(&mut last_seen);
    world.first().drops = Some(4);
    let counter = |count| Arc::new(BTreeMap::from([("ListenDrops".to_owned(), count)]));
    let reading = Reading { cookie: None, before: counter(0), after: counter(4) };
    world.refused = Readings::from([(NETNS, reading)]);
    let changed = world.report(&mut last_seen);
    check("drops", &first, &changed, &world.whole());
    assert_eq!(changed.listeners[0].port, 80);
    // The next interval begins where this one ended.
    world.before = world.now.clone();
    world.refused = Readings::new();
    assert_eq!(world.report(&mut last_seen).idle_listeners, 1);
}

#[test]
fn holders_are_null_where_some_process_could_not_be_looked_into() {
    let mut world = World::new();
    world.holdings.clear();
    let mut last_seen = LastSeen::default();
    let holders = |report: Report| {
        assert_eq!(report.idle_listeners, 0);
        report.listeners[0].holders.as_ref().map(Vec::len)
    };
    assert_eq!(holders(world.report(&mut last_seen)), Some(0));
    world.hidden_holders = true;
    assert_eq!(holders(world.report(&mut last_seen)), None);
    world.holdings = World::new().holdings;
    assert_eq!(holders(world.report(&mut last_seen)), Some(1));
}

#[test]
fn a_connection_that_waits_is_shown_with_how_long() {
    let mut world = World::new();
    world.counted.oldest.insert(2, 500);
    let mut last_seen = LastSeen::default();
    let first = world.report(&mut last_seen);
    world.clock += 1000;
    // Maxima of an interval that is over, and their number, are no news.
    let over =
        QueueStats { interval: 3, interval_depth_max: 8, wait_interval: 3, ..QueueStats::ZERO };
    world.counted.queues.insert(1, over);
    let second = world.report(&mut last_seen);
    assert_eq!(second.idle_listeners, 1);
    assert_eq!(first.listeners[1].accept_wait.oldest, Some(500));
    assert_eq!(second.listeners[0].accept_wait.oldest, Some(1500));
}

#[test]
fn a_queue_that_was_not_looked_at_has_not_changed() {
    let mut world = World::new();
    let mut last_seen = LastSeen::default();
    drop(world.report(&mut last_seen));
    world.requests = Waiting::default();
    assert_eq!(world.report(&mut last_seen).idle_listeners, 1);
}

#[test]
fn a_few_are_all_shown() {
    let idle = |most| {
        let world = World { most, ..World::new() };
        let mut last_seen = LastSeen::default();
        drop(world.report(&mut last_seen));
        world.report(&mut last_seen).idle_listeners
    };
    assert_eq!([0, 1, 2].map(idle), [1, 1, 0]);
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut world = World::new();
    let mut last_seen = LastSeen::default();
    world.first().queue = 0;
    of_netns(&mut world.now).sockets[1].queue = 0;
    drop(world.report(&mut last_seen));
    assert_eq!(last_seen.states.len(), 2);
    of_netns(&mut world.now).sockets.pop();
    drop(world.report(&mut last_seen));
    assert_eq!(last_seen.states.len(), 1);
}
