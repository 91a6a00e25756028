//! Events put together by the connection that they are about. Pure, and of bounded size.
//!
//! A woken task belongs to the connection that its wakeup names, and what it does next is that wakeup's outcome: a task
//! has at most one open wakeup. A wakeup that names no connection is a story of its own.

use std::collections::{BTreeMap, HashMap};

use observer::model::{
    AcceptedBy, Connection, Event, Task, Unfinished, WakeupOutcome, What, WokenTask,
};

/// How long tasks are waited for that were woken for a connection which is over, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

/// How long more wakeups may come once everything is decided: another CPU may accept a connection while its
/// notification goes on to wake others.
const GRACE: u64 = 10_000_000;

/// Most stories that are open at once, and most woken tasks in all of them.
const OPEN: usize = 4_096;
const WOKEN: usize = 65_536;

/// Most woken tasks of one connection.
const WOKEN_OF_ONE: usize = 1_024;

/// Key of a story that is open: connections by their numbers, then wakeups of unknown ones as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Connection(u64),
    Unknown(u64),
}

/// A story that is not over.
#[derive(Debug)]
struct Open {
    story: Connection,
    /// When it began, and when something was told of it last.
    began: u64,
    latest: u64,
    /// Wakeup of each woken task.
    wakeups: Vec<Wakeup>,
    /// Woken tasks that did nothing yet.
    undecided: usize,
    /// The listener closed with the connection in its queue.
    closed: bool,
    /// Events were lost since it began.
    lost: bool,
}

/// When a task was woken, and the inode number of the listener that woke it: a connection may move to another.
#[derive(Clone, Copy, Debug)]
struct Wakeup {
    at: u64,
    listener: Option<u64>,
}

/// Which wakeup a task's next deed is the outcome of.
#[derive(Clone, Copy, Debug)]
struct Tie {
    key: Key,
    at: usize,
}

/// The stories that are open.
#[derive(Debug, Default)]
pub struct Blocks {
    open: BTreeMap<Key, Open>,
    /// By thread id and the listener's inode number.
    ties: HashMap<(u32, Option<u64>), Tie>,
    woken: usize,
    unknown: u64,
    /// Stories that had to end for want of room.
    squeezed: Vec<Connection>,
}

impl Blocks {
    /// Takes an event that happened at `at`, in nanoseconds since the window opened.
    pub fn take(&mut self, event: &Event, at: u64) {
        match &event.what {
            What::Queued { connection: Some(number), .. } => self.queued(event, *number, at),
            What::Woken { connection, task } => self.woken(event, *connection, task, at),
            What::Accepted { connection, task, wait, since_wakeup } => {
                if let Some(since) = *since_wakeup {
                    let outcome = (WakeupOutcome::Won, *connection, None);
                    self.decided(event.inode, task, outcome, Some(since), at);
                }
                if let Some(open) = connection.and_then(|number| self.of(number)) {
                    let (wait, since_wakeup) = (*wait, *since_wakeup);
                    let by = AcceptedBy { task: task.clone(), wait, since_wakeup };
                    open.story.accepted = Some(by);
                    open.latest = at;
                }
            }
            What::AcceptError { task, errno } => {
                let lost = errno == "EAGAIN";
                let outcome = if lost { WakeupOutcome::Lost } else { WakeupOutcome::Failed };
                let outcome = (outcome, None, Some(errno));
                self.decided(event.inode, task, outcome, None, at);
            }
            What::Silent { task } => {
                let outcome = (WakeupOutcome::Silent, None, None);
                self.decided(event.inode, task, outcome, None, at);
            }
            What::Closed { .. } => {
                let of_it = |open: &&mut Open| open.story.inode == event.inode;
                for open in self.open.values_mut().filter(of_it) {
                    open.closed = true;
                    open.latest = at;
                }
            }
            What::Lost { .. } => self.open.values_mut().for_each(|open| open.lost = true),
            What::Queued { connection: None, .. }
            | What::Dropped { .. }
            | What::Listening { .. } => {}
        }
    }

    /// The stories that are over at `at`, in the order in which they began.
    pub fn over(&mut self, at: u64) -> Vec<Connection> {
        let due: Vec<_> =
            self.open.iter().filter_map(|(key, open)| Some((*key, open.end(at)?))).collect();
        let mut over = std::mem::take(&mut self.squeezed);
        over.extend(due.into_iter().filter_map(|(key, why)| self.close(key, why)));
        over
    }

    /// The stories that are left when the window has ended.
    pub fn rest(&mut self, at: u64) -> Vec<Connection> {
        let mut rest = self.over(at.saturating_add(GRACE));
        let keys: Vec<_> = self.open.keys().copied().collect();
        let ended = Some(Unfinished::WindowEnded);
        rest.extend(keys.into_iter().filter_map(|key| self.close(key, ended)));
        rest
    }

    fn of(&mut self, number: u64) -> Option<&mut Open> {
        self.open.get_mut(&Key::Connection(number))
    }

    fn queued(&mut self, event: &Event, number: u64, at: u64) {
        let story = Connection::new(event, Some(number));
        // One that moves to another listener, because its own closed, goes on there.
        if let Some(open) = self.of(number) {
            let (woken, woken_more) =
                (std::mem::take(&mut open.story.woken), open.story.woken_more);
            open.story = Connection { woken, woken_more, ..story };
            open.closed = false;
            return;
        }
        self.begin(Key::Connection(number), story, at);
    }

    fn begin(&mut self, key: Key, story: Connection, at: u64) {
        let (began, latest, wakeups) = (at, at, Vec::new());
        let open = Open { story, began, latest, wakeups, undecided: 0, closed: false, lost: false };
        self.open.insert(key, open);
        while self.open.len() > OPEN || self.woken > WOKEN {
            let Some(oldest) = self.open.keys().next().copied() else { return };
            let squeezed = self.close(oldest, Some(Unfinished::NoRoom));
            self.squeezed.extend(squeezed);
        }
    }

    fn woken(&mut self, event: &Event, connection: Option<u64>, task: &Task, at: u64) {
        let key = match connection {
            Some(number) if self.open.contains_key(&Key::Connection(number)) => {
                Key::Connection(number)
            }
            // Its own event was lost, or it is told already.
            Some(number) => {
                self.begin(Key::Connection(number), Connection::new(event, connection), at);
                Key::Connection(number)
            }
            None => {
                self.unknown += 1;
                let key = Key::Unknown(self.unknown);
                self.begin(key, Connection::new(event, None), at);
                key
            }
        };
        let Some(open) = self.open.get_mut(&key) else { return };
        open.latest = at;
        if open.story.woken.len() == WOKEN_OF_ONE {
            open.story.woken_more += 1;
            return;
        }
        let after = connection.map(|_| at.saturating_sub(open.began));
        open.wakeups.push(Wakeup { at, listener: event.inode });
        open.undecided += 1;
        open.story.woken.push(WokenTask {
            task: task.clone(),
            after,
            outcome: None,
            accepted: None,
            errno: None,
            outcome_after: None,
        });
        self.woken += 1;
        if let Some(tid) = task.tid {
            self.ties.insert((tid, event.inode), Tie { key, at: open.story.woken.len() - 1 });
        }
    }

    fn decided(
        &mut self,
        listener: Option<u64>,
        task: &Task,
        (outcome, accepted, errno): (WakeupOutcome, Option<u64>, Option<&String>),
        since_wakeup: Option<u64>,
        at: u64,
    ) {
        let Some(tid) = task.tid else { return };
        let Some(tie) = self.ties.remove(&(tid, listener)) else { return };
        let Some(open) = self.open.get_mut(&tie.key) else { return };
        let (Some(woken), Some(wakeup)) =
            (open.story.woken.get_mut(tie.at), open.wakeups.get(tie.at))
        else {
            return;
        };
        woken.outcome = Some(outcome);
        woken.accepted = accepted;
        woken.errno = errno.cloned();
        let is_told = outcome != WakeupOutcome::Silent;
        woken.outcome_after = is_told.then(|| since_wakeup.unwrap_or(at.saturating_sub(wakeup.at)));
        open.undecided -= 1;
        open.latest = at;
    }

    fn close(&mut self, key: Key, why: Option<Unfinished>) -> Option<Connection> {
        let Open { mut story, wakeups, .. } = self.open.remove(&key)?;
        self.woken -= story.woken.len();
        for (at, (woken, wakeup)) in story.woken.iter().zip(&wakeups).enumerate() {
            let Some(tid) = woken.task.tid.filter(|_| woken.outcome.is_none()) else { continue };
            let of_task = (tid, wakeup.listener);
            if self.ties.get(&of_task).is_some_and(|tie| tie.key == key && tie.at == at) {
                self.ties.remove(&of_task);
            }
        }
        story.unfinished = why;
        Some(story)
    }
}

impl Open {
    /// Whether the story is over at `at`, and then why something is missing in it.
    fn end(&self, at: u64) -> Option<Option<Unfinished>> {
        let is_accepted = self.story.accepted.is_some() || self.story.connection.is_none();
        let waited = at.saturating_sub(self.latest);
        if is_accepted && self.undecided == 0 {
            return (waited >= GRACE).then_some(None);
        }
        if waited < PATIENCE {
            return None;
        }
        match (self.lost, is_accepted, self.closed) {
            (true, ..) => Some(Some(Unfinished::EventsLost)),
            (_, true, _) => Some(Some(Unfinished::NoOutcome)),
            (.., true) => Some(Some(Unfinished::ListenerClosed)),
            // It waits in the queue.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
