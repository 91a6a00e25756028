//! Events that were not told yet, the numbers of their connections, and where their listeners are.

use std::{
    collections::{BTreeMap, BinaryHeap, HashMap},
    net::IpAddr,
};

use observer_common::{
    counters::{Connection, ListenerId},
    event::Record,
};

use super::clocks::Clocks;

/// Most events that wait. What comes then is lost, and counted.
const WAITING: usize = 65_536;

/// Most connections and most listeners that are remembered, the latest of each.
pub(super) const REMEMBERED: usize = 65_536;

/// What is known of events that were not told yet.
#[derive(Default)]
pub(super) struct Telling {
    waiting: BinaryHeap<Waiting>,
    /// Events that came so far: of one CPU, those of one moment stay in their order.
    came: u64,
    /// Events that found no room.
    pub(super) lost: u64,
    /// When the buffers had last been read to their end, and the time before: no event that happened before
    /// that can still come.
    read: [u64; 2],
    /// Numbers of connections, the oldest first.
    connections: BTreeMap<Connection, u64>,
    /// The number that was given last.
    numbered: u64,
    pub(super) places: HashMap<ListenerId, Place>,
    pub(super) clocks: Clocks,
}

/// Where a listener is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) netns: u64,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// An event that waits, the earliest first.
struct Waiting(Record, u64);

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
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
        (other.0.time(), other.1).cmp(&(self.0.time(), self.1))
    }
}

impl Telling {
    /// Takes an event as it comes.
    pub(super) fn take(&mut self, record: Record) {
        if self.waiting.len() < WAITING {
            self.came += 1;
            self.waiting.push(Waiting(record, self.came));
        } else {
            self.lost += 1;
        }
    }

    /// Notes that the buffers were read to their end, beginning at `began`. A program that was under way then may
    /// send an earlier event still, which the next reading has.
    pub(super) fn was_read(&mut self, began: u64) {
        self.read = [self.read[1], began];
    }

    /// The moment before which everything was told; `None` where that is not known yet.
    pub(super) fn told_up_to(&self) -> Option<u64> {
        (self.read[0] != 0).then_some(self.read[0])
    }

    /// The earliest event, where none that happened before can still come.
    pub(super) fn pop(&mut self) -> Option<Record> {
        let Waiting(first, _) = self.waiting.peek()?;
        (first.time() < self.read[0]).then_some(())?;
        self.waiting.pop().map(|Waiting(record, _)| record)
    }

    /// The earliest event, where no more can come at all.
    pub(super) fn pop_last(&mut self) -> Option<Record> {
        self.waiting.pop().map(|Waiting(record, _)| record)
    }

    /// The number of a connection; `None` where it is not known which it is. Connections keep theirs once they are
    /// accepted: the notification that woke who accepted one may go on to wake others.
    pub(super) fn number(&mut self, connection: Connection) -> Option<u64> {
        if connection.entered == 0 {
            return None;
        }
        if let Some(number) = self.connections.get(&connection) {
            return Some(*number);
        }
        self.numbered += 1;
        if self.connections.len() >= REMEMBERED {
            self.connections.pop_first();
        }
        self.connections.insert(connection, self.numbered);
        Some(self.numbered)
    }
}

#[cfg(test)]
mod tests {
    use observer_common::{
        counters::Connection,
        event::{EventKind, Record, TaskEvent},
    };

    use super::{REMEMBERED, Telling, WAITING};

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
        let times = |telling: &mut Telling| -> Vec<u64> {
            std::iter::from_fn(|| telling.pop()).map(|one| one.time()).collect()
        };
        assert_eq!(times(&mut telling), [] as [u64; 0]);
        telling.was_read(21);
        assert_eq!(times(&mut telling), [] as [u64; 0], "one of before may be under way");
        telling.take(at(15));
        telling.was_read(40);
        assert_eq!(times(&mut telling), [10, 15, 20]);
        assert_eq!(telling.pop_last().map(|one| one.time()), Some(30));
    }

    #[test]
    fn events_of_one_moment_stay_in_the_order_in_which_they_came() {
        let mut telling = Telling::default();
        let kinds = [EventKind::Closed, EventKind::Silent, EventKind::Woken];
        for kind in kinds {
            let Record::Task(event, _) = at(5) else { continue };
            telling.take(Record::Task(event, kind));
        }
        for kind in kinds {
            let is = telling.pop_last();
            assert!(matches!(is, Some(Record::Task(_, it)) if it == kind), "{kind:?}: {is:?}");
        }
    }

    #[test]
    fn events_that_nobody_reads_are_lost_and_counted() {
        let mut telling = Telling::default();
        for time in 0..WAITING as u64 + 3 {
            telling.take(at(time));
        }
        assert_eq!((telling.waiting.len(), telling.lost), (WAITING, 3));
    }

    #[test]
    fn a_connection_keeps_its_number() {
        let mut telling = Telling::default();
        let connection = |entered| Connection { entered, child: 8 };
        assert_eq!(telling.number(connection(0)), None);
        assert_eq!(telling.number(connection(5)), Some(1));
        assert_eq!(telling.number(connection(6)), Some(2));
        assert_eq!(telling.number(connection(5)), Some(1));
    }

    #[test]
    fn connections_do_not_pile_up() {
        let mut telling = Telling::default();
        for entered in 1..=REMEMBERED as u64 + 3 {
            telling.number(Connection { entered, child: 8 });
        }
        assert_eq!(telling.connections.len(), REMEMBERED);
        assert_eq!(telling.connections.first_key_value().map(|(one, _)| one.entered), Some(4));
    }
}
