//! Events: what happened once, one object per line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happened at a listener, at one moment.
///
/// Events are for reading one by one. Losing some never makes a count of a report wrong, and how many were
/// lost is an event too.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Event {
    /// Version of the schema.
    #[schemars(extend("const" = super::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Kind of line among the lines of a recording: always `event`.
    #[serde(rename = "type")]
    pub line: EventLine,
    /// When it happened: RFC 3339, UTC, with nanoseconds. The kernel's monotonic clock, set against the wall
    /// clock of the moment at which observer read it.
    pub time: String,
    /// Inode number of the listener's network namespace; `null` for events that are about no listener.
    pub netns: Option<u64>,
    /// Inode number of the listener's socket; `null` as above.
    pub inode: Option<u64>,
    /// Local address of the listener, without brackets; `null` as above.
    pub address: Option<String>,
    /// Local port of the listener; `null` as above.
    pub port: Option<u16>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

impl Event {
    /// Event that is about no listener: so many are missing before `time`.
    #[must_use]
    pub fn lost(
        time: String,
        count: u64,
        reason: LostReason,
        kinds: Option<BTreeMap<String, u64>>,
    ) -> Self {
        Self {
            schema_version: super::SCHEMA_VERSION,
            line: EventLine::Event,
            time,
            netns: None,
            inode: None,
            address: None,
            port: None,
            what: What::Lost { count, reason, kinds },
        }
    }
}

/// Kind of line that an event is among the lines of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventLine {
    /// An event.
    #[default]
    Event,
}

/// What happened, by its kind.
///
/// `connection` numbers the connections of the window from 1, in the order in which they are first told of.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A connection completed its handshake and entered the accept queue.
    Queued {
        /// Number of the connection; `null` where it entered its first queue before the window.
        connection: Option<u64>,
        /// Address and port of the client; `null` where the kernel's memory could not be read.
        client: Option<String>,
        /// Connections in the accept queue, this one included.
        depth: u32,
        /// Limit on the accept queue (`sk_max_ack_backlog`).
        limit: u64,
    },
    /// The listener made a task runnable.
    Woken {
        /// Number of the connection; `null` where the task was woken by another waiter and not by the
        /// notification itself.
        connection: Option<u64>,
        /// The task.
        #[serde(flatten)]
        task: Task,
    },
    /// An accept call returned a connection.
    Accepted {
        /// Number of the connection; `null` where it was queued before the window.
        connection: Option<u64>,
        /// The task.
        #[serde(flatten)]
        task: Task,
        /// Nanoseconds since it entered the accept queue; `null` as above.
        wait: Option<u64>,
        /// Nanoseconds since the task was woken; `null` where this accept is not the outcome of a wakeup.
        since_wakeup: Option<u64>,
    },
    /// An accept call failed. EAGAIN is told too: a task that was woken for nothing.
    AcceptError {
        /// The task.
        #[serde(flatten)]
        task: Task,
        /// Name of the errno.
        errno: String,
    },
    /// A task that was woken went back to sleep without having called accept. Told when it is woken again
    /// or ends, or with the end of the window.
    Silent {
        /// The task.
        #[serde(flatten)]
        task: Task,
    },
    /// The kernel refused a connection attempt because of this listener.
    Dropped {
        /// Address and port of the client; `null` where the packet could not be read.
        client: Option<String>,
        /// Why: a key of a report's `drops.by_reason`.
        reason: String,
    },
    /// The socket began to listen.
    Listening {
        /// The task that called listen().
        #[serde(flatten)]
        task: Task,
        /// Limit on its accept queue: the backlog that listen() asked for, or somaxconn where that is
        /// smaller.
        backlog: u32,
    },
    /// The listener stopped listening.
    Closed {
        /// The task that closed it.
        #[serde(flatten)]
        task: Task,
        /// Limit on its accept queue.
        backlog: u32,
    },
    /// Events are missing here.
    Lost {
        /// How many.
        count: u64,
        /// Why.
        #[serde(default)]
        reason: LostReason,
        /// How many of each kind; `null` where that is not known, which it is of those that were left out on request.
        #[serde(default)]
        kinds: Option<BTreeMap<String, u64>>,
    },
}

/// Why events are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// The buffer between the kernel programs and observer was full: they came faster than they were read.
    #[default]
    BufferFull,
    /// They were left out on request, by `--max-events-per-second`.
    RateLimit,
}

/// The task of an event.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Task {
    /// Process id; `null` for a task outside of the PID namespace that this is observed from.
    pub pid: Option<u32>,
    /// Thread id; `null` as above.
    pub tid: Option<u32>,
    /// Its name.
    pub comm: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::SCHEMA_VERSION;

    fn task() -> Task {
        Task { pid: Some(7), tid: Some(8), comm: "nginx".into() }
    }

    fn event(what: What) -> Event {
        Event {
            schema_version: SCHEMA_VERSION,
            line: EventLine::Event,
            time: "2026-01-02T03:04:05.000000006Z".into(),
            netns: Some(1),
            inode: Some(2),
            address: Some("::1".into()),
            port: Some(80),
            what,
        }
    }

    #[test]
    fn fields_are_those_of_the_contract() {
        let client = || Some("10.0.0.5:51234".to_owned());
        let cases = [
            (
                What::Queued { connection: Some(1), client: client(), depth: 3, limit: 511 },
                json!({"kind": "queued", "connection": 1, "client": "10.0.0.5:51234", "depth": 3, "limit": 511}),
            ),
            (
                What::Woken { connection: None, task: task() },
                json!({"kind": "woken", "connection": null, "pid": 7, "tid": 8, "comm": "nginx"}),
            ),
            (
                What::Accepted {
                    connection: Some(1),
                    task: task(),
                    wait: Some(9),
                    since_wakeup: None,
                },
                json!({"kind": "accepted", "connection": 1, "pid": 7, "tid": 8, "comm": "nginx", "wait": 9,
                       "since_wakeup": null}),
            ),
            (
                What::AcceptError { task: task(), errno: "EMFILE".into() },
                json!({"kind": "accept_error", "pid": 7, "tid": 8, "comm": "nginx", "errno": "EMFILE"}),
            ),
            (
                What::Silent { task: task() },
                json!({"kind": "silent", "pid": 7, "tid": 8, "comm": "nginx"}),
            ),
            (
                What::Dropped { client: client(), reason: "no_memory".into() },
                json!({"kind": "dropped", "client": "10.0.0.5:51234", "reason": "no_memory"}),
            ),
            (
                What::Listening { task: task(), backlog: 4 },
                json!({"kind": "listening", "pid": 7, "tid": 8, "comm": "nginx", "backlog": 4}),
            ),
            (
                What::Closed { task: task(), backlog: 4 },
                json!({"kind": "closed", "pid": 7, "tid": 8, "comm": "nginx", "backlog": 4}),
            ),
            (
                What::Lost { count: 5, reason: LostReason::BufferFull, kinds: None },
                json!({"kind": "lost", "count": 5, "reason": "buffer_full", "kinds": null}),
            ),
            (
                What::Lost {
                    count: 5,
                    reason: LostReason::RateLimit,
                    kinds: Some(BTreeMap::from([("woken".to_owned(), 5)])),
                },
                json!({"kind": "lost", "count": 5, "reason": "rate_limit", "kinds": {"woken": 5}}),
            ),
        ];
        for (what, fields) in cases {
            let event = event(what);
            let mut expected = json!({
                "schema_version": 1, "type": "event", "time": "2026-01-02T03:04:05.000000006Z",
                "netns": 1, "inode": 2, "address": "::1", "port": 80,
            });
            let all = expected.as_object_mut().expect("an object");
            all.extend(fields.as_object().expect("an object").clone());
            let value = serde_json::to_value(&event).expect("JSON");
            assert_eq!(value, expected);
            assert_eq!(serde_json::from_value::<Event>(value).ok(), Some(event));
        }
    }
}
