//! Two recordings side by side.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Finding, Host, SCHEMA_VERSION, Tool, Window};

/// Two recordings side by side, the earlier one first: what `observer report --against --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Version of this format. Fields are added within a version; none is renamed, dropped or given another
    /// meaning.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Kind of document: always `comparison`.
    #[serde(rename = "type")]
    pub line: ComparisonLine,
    /// Program that made the comparison.
    pub tool: Tool,
    /// Recording that began earlier.
    pub before: ComparedRecording,
    /// Recording that began later.
    pub after: ComparedRecording,
    /// Listeners that are in both or in one, those that became worse first, then those that became better.
    pub listeners: Vec<ComparedListener>,
    /// Number of listeners that are idle in both, and not among `listeners`.
    pub idle_listeners: u64,
}

/// Kind of document that a comparison is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ComparisonLine {
    /// A comparison.
    #[default]
    Comparison,
}

/// One of two recordings.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ComparedRecording {
    /// Name of the file, as it was given.
    pub file: String,
    /// Host that the recording was made on.
    pub host: Host,
    /// Time that was compared.
    pub window: Window,
}

/// Listener in two recordings. Sockets at one address and port, with holders of one name, are one: a server that was
/// restarted has other sockets, and one with SO_REUSEPORT has several.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ComparedListener {
    /// Local address, without brackets and without the port.
    pub address: String,
    /// Local port.
    pub port: u16,
    /// Name of the processes that hold it; `null` where none is known.
    pub comm: Option<String>,
    /// Inode number of the network namespace before; `null` where the listener was not there.
    pub netns_before: Option<u64>,
    /// Inode number of the network namespace after; `null` where the listener was not there.
    pub netns_after: Option<u64>,
    /// Course of the whole: `worse` where a number became worse and none better, `mixed` where both; `new` and `gone`
    /// where it is in one recording only.
    pub course: Course,
    /// Numbers, each before and after. Those that neither recording has are left out.
    pub numbers: Vec<ComparedNumber>,
    /// Limits, options and holders that are not what they were.
    pub changes: Vec<Change>,
    /// Findings that were there before only.
    pub findings_gone: Vec<Finding>,
    /// Findings that are there after only.
    pub findings_new: Vec<Finding>,
    /// Findings that are there in both, as they are after.
    pub findings_kept: Vec<Finding>,
}

/// Number of a listener, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ComparedNumber {
    /// Name of the number: `accepted_per_second`, `herd_ratio`, `wasted_wakeups_percent`, `wakeups_per_second`,
    /// `wasted_cpu_per_second` (nanoseconds), `accept_queue_used_percent`, `accept_wait_p50`, `accept_wait_p99`,
    /// `accept_wait_max` (nanoseconds), `drops_per_second`, `discarded`, `accept_errors_per_second` (without EAGAIN),
    /// `fairness`.
    pub name: String,
    /// Value before; `null` where it is not known.
    pub before: Option<f64>,
    /// Value after; `null` where it is not known.
    pub after: Option<f64>,
    /// Whether one of both is an estimate.
    pub estimate: bool,
    /// Course of the number: `same` where it moved by less than a tenth or by next to nothing, `moved` where less
    /// is neither better nor worse, `unknown` where one of both is `null`.
    pub course: Course,
}

/// Course of a number, or of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// It became better.
    Better,
    /// It became worse.
    Worse,
    /// Some of it became better, some worse.
    Mixed,
    /// It is as it was.
    Same,
    /// It is another, which is neither better nor worse.
    Moved,
    /// It was not there before.
    New,
    /// It is not there any more.
    Gone,
    /// It cannot be told.
    Unknown,
}

/// Setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// Name of the setting: `reuseport`, `sockets`, `holders`, `workers`, `wait`, `limit`, `requested`, `somaxconn`,
    /// `tcp_max_syn_backlog`, `syncookies`, `abort_on_overflow`.
    pub name: String,
    /// Value before; `null` where it is not known.
    pub before: Option<String>,
    /// Value after; `null` where it is not known.
    pub after: Option<String>,
}
