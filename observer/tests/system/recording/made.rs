//! Recordings that no kernel made.

use observer::{
    Update,
    model::{Event, Host, Report},
    recording::Header,
};
use serde_json::{Value, json};

pub fn header() -> Header {
    let host = Host { kernel: "6.18.44".into(), arch: "x86_64".into(), cpus: 2 };
    Header::new(host, vec!["record".into(), "<b>".into()], "2026-01-02T03:04:05.000Z".into())
}

/// Time so many seconds after the beginning.
fn time(second: u64) -> String {
    format!(
        "2026-01-{:02}T{:02}:{:02}:{:02}.000Z",
        2 + second / 86_400,
        second / 3_600 % 24,
        second / 60 % 60,
        second % 60
    )
}

/// The report of one second on a herd of two workers called `comm`.
pub fn interval(second: u64, comm: &str) -> Update {
    Update::Report(Box::new(report(second, comm, "interval", 1)))
}

/// The total of so many such seconds.
pub fn total(seconds: u64, comm: &str) -> Update {
    let total = Box::new(report(0, comm, "total", seconds));
    Update::Ended(observer::Ended { total, because: observer::Because::Closed })
}

fn report(second: u64, comm: &str, kind: &str, times: u64) -> Report {
    let provider = json!({"via": "tracepoint", "exact": false});
    let accepted = 100 * times;
    let worker = |pid: u64| {
        json!({"pid": pid, "tid": pid, "comm": comm, "accepted": accepted / 2, "accept_errors": {"EAGAIN": accepted / 2},
               "wakeups": wakeups(accepted)})
    };
    let holder = |pid: u64| json!({"pid": pid, "comm": comm, "fd": 3, "wait": "epoll"});
    let finding = json!({"id": "thundering-herd", "severity": "warning", "server": null,
                          "summary": format!("herd of {comm}"), "evidence": "seen", "fix": "do it",
                          "steps": [format!("restart {comm}")], "source": "epoll_ctl(2)"});
    let listener = json!({
            "netns": 4_026_531_840_u64, "cookie": 7, "inode": 77, "family": "ipv4", "address": "127.0.0.1",
            "port": 8080, "reuseport": false, "closed": false, "holders": [holder(1), holder(2)],
            "queued": accepted, "accepted": accepted, "discarded": 0,
            "wakeups": {"total": 2 * accepted, "won": accepted, "lost": accepted, "failed": 0, "silent": 0,
                        "pending": 0},
            "herd_ratio": 2.0, "accept_errors": {"EAGAIN": accepted},
            "accept_queue": {"now": 0, "max": 1 + second % 130, "limit": 128,
                             "used_percent": (1 + second % 130) as f64 / 1.28,
                             "histogram": [{"le": 1, "count": accepted}]},
            "syn_queue": {"now": 0, "max": 1},
            "backlog": {"limit": 128, "somaxconn": 4096, "tcp_max_syn_backlog": 1024, "syncookies": 1,
                        "abort_on_overflow": 0, "clamped": null},
            "accept_wait": {"count": accepted, "p50": 1_000_000, "p90": 1_000_000, "p99": 1_000_000,
                            "max": 1_048_575, "histogram": [{"le": 1_048_575, "count": accepted}]},
            "drops": {"total": second % 3, "by_reason": {"accept_queue_full_syn": second % 3}},
            "fairness": 1.0, "workers": [worker(1), worker(2)],
            "findings": [finding],
    });
    let report = json!({
        "schema_version": 1, "type": "report", "tool": {"name": "observer", "version": "0.1.0"},
        "host": {"kernel": "6.18.44", "arch": "x86_64", "cpus": 2},
        "window": {"start": time(second), "seconds": times as f64, "kind": kind},
        "providers": {"wakeups": provider, "accepts": provider, "handshakes": provider, "drops": provider},
        "listeners": [listener],
        "idle_listeners": 3,
        "audit": {"events_lost": 0, "map_full": 0, "missed_runs": 0, "netns": [{
            "netns": 4_026_531_840_u64,
            "counters": {"ListenDrops": {"kernel": second % 3, "observed": second % 3}},
        }]},
    });
    serde_json::from_value(report).expect("a report")
}

fn wakeups(accepted: u64) -> Value {
    let half = accepted / 2;
    json!({"total": accepted, "won": half, "lost": half, "failed": 0, "silent": 0, "pending": 0})
}

/// An event of which there are many.
pub fn event(number: u64) -> Update {
    let event = json!({
        "schema_version": 1, "type": "event", "time": time(number / 1_000), "netns": 4_026_531_840_u64,
        "inode": 77, "address": "127.0.0.1", "port": 8080, "kind": "accepted", "connection": number,
        "pid": 1, "tid": 1, "comm": "nginx", "wait": 12_345, "since_wakeup": null,
    });
    let event: Event = serde_json::from_value(event).expect("an event");
    Update::Event(event)
}
