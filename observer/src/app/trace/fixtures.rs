//! Events of a herd, for tests.

use observer::model::{Event, EventLine, SCHEMA_VERSION, Task, What};

/// When the window of these events opened.
pub const START: &str = "2026-01-02T03:04:05.000000000Z";

/// What happened so many nanoseconds after that.
pub fn event(at: u64, what: What) -> Event {
    let start = humantime::parse_rfc3339(START).expect("a time");
    let time = start + std::time::Duration::from_nanos(at);
    let listener = !matches!(what, What::Lost { .. });
    Event {
        schema_version: SCHEMA_VERSION,
        line: EventLine::Event,
        time: humantime::format_rfc3339_nanos(time).to_string(),
        netns: listener.then_some(4_026_531_840),
        inode: listener.then_some(77),
        address: listener.then(|| "127.0.0.1".to_owned()),
        port: listener.then_some(8080),
        what,
    }
}

/// A worker.
pub fn task(pid: u32) -> Task {
    Task { pid: Some(pid), tid: Some(pid), comm: "nginx".to_owned() }
}

pub fn queued(connection: u64, depth: u32) -> What {
    let client = Some(format!("10.0.0.5:{}", 51_000 + connection));
    What::Queued { connection: Some(connection), client, depth, limit: 511 }
}

pub fn woken(connection: impl Into<Option<u64>>, pid: u32) -> What {
    What::Woken { connection: connection.into(), task: task(pid) }
}

pub fn accepted(connection: u64, pid: u32, wait: u64, since: impl Into<Option<u64>>) -> What {
    What::Accepted {
        connection: Some(connection),
        task: task(pid),
        wait: Some(wait),
        since_wakeup: since.into(),
    }
}

pub fn eagain(pid: u32) -> What {
    What::AcceptError { task: task(pid), errno: "EAGAIN".to_owned() }
}

pub fn silent(pid: u32) -> What {
    What::Silent { task: task(pid) }
}

/// One connection that wakes three, of which one accepts it, one comes in vain and one sleeps again: what is told of the
/// last comes with the next connection.
pub fn herd() -> Vec<(u64, What)> {
    vec![
        (1_000_000, queued(1, 3)),
        (1_012_000, woken(1, 4242)),
        (1_015_000, woken(1, 4243)),
        (1_018_000, woken(1, 4244)),
        (1_040_000, accepted(1, 4243, 40_000, 25_000)),
        (1_060_000, eagain(4242)),
        (900_000_000, silent(4244)),
    ]
}
