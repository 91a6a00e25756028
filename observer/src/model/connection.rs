//! The story of one connection: what it did on its way through the accept queue, and whom it woke.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, EventLine, SCHEMA_VERSION, Task, What};

/// What became of one connection, and of each task that it woke; told once all of that is decided.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Connection {
    /// Version of the schema.
    #[schemars(extend("const" = super::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Kind of line: always `connection`.
    #[serde(rename = "type")]
    pub line: ConnectionLine,
    /// Number of the connection, as in events; `null` for the wakeup of a task of which it is not known for which
    /// connection it was: `woken` has that one task then.
    pub connection: Option<u64>,
    /// When it entered the accept queue, or when the task was woken, as in events.
    pub time: String,
    /// Inode number of the listener's network namespace.
    pub netns: Option<u64>,
    /// Inode number of the listener's socket.
    pub inode: Option<u64>,
    /// Local address of the listener, without brackets.
    pub address: Option<String>,
    /// Local port of the listener.
    pub port: Option<u16>,
    /// Address and port of the client; `null` where the kernel's memory could not be read.
    pub client: Option<String>,
    /// Connections in the accept queue when it entered, this one included.
    pub depth: Option<u32>,
    /// Limit on the accept queue (`sk_max_ack_backlog`).
    pub limit: Option<u64>,
    /// Tasks that its notification woke, in that order; at most 1,024.
    pub woken: Vec<WokenTask>,
    /// Number of tasks beyond those in `woken`.
    pub woken_more: u64,
    /// Who accepted it; `null` where nobody has, or that is not known.
    pub accepted: Option<AcceptedBy>,
    /// Why something is missing in this story; `null` where nothing is.
    pub unfinished: Option<Unfinished>,
}

/// Kind of line that a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionLine {
    /// A connection.
    #[default]
    Connection,
}

/// A task that a connection woke.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct WokenTask {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// Nanoseconds from the connection's entering the queue to the wakeup; `null` where the connection is not known.
    pub after: Option<u64>,
    /// What the task did then; `null` where that is not known.
    pub outcome: Option<WakeupOutcome>,
    /// Number of the connection that it accepted, which may be another one; `null` where it accepted none, or one
    /// that was queued before the window.
    pub accepted: Option<u64>,
    /// Name of the errno of its accept call; `null` where none failed.
    pub errno: Option<String>,
    /// Nanoseconds from the wakeup to its outcome; `null` of a silent one, of which nothing tells when it slept again.
    pub outcome_after: Option<u64>,
}

/// What a woken task did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WakeupOutcome {
    /// It accepted a connection.
    Won,
    /// Its accept call said EAGAIN.
    Lost,
    /// Its accept call failed otherwise.
    Failed,
    /// It went back to sleep without having called accept.
    Silent,
}

/// Who accepted a connection.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct AcceptedBy {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// Nanoseconds since the connection entered the accept queue.
    pub wait: Option<u64>,
    /// Nanoseconds since the task was woken; `null` where its accept is not the outcome of a wakeup.
    pub since_wakeup: Option<u64>,
}

/// Why something is missing in the story of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfinished {
    /// A task that was woken did nothing that tells for two seconds: it sleeps again, or is busy elsewhere.
    NoOutcome,
    /// Too many connections were open at once.
    NoRoom,
    /// Events were lost meanwhile.
    EventsLost,
    /// The listener closed, and nobody has accepted it.
    ListenerClosed,
    /// The window ended.
    WindowEnded,
}

impl Connection {
    /// The story that begins with an event.
    #[must_use]
    pub fn new(event: &Event, connection: Option<u64>) -> Self {
        let (client, depth, limit) = match &event.what {
            What::Queued { client, depth, limit, .. } => {
                (client.clone(), Some(*depth), Some(*limit))
            }
            _ => (None, None, None),
        };
        let Event { schema_version: _, line: EventLine::Event, time, .. } = event;
        Self {
            schema_version: SCHEMA_VERSION,
            line: ConnectionLine::Connection,
            connection,
            time: time.clone(),
            netns: event.netns,
            inode: event.inode,
            address: event.address.clone(),
            port: event.port,
            client,
            depth,
            limit,
            woken: Vec::new(),
            woken_more: 0,
            accepted: None,
            unfinished: None,
        }
    }

    /// Number of woken tasks with an outcome, or with none that is known.
    #[must_use]
    pub fn count(&self, outcome: Option<WakeupOutcome>) -> u64 {
        self.woken.iter().filter(|one| one.outcome == outcome).count() as u64
    }
}
