//! Events for people: in their order, with the listener's address in place of its number, and of chosen
//! listeners only.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use observer_common::{
    config::is_outside,
    counters::{Connection, FLAG_OF_TREE, ListenerId},
    drops::DropReason,
    event::{ClientEvent, Endpoint, EventKind, Record, TaskEvent},
};

use super::{
    Session,
    events_waiting::{Place, REMEMBERED, Telling},
    sample::{self, Sample},
};
use crate::{
    bpf::events::Events,
    host::filter::Candidate,
    model::{Event, EventLine, LostReason, Report, SCHEMA_VERSION, Task, What},
    report::{
        place,
        workers::{errno_name, text},
    },
};

impl Session {
    /// Reads the events that came, and tells those that need not wait for earlier ones any longer.
    pub fn read_events(&mut self) -> Vec<Event> {
        let Some(events) = &mut self.events else { return Vec::new() };
        let began = sample::monotonic();
        let telling = &mut self.telling;
        if events.read(|record| telling.take(record)) {
            telling.was_read(began);
        }
        let mut told = self.tell(Telling::pop);
        // What is told later happened after that.
        if let Some(told_up_to) = self.telling.told_up_to() {
            told.extend(self.lost(told_up_to));
        }
        told
    }

    /// Reads what is left once the window is closed, and tells all. What came of it goes to the report of the whole
    /// window, if there is one.
    pub fn read_last_events(&mut self, total: Option<&mut Report>) -> Vec<Event> {
        let Some(events) = &mut self.events else { return Vec::new() };
        let telling = &mut self.telling;
        while !events.read(|record| telling.take(record)) {}
        let mut told = self.tell(Telling::pop_last);
        // A map that cannot be read was an error of the report.
        if let Ok(misc) = self.maps.misc() {
            self.lost_in_kernel = misc.events_lost;
        }
        if let Some(total) = total {
            total.audit.events_lost = self.events_lost();
            total.audit.events_sent = Some(self.came() + self.lost_in_kernel);
        }
        told.extend(self.lost(sample::monotonic()));
        told
    }

    /// Number of events that came since the window opened.
    fn came(&self) -> u64 {
        self.events.as_ref().map_or(0, Events::came)
    }

    /// Number of events that were lost since the window opened.
    fn events_lost(&self) -> u64 {
        self.lost_in_kernel + self.telling.lost
    }

    fn tell(&mut self, pop: fn(&mut Telling) -> Option<Record>) -> Vec<Event> {
        let offset = self.telling.clocks.offset();
        let mut told = Vec::new();
        while let Some(record) = pop(&mut self.telling) {
            told.extend(self.told(&record, offset));
        }
        told
    }

    /// Takes the wakeups that the end of the window settled as silent.
    pub(super) fn tell_settled(&mut self, end: &Sample) {
        for key in &self.tracker.settled {
            let comm = end.counted.workers.get(key).map(|row| row.comm);
            let kind = EventKind::Silent;
            let event = TaskEvent {
                kind: kind as u32,
                detail: 0,
                time: end.monotonic,
                listener: key.listener,
                pid: key.pid,
                tid: key.tid,
                comm: comm.unwrap_or_default(),
                connection: Connection::default(),
                woken: 0,
            };
            self.telling.take(Record::Task(event, kind));
        }
    }

    /// The event that says how many are missing, where that has grown.
    fn lost(&mut self, time: u64) -> Option<Event> {
        let count = self.events_lost().saturating_sub(self.lost_told);
        if count == 0 {
            return None;
        }
        self.lost_told += count;
        let time = rfc3339(time, self.telling.clocks.offset());
        Some(Event::lost(time, count, LostReason::BufferFull, None))
    }

    /// What is told of an event; nothing where its listener is not chosen, or where it is about a task that
    /// an interrupt woke within a notification of it.
    fn told(&mut self, record: &Record, offset: Duration) -> Option<Event> {
        let id = record.listener();
        let place = self.place(id)?;
        if !self.tracker.selection.contains(id, place.port) {
            // A port of 0 is not known yet.
            if place.port != 0
                && let Some(muted) = &mut self.muted
            {
                muted.set(id, true);
            }
            return None;
        }
        // It was muted before it was known who holds it.
        if let Some(muted) = self.muted.as_mut().filter(|muted| muted.contains(id)) {
            muted.set(id, false);
        }
        let what = match record {
            Record::Task(event, kind) => self.of_task(event, *kind)?,
            Record::Client(event, _) => self.of_client(event),
        };
        Some(Event {
            schema_version: SCHEMA_VERSION,
            line: EventLine::Event,
            time: rfc3339(record.time(), offset),
            netns: Some(place.netns),
            inode: Some(id),
            address: Some(place.address.to_string()),
            port: Some(place.port),
            what,
        })
    }

    fn of_task(&mut self, event: &TaskEvent, kind: EventKind) -> Option<What> {
        let TaskEvent { detail, time, listener, pid, comm, connection, woken, .. } = *event;
        let task = task(event);
        Some(match kind {
            EventKind::Woken | EventKind::Silent
                if self.tracker.is_stranger(pid, listener, &comm) =>
            {
                return None;
            }
            EventKind::Woken => What::Woken { connection: self.telling.number(connection), task },
            EventKind::Silent => What::Silent { task },
            EventKind::Accepted => {
                let since = |from: u64| (from != 0).then(|| time.saturating_sub(from));
                What::Accepted {
                    connection: self.telling.number(connection),
                    task,
                    wait: since(connection.entered),
                    since_wakeup: since(woken),
                }
            }
            EventKind::AcceptError => What::AcceptError { task, errno: errno_name(detail) },
            EventKind::Listening => What::Listening { task, backlog: detail },
            EventKind::Closed => {
                // Its number may be given to another socket.
                self.telling.places.remove(&listener);
                What::Closed { task, backlog: detail }
            }
            // Decoding makes these the events of clients.
            EventKind::Queued | EventKind::Dropped => return None,
        })
    }

    fn of_client(&mut self, event: &ClientEvent) -> What {
        let client = client(&event.client);
        if event.kind == EventKind::Queued as u32 {
            let connection = self.telling.number(event.connection);
            return What::Queued { connection, client, depth: event.detail, limit: event.limit };
        }
        let reason = usize::try_from(event.detail).ok().and_then(|at| DropReason::ALL.get(at));
        let reason = reason.copied().unwrap_or(DropReason::Other);
        What::Dropped { client, reason: reason.name().to_owned() }
    }

    /// Where a listener is. One that began within the window may be chosen by who opened it.
    fn place(&mut self, id: ListenerId) -> Option<Place> {
        if let Some(place) = self.telling.places.get(&id) {
            return Some(*place);
        }
        let info = self.maps.listener(id)?;
        if info.born != 0 && self.tracker.selection.asks_for_processes() {
            let comm = text(&info.comm);
            let creator = Candidate { pid: info.creator, comm: &comm };
            let of_tree = info.flags & FLAG_OF_TREE != 0;
            self.tracker.selection.consider_creator(id, creator, of_tree);
        }
        let place =
            Place { netns: info.netns.into(), address: place::address(&info), port: info.port };
        // A port that the kernel chooses may be given to it a moment later.
        if place.port != 0 {
            if self.telling.places.len() >= REMEMBERED {
                self.telling.places.clear();
            }
            self.telling.places.insert(id, place);
        }
        Some(place)
    }
}

fn task(event: &TaskEvent) -> Task {
    let known = |id: u32| (!is_outside(id)).then_some(id);
    Task {
        pid: known(event.pid),
        tid: known(event.pid).and(known(event.tid)),
        comm: text(&event.comm),
    }
}

/// An address and a port as they are written together, an IPv6 address in brackets.
fn client(end: &Endpoint) -> Option<String> {
    let [a, b, c, d, ..] = end.address;
    let address: IpAddr = match end.version {
        4 => Ipv4Addr::new(a, b, c, d).into(),
        6 => Ipv6Addr::from(end.address).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(address, end.port).to_string())
}

fn rfc3339(monotonic: u64, offset: Duration) -> String {
    let time = SystemTime::UNIX_EPOCH + offset + Duration::from_nanos(monotonic);
    humantime::format_rfc3339_nanos(time).to_string()
}

#[cfg(test)]
mod tests {
    use observer_common::event::Endpoint;

    use super::client;

    #[test]
    fn clients_are_written_as_ss_does() {
        let end = |first: [u8; 4], version| Endpoint {
            address: std::array::from_fn(|at| first.get(at).copied().unwrap_or(0)),
            port: 51_234,
            version,
        };
        assert_eq!(client(&end([10, 0, 0, 5], 4)).as_deref(), Some("10.0.0.5:51234"));
        assert_eq!(client(&end([0xfd, 0, 0, 5], 6)).as_deref(), Some("[fd00:5::]:51234"));
        assert_eq!(client(&end([0; 4], 0)), None);
    }
}
