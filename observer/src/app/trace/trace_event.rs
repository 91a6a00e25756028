//! Events as Trace Event JSON, which Perfetto and chrome://tracing open. Pure.
//!
//! It is the array form, which viewers read to where it was cut. A worker is the thread that it is; a listener is a
//! process of its own, with a number that no process has. Everything is written when it is known in full, and what is
//! kept for that has a bound.

use std::collections::{BTreeMap, HashMap, HashSet};

use observer::model::{Event, Task, What};
use serde_json::{Value, json};

use super::{kinds, names};
use crate::app::render::labels;

/// Numbers of listeners as processes begin here, beyond those of all processes (`PID_MAX_LIMIT`).
const LISTENERS: u32 = 1 << 30;

/// Number of the process and thread for tasks that have none here.
const OUTSIDE: u32 = 1 << 29;

/// Maximum number of names, listeners, connections and wakeups that are remembered, of each.
const REMEMBERED: usize = 65_536;

/// How long the slice of an accept is, and of a wakeup without an end, in nanoseconds: a viewer needs some length to
/// tie an arrow to.
const MOMENT: u64 = 500;

/// Category of slices and arrows: a viewer ties an arrow to the slice with the same category, track and time.
const CATEGORY: &str = "accept path";

/// What is known of the events so far.
#[derive(Debug, Default)]
pub struct TraceEvents {
    is_begun: bool,
    listeners: HashMap<(Option<u64>, Option<u64>), Listener>,
    named: HashSet<(u32, u32, String)>,
    /// When each task was woken by which listener, and for which connection, by thread id.
    woken: HashMap<u32, Wakeup>,
    /// Clients of connections that wait.
    clients: BTreeMap<u64, String>,
    arrows: u64,
    numbered: u32,
}

#[derive(Clone, Copy, Debug)]
struct Listener {
    pid: u32,
    /// Connections in its queue.
    depth: u64,
}

#[derive(Clone, Copy, Debug)]
struct Wakeup {
    at: u64,
    listener: Option<u64>,
    connection: Option<u64>,
}

impl TraceEvents {
    /// Writes the records of an event that happened at `at`, nanoseconds since the window opened.
    pub fn event(&mut self, event: &Event, at: u64, out: &mut Vec<u8>) {
        let mut records = Vec::new();
        self.records(event, at, &mut records);
        for record in records {
            self.write(&record, out);
        }
    }

    /// Ends the array.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b"\n]\n" } else { b"[\n]\n" });
        self.is_begun = true;
    }

    fn write(&mut self, record: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b",\n" } else { b"[\n" });
        self.is_begun = true;
        out.extend_from_slice(record.to_string().as_bytes());
    }

    fn records(&mut self, event: &Event, at: u64, records: &mut Vec<Value>) {
        let kind = kinds::name(&event.what);
        if let What::Lost { count, reason, .. } = &event.what {
            let name = format!("{count} events are missing");
            let (ts, pid) = (micros(at), OUTSIDE);
            records.push(json!({"name": name, "cat": kind, "ph": "i", "s": "g", "ts": ts, "pid": pid, "tid": pid,
                "args": {"count": count, "reason": reason}}));
            return;
        }
        let listener = self.listener(event, records);
        match &event.what {
            What::Queued { connection, client, depth, limit } => {
                if let (Some(number), Some(client)) = (connection, client) {
                    if self.clients.len() >= REMEMBERED {
                        self.clients.pop_first();
                    }
                    self.clients.insert(*number, client.clone());
                }
                self.depth(event, u64::from(*depth), at, records);
                let args = json!({"connection": connection, "client": client, "depth": depth, "limit": limit});
                let name = format!("queued {}", names::connection(*connection));
                records.push(instant(&name, kind, at, listener, args));
            }
            What::Woken { connection, task } => {
                self.name(task, records);
                if let Some(tid) = task.tid {
                    if self.woken.len() >= REMEMBERED {
                        self.woken.clear();
                    }
                    let wakeup = Wakeup { at, listener: event.inode, connection: *connection };
                    self.woken.insert(tid, wakeup);
                }
            }
            What::Accepted { connection, task, wait, since_wakeup } => {
                self.name(task, records);
                self.accepted(event, (*connection, *wait), listener, at, records);
                self.accept(event, task, *connection, *since_wakeup, at, records);
            }
            What::AcceptError { task, errno } => {
                self.name(task, records);
                match self.wakeup(event, task) {
                    Some(wakeup) => {
                        let args = json!({"connection": wakeup.connection, "errno": errno});
                        let name = format!("woken: {errno}");
                        let lasts = at.saturating_sub(wakeup.at).max(1);
                        records.push(slice(&name, (wakeup.at, lasts), thread(task), args));
                    }
                    None => {
                        let args = json!({"errno": errno});
                        let name = format!("accept: {errno}");
                        records.push(instant(&name, kind, at, thread(task), args));
                    }
                }
            }
            What::Silent { task } => {
                self.name(task, records);
                if let Some(wakeup) = self.wakeup(event, task) {
                    let args = json!({"connection": wakeup.connection});
                    let lasts = at.saturating_sub(wakeup.at).clamp(1, MOMENT);
                    let when = (wakeup.at, lasts);
                    records.push(slice("woken: slept again", when, thread(task), args));
                }
            }
            What::Dropped { client, reason } => {
                let args = json!({"client": client, "reason": reason});
                let name = format!("dropped: {}", labels::drop_reason(reason));
                records.push(instant(&name, kind, at, listener, args));
            }
            What::Listening { task, backlog } | What::Closed { task, backlog } => {
                let args = json!({"pid": task.pid, "comm": task.comm, "backlog": backlog});
                records.push(instant(kind, kind, at, listener, args));
            }
            What::Lost { .. } => {}
        }
    }

    /// The slice of an accept, and with it that of the wakeup that led to it, and an arrow from the one to the other.
    fn accept(
        &mut self,
        event: &Event,
        task: &Task,
        connection: Option<u64>,
        since_wakeup: Option<u64>,
        at: u64,
        records: &mut Vec<Value>,
    ) {
        let number = names::connection(connection);
        let of = thread(task);
        let wakeup = self.wakeup(event, task);
        if let Some(since) = since_wakeup {
            let woken = at.saturating_sub(since);
            let args = json!({"connection": wakeup.and_then(|wakeup| wakeup.connection)});
            // Over before the accept begins, so that the one is not within the other.
            let when = (woken, since.saturating_sub(1).max(1));
            records.push(slice("woken: accepted", when, of, args));
            self.arrows += 1;
            records.push(arrow("s", self.arrows, woken, of));
        }
        let args = json!({"connection": connection, "listener": names::of_event(event)});
        records.push(slice(&format!("accept {number}"), (at, MOMENT), of, args));
        if since_wakeup.is_some() {
            records.push(arrow("f", self.arrows, at, of));
        }
    }

    /// The wait of a connection that was accepted, and the queue without it.
    fn accepted(
        &mut self,
        event: &Event,
        (connection, wait): (Option<u64>, Option<u64>),
        listener: (u32, u32),
        at: u64,
        records: &mut Vec<Value>,
    ) {
        let client = connection.and_then(|number| self.clients.remove(&number));
        if let (Some(number), Some(wait)) = (connection, wait) {
            let args = json!({"connection": number, "client": client});
            for (phase, time) in [("b", at.saturating_sub(wait)), ("e", at)] {
                records.push(json!({"name": "waits to be accepted", "cat": "connection", "ph": phase, "id": number,
                    "ts": micros(time), "pid": listener.0, "tid": listener.1, "args": args}));
            }
        }
        let key = (event.netns, event.inode);
        let depth = self.listeners.get(&key).map_or(0, |listener| listener.depth);
        self.depth(event, depth.saturating_sub(1), at, records);
    }

    /// The number of connections in a queue from now on.
    fn depth(&mut self, event: &Event, depth: u64, at: u64, records: &mut Vec<Value>) {
        if let Some(listener) = self.listeners.get_mut(&(event.netns, event.inode)) {
            listener.depth = depth;
            let pid = listener.pid;
            records.push(
                json!({"name": "accept queue", "ph": "C", "ts": micros(at), "pid": pid, "tid": pid,
                "args": {"connections": depth}}),
            );
        }
    }

    /// The wakeup by the event's listener whose outcome a task tells now.
    fn wakeup(&mut self, event: &Event, task: &Task) -> Option<Wakeup> {
        let tid = task.tid?;
        let is_its = self.woken.get(&tid).is_some_and(|one| one.listener == event.inode);
        is_its.then(|| self.woken.remove(&tid)).flatten()
    }

    /// The track of a listener, which is named when it is first seen.
    fn listener(&mut self, event: &Event, records: &mut Vec<Value>) -> (u32, u32) {
        let key = (event.netns, event.inode);
        if let Some(listener) = self.listeners.get(&key) {
            return (listener.pid, listener.pid);
        }
        if self.listeners.len() >= REMEMBERED {
            self.listeners.clear();
        }
        let pid = LISTENERS | self.numbered;
        self.numbered = (self.numbered + 1) % OUTSIDE;
        self.listeners.insert(key, Listener { pid, depth: 0 });
        let name = format!("listener {}", names::of_event(event));
        records.push(named("process_name", (pid, pid), &name));
        records.push(named("thread_name", (pid, pid), &name));
        records.push(json!({"name": "process_sort_index", "ph": "M", "pid": pid, "tid": pid,
            "args": {"sort_index": -1}}));
        (pid, pid)
    }

    /// Names the track of a task when it is first seen, and when it has another name.
    fn name(&mut self, task: &Task, records: &mut Vec<Value>) {
        let (pid, tid) = thread(task);
        let key = (pid, tid, task.comm.clone());
        if self.named.contains(&key) {
            return;
        }
        if self.named.len() >= REMEMBERED {
            self.named.clear();
        }
        self.named.insert(key);
        let of_process = if pid == OUTSIDE { "outside of this PID namespace" } else { &task.comm };
        records.push(named("process_name", (pid, tid), of_process));
        records.push(named("thread_name", (pid, tid), &task.comm));
    }
}

/// Process and thread of a task.
fn thread(task: &Task) -> (u32, u32) {
    task.pid.zip(task.tid).unwrap_or((OUTSIDE, OUTSIDE))
}

fn named(what: &str, (pid, tid): (u32, u32), name: &str) -> Value {
    json!({"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}})
}

fn instant(name: &str, cat: &str, at: u64, (pid, tid): (u32, u32), args: Value) -> Value {
    json!({"name": name, "cat": cat, "ph": "i", "s": "t", "ts": micros(at), "pid": pid, "tid": tid, "args": args})
}

fn slice(name: &str, (at, lasts): (u64, u64), (pid, tid): (u32, u32), args: Value) -> Value {
    json!({"name": name, "cat": CATEGORY, "ph": "X", "ts": micros(at), "dur": micros(lasts), "pid": pid, "tid": tid,
        "args": args})
}

/// One end of an arrow, in the slice that begins then.
fn arrow(phase: &str, number: u64, at: u64, (pid, tid): (u32, u32)) -> Value {
    json!({"name": "wakeup", "cat": CATEGORY, "ph": phase, "bp": "e", "id": number, "ts": micros(at), "pid": pid,
        "tid": tid})
}

/// Microseconds, as the format has them.
#[expect(clippy::cast_precision_loss, reason = "exact for a hundred days")]
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
