//! Reports for tests: the ordinary, the crowded and the hostile.

use std::collections::BTreeMap;

use super::TableOptions;
use observer::findings;
use observer::model::{
    AcceptQueue, AcceptWait, Audit, AuditCounter, Backlog, Drops, Family, Holder, Host, Listener,
    NetnsAudit, Provider, Providers, Report, ReportLine, SCHEMA_VERSION, SynQueue, Tool, Via, Wait,
    Wakeups, Window, WindowKind, Worker,
};

/// The network namespace of most listeners.
pub(crate) const NETNS: u64 = 4_026_531_840;

/// Options without colour, four workers.
pub(crate) fn options(width: usize) -> TableOptions {
    let empty = "no listener matched --port 8080 in this window".into();
    TableOptions {
        width,
        colour: false,
        live: false,
        workers: 4,
        numbers: true,
        fixes: usize::MAX,
        idle: 10,
        empty,
        as_root: false,
    }
}

/// A report on these listeners.
pub(crate) fn report(listeners: Vec<Listener>) -> Report {
    let provider = |via| Provider { via, exact: true, inferred: None, uncounted: None };
    Report {
        schema_version: SCHEMA_VERSION,
        line: ReportLine::Report,
        tool: Tool { name: "observer".into(), version: "0.1.0".into() },
        host: Host { kernel: "6.18.44".into(), arch: "x86_64".into(), cpus: 2 },
        window: Window {
            start: "2026-01-02T03:04:05Z".into(),
            seconds: 5.002,
            kind: WindowKind::Total,
        },
        providers: Providers {
            wakeups: provider(Via::Tracepoint),
            accepts: provider(Via::Tracepoint),
            handshakes: provider(Via::Tracepoint),
            drops: provider(Via::None),
        },
        listeners,
        idle_listeners: 0,
        audit: Audit::default(),
    }
}

/// The report with what is wrong in it.
pub(crate) fn judged(mut report: Report) -> Report {
    findings::judge(&mut report);
    report
}

/// An idle listener that nobody holds.
pub(crate) fn listener(address: &str, port: u16) -> Listener {
    Listener {
        netns: NETNS,
        cookie: Some(u64::from(port)),
        inode: 10_000 + u64::from(port),
        family: if address.contains(':') { Family::Ipv6 } else { Family::Ipv4 },
        address: address.into(),
        port,
        reuseport: Some(false),
        reuseport_group: None,
        closed: false,
        incomplete: false,
        holders: Some(Vec::new()),
        holder_states: None,
        queued: Some(0),
        accepted: Some(0),
        discarded: Some(0),
        wakeups: Some(Wakeups::default()),
        herd_ratio: None,
        wasted_cpu: None,
        accept_errors: BTreeMap::new(),
        accept_queue: AcceptQueue {
            max: Some(0),
            now: Some(0),
            limit: Some(511),
            ..AcceptQueue::default()
        },
        syn_queue: SynQueue::default(),
        backlog: Backlog { limit: Some(511), ..Backlog::default() },
        accept_wait: AcceptWait::default(),
        drops: Drops { total: Some(0), ..Drops::default() },
        fairness: None,
        workers: Vec::new(),
        server: None,
        findings: Vec::new(),
    }
}

/// A worker that did nothing.
pub(crate) fn worker(comm: &str, pid: u32) -> Worker {
    Worker {
        pid: Some(pid),
        tid: Some(pid),
        comm: comm.into(),
        wakeups: Wakeups::default(),
        accepted: 0,
        accept_errors: BTreeMap::new(),
    }
}

/// Gives a listener `workers` workers of this name, and traffic: each connection wakes `woken` of
/// them.
pub(crate) fn traffic(
    listener: &mut Listener,
    comm: &str,
    workers: u32,
    connections: u64,
    woken: u64,
    wait: Option<Wait>,
) {
    let count = u64::from(workers);
    for number in 0..workers {
        let mut worker = worker(comm, 4243 + number);
        let share = |sum: u64| sum / count + u64::from(u64::from(number) < sum % count);
        worker.accepted = share(connections);
        let total = share(connections * woken);
        let lost = (total - worker.accepted) / 10;
        let silent = total - worker.accepted - lost;
        worker.wakeups =
            Wakeups { total, won: worker.accepted, lost, silent, ..Wakeups::default() };
        worker.accept_errors.insert("EAGAIN".into(), lost);
        let sum = listener.wakeups.get_or_insert_default();
        sum.total += total;
        sum.won += worker.accepted;
        sum.lost += lost;
        sum.silent += silent;
        listener.holders.get_or_insert_default().push(Holder {
            pid: worker.pid.unwrap_or(0),
            comm: comm.into(),
            fd: 6,
            wait,
        });
        listener.workers.push(worker);
    }
    let wakeups = listener.wakeups.unwrap_or_default();
    listener.accept_errors.insert("EAGAIN".into(), wakeups.lost);
    listener.queued = Some(connections);
    listener.accepted = Some(connections);
    listener.accept_queue.max = Some(3);
    listener.fairness = Some(0.98);
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a fixture")]
    let ratio = wakeups.total as f64 / connections as f64;
    listener.herd_ratio = Some(ratio);
}

/// One nginx whose workers all wake for each connection.
pub(crate) fn herd(workers: u32) -> Report {
    let mut nginx = listener("127.0.0.1", 8080);
    traffic(&mut nginx, "nginx", workers, 200, u64::from(workers), Some(Wait::Epoll));
    judged(report(vec![nginx]))
}

/// An incident: a herd, one server out of descriptors with a full queue, one that is gone, one that
/// hangs, IPv6, and some that rest.
pub(crate) fn incident() -> Report {
    let mut report = herd(32);
    report.listeners[0].accept_wait =
        AcceptWait { count: Some(200), p99: Some(88_000), ..AcceptWait::default() };

    let mut full = listener("0.0.0.0", 443);
    traffic(&mut full, "haproxy-frontnd", 2, 1_234_567, 1, Some(Wait::EpollExclusive));
    full.accept_errors.insert("EMFILE".into(), 412);
    full.accept_errors.insert("ECONNABORTED".into(), 3);
    full.workers[0].accept_errors.insert("EMFILE".into(), 412);
    full.workers[1].accept_errors.insert("ECONNABORTED".into(), 3);
    let wakeups = full.wakeups.get_or_insert_default();
    wakeups.failed = 412;
    wakeups.total += 412;
    full.accept_queue =
        AcceptQueue { now: Some(129), max: Some(129), limit: Some(128), ..AcceptQueue::default() };
    full.drops.total = Some(5_311);
    let mut six = listener("2001:db8:85a3:1111:2222:8a2e:370:7334", 8443);
    traffic(&mut six, "envoy", 4, 90, 3, Some(Wait::Epoll));
    let mut gone = listener("10.0.0.7", 9000);
    traffic(&mut gone, "old-server", 1, 17, 1, None);
    gone.closed = true;
    gone.accept_queue.now = None;
    gone.drops.total = None;
    gone.holders = Some(Vec::new());
    let mut hangs = listener("0.0.0.0", 5432);
    hangs.queued = Some(12);
    hangs.accept_queue.now = Some(12);
    hangs.accept_queue.max = Some(12);
    hangs.holders.get_or_insert_default().push(Holder {
        pid: 77,
        comm: "postgres".into(),
        fd: 3,
        wait: None,
    });
    report.listeners.extend([full, six, gone, hangs]);
    report.listeners.extend((22..27).map(|port| {
        let mut rests = listener("0.0.0.0", port);
        rests.holders.get_or_insert_default().push(Holder {
            pid: 1,
            comm: "systemd".into(),
            fd: 9,
            wait: Some(Wait::Epoll),
        });
        rests
    }));
    let counter = |kernel, observed| AuditCounter { kernel: Some(kernel), observed };
    report.audit.netns.push(NetnsAudit {
        netns: NETNS,
        unattributed: None,
        counters: [
            ("ListenDrops".to_owned(), counter(5_311, Some(5_300))),
            ("ListenOverflows".to_owned(), counter(5_311, None)),
            ("TCPReqQFullDrop".to_owned(), counter(0, None)),
        ]
        .into(),
    });
    judged(report)
}

/// So many listeners, every tenth of them busy, in three network namespaces.
pub(crate) fn many(listeners: u16) -> Report {
    let mut report =
        report((0..listeners).map(|number| listener("0.0.0.0", 2000 + number)).collect());
    for (number, listener) in report.listeners.iter_mut().enumerate() {
        if number % 10 == 0 {
            traffic(listener, "worker", 3, 40 + number as u64, 1, Some(Wait::EpollExclusive));
        }
        listener.netns += [0, 0, 441, 442][number % 4];
    }
    for netns in [0, 441, 442] {
        report.audit.netns.push(NetnsAudit {
            netns: NETNS + netns,
            unattributed: None,
            counters: [(
                "ListenDrops".to_owned(),
                AuditCounter { kernel: Some(netns), observed: None },
            )]
            .into(),
        });
    }
    judged(report)
}

/// Names made to break terminals, numbers made to break columns, estimates and losses.
pub(crate) fn hostile() -> Report {
    let mut report = herd(5);
    let listener: &mut Listener = &mut report.listeners[0];
    listener.address = "fe80::1%\u{1b}]0;pwned\u{7}".into();
    listener.family = Family::Ipv6;
    for (worker, comm) in listener.workers.iter_mut().zip([
        "a\nb\tc\rd",
        "\u{1b}[31mred\u{1b}[2J",
        "\u{202e}txt.exe\u{2066}",
        "工作者工作者工作",
        "👩‍👩‍👧‍👦👍🏽🇫🇷e\u{301}",
    ]) {
        worker.comm = comm.into();
        worker.wakeups.total = u64::MAX;
        worker.accepted = u64::MAX;
        worker.accept_errors.insert("E\u{1b}[1mX".into(), u64::MAX);
        listener.holders.get_or_insert_default().push(Holder {
            pid: 1,
            comm: comm.into(),
            fd: 1,
            wait: None,
        });
    }
    listener.wakeups = Some(Wakeups {
        total: u64::MAX,
        won: u64::MAX,
        lost: u64::MAX,
        failed: u64::MAX,
        silent: u64::MAX,
        pending: u64::MAX,
    });
    listener.accepted = Some(u64::MAX);
    listener.queued = Some(u64::MAX);
    listener.accept_errors.insert("E\u{1b}[1mX".into(), u64::MAX);
    listener.herd_ratio = Some(f64::MAX);
    listener.netns = u64::MAX;
    listener.accept_queue.max = Some(u64::MAX);
    listener.accept_queue.limit = None;
    listener.backlog.limit = None;
    report.listeners.push(self::listener("::", 1));
    report.host.kernel = "6.1\u{1b}[2J\n".into();
    report.window.seconds = f64::INFINITY;
    report.window.kind = WindowKind::Interval;
    report.providers.wakeups.exact = false;
    report.providers.wakeups.inferred = Some(12);
    report.providers.drops.exact = false;
    report.audit =
        Audit { events_lost: u64::MAX, map_full: 1, missed_runs: u64::MAX, ..Audit::default() };
    judged(report)
}

/// All of them, and the empty one.
pub(crate) fn all() -> Vec<Report> {
    let idle = report((1..15).map(|port| listener("0.0.0.0", port)).collect());
    vec![herd(8), herd(32), incident(), many(60), hostile(), idle, report(Vec::new())]
}
