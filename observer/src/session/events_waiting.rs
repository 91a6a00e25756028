//! Events that were not told yet, the numbers of their connections, and where their listeners are.

use std::{
    collections::{BTreeMap, BinaryHeap, HashMap},
    net::IpAddr,
};

use observer_common::{
    counters::{Connection, ListenerId},
    event::Record,
};

/// How long an event waits for earlier ones of other CPUs, in nanoseconds. Their buffers are read as soon as
/// something is in them.
const REORDER: u64 = 50_000_000;

/// Most events that wait. What comes then pushes out the earliest, in order or not.
const WAITING: usize = 65_536;

/// Most connections that have a number and were not accepted, and most listeners that are remembered.
pub(super) const REMEMBERED: usize = 65_536;

/// What is known of events that were not told yet.
#[derive(Default)]
pub(super) struct Telling {
    waiting: BinaryHeap<Waiting>,
    /// Numbers of the connections that wait to be accepted, the oldest first.
    connections: BTreeMap<Connection, u64>,
    /// The number that was given last.
    numbered: u64,
    pub(super) places: HashMap<ListenerId, Place>,
}

/// Where a listener is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) netns: u64,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// An event that waits, the earliest first.
struct Waiting(Record);

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.0.time() == other.0.time()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.time().cmp(&self.0.time())
    }
}

impl Telling {
    /// Takes an event as it comes.
    pub(super) fn take(&mut self, record: Record) {
        self.waiting.push(Waiting(record));
    }

    /// The earliest event, where it need not wait any longer.
    pub(super) fn pop(&mut self, now: u64) -> Option<Record> {
        let Waiting(first) = self.waiting.peek()?;
        if self.waiting.len() < WAITING && first.time().saturating_add(REORDER) > now {
            return None;
        }
        self.waiting.pop().map(|Waiting(record)| record)
    }

    /// The number of a connection; `None` where it is not known which it is. `last` says that nothing more
    /// will be told of it.
    pub(super) fn number(&mut self, connection: Connection, last: bool) -> Option<u64> {
        if connection.entered == 0 {
            return None;
        }
        if let Some(number) = self.connections.get(&connection).copied() {
            if last {
                self.connections.remove(&connection);
            }
            return Some(number);
        }
        self.numbered += 1;
        if !last {
            if self.connections.len() >= REMEMBERED {
                self.connections.pop_first();
            }
            self.connections.insert(connection, self.numbered);
        }
        Some(self.numbered)
    }
}

#[cfg(test)]
mod tests {
    use observer_common::{
        counters::Connection,
        event::{EventKind, Record, TaskEvent},
    };

    use super::{REMEMBERED, REORDER, Telling};

    fn at(time: u64) -> Record {
        let connection = Connection::default();
        let kind = EventKind::Silent;
        Record::Task(
            TaskEvent {
                kind: kind as u32,
                detail: 0,
                time,
                listener: 1,
                pid: 2,
                tid: 2,
                comm: [0; 16],
                connection,
                woken: 0,
            },
            kind,
        )
    }

    #[test]
    fn events_of_several_cpus_come_in_the_order_of_time_once_nothing_earlier_can_come() {
        let mut telling = Telling::default();
        for time in [30, 10, 20] {
            telling.take(at(time));
        }
        let mut times =
            |now| std::iter::from_fn(|| telling.pop(now)).map(|one| one.time()).collect();
        let none: Vec<u64> = times(REORDER + 9);
        assert_eq!(none, [] as [u64; 0]);
        let first: Vec<u64> = times(REORDER + 20);
        assert_eq!(first, [10, 20]);
        let last: Vec<u64> = times(u64::MAX);
        assert_eq!(last, [30]);
    }

    #[test]
    fn a_connection_keeps_its_number_until_it_is_accepted() {
        let mut telling = Telling::default();
        let connection = |entered| Connection { entered, child: 8 };
        assert_eq!(telling.number(connection(0), false), None);
        assert_eq!(telling.number(connection(5), false), Some(1));
        assert_eq!(telling.number(connection(6), false), Some(2));
        assert_eq!(telling.number(connection(5), true), Some(1));
        assert!(!telling.connections.contains_key(&connection(5)));
        assert_eq!(telling.number(connection(7), true), Some(3));
    }

    #[test]
    fn connections_that_nobody_accepts_do_not_pile_up() {
        let mut telling = Telling::default();
        for entered in 1..=REMEMBERED as u64 + 3 {
            telling.number(Connection { entered, child: 8 }, false);
        }
        assert_eq!(telling.connections.len(), REMEMBERED);
        assert_eq!(telling.connections.first_key_value().map(|(one, _)| one.entered), Some(4));
    }
}
