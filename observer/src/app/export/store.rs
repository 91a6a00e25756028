//! The series of listeners: reports of intervals added up by place, so that no counter falls when a listener closes and
//! another is born where it was. Pure, but for what [`Origins`] looks up.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use observer::model::{Listener, Report};

use super::{
    origins::Origins,
    place::{self, Identity, Place},
    room::Room,
    tally::{BASE_SERIES, Tally},
    worth::Observed,
};

/// How long the counts of a place are kept at which nobody listens any more. A Prometheus that scrapes at all has read
/// them by then.
const KEPT: Duration = Duration::from_secs(3600);

/// Series of all listeners.
pub struct Store {
    /// By place, with when the last listener there was gone.
    places: BTreeMap<Arc<Place>, Kept>,
    /// Those at which nobody listens any more, by when that began.
    gone: BTreeSet<(Instant, Arc<Place>)>,
    /// Where each listener is that was in the last report.
    listeners: HashMap<Identity, Known>,
    room: Room,
    per_worker: bool,
}

#[derive(Debug, Default)]
struct Kept {
    tally: Tally,
    gone_since: Option<Instant>,
}

impl Kept {
    /// Somebody listens there, again or still. Since when nobody did, where that was so.
    fn is_back(
        &mut self,
        place: &Arc<Place>,
        gone: &mut BTreeSet<(Instant, Arc<Place>)>,
    ) -> Option<Instant> {
        let since = self.gone_since.take()?;
        gone.remove(&(since, place.clone()));
        Some(since)
    }
}

struct Known {
    /// Where its numbers go.
    place: Arc<Place>,
    /// Whether it is known who holds it, so that its place stays.
    settled: bool,
    is_there: bool,
}

impl Store {
    /// No series yet, and room for so many.
    #[must_use]
    pub fn new(most: usize, per_worker: bool) -> Self {
        Self {
            places: BTreeMap::new(),
            gone: BTreeSet::new(),
            listeners: HashMap::new(),
            room: Room::new(most),
            per_worker,
        }
    }

    /// Adds the counts of an interval, and takes over what is so now. The report has all listeners: what is not in it
    /// does not listen.
    pub fn add(&mut self, report: &Report, origins: &mut impl Origins, now: Instant) {
        self.room.begin_report();
        for kept in self.places.values_mut() {
            kept.tally.begin_report();
        }
        for known in self.listeners.values_mut() {
            known.is_there = false;
        }
        let observed = Observed::by(&report.providers);
        for listener in &report.listeners {
            let place = self.place(listener, origins);
            self.make_room(&place, listener);
            let Self { places, gone, room, per_worker, .. } = self;
            let Some(kept) = places.get_mut(&place) else { continue };
            kept.tally.add(listener, report.window.seconds, observed, *per_worker, room);
            if !listener.closed {
                kept.is_back(&place, gone);
                for (open, limit) in origins.descriptors(listener, now) {
                    kept.tally.gauges.note_descriptors(open, limit);
                }
            }
        }
        self.listeners.retain(|_, known| known.is_there);
        for (place, kept) in &mut self.places {
            kept.tally.end_report(&mut self.room);
            if kept.tally.gauges.listeners > 0 {
                kept.is_back(place, &mut self.gone);
            } else if kept.gone_since.is_none() {
                kept.gone_since = Some(now);
                self.gone.insert((now, place.clone()));
            }
        }
        self.forget(now);
        origins.end_report();
    }

    /// The place of a listener, which stays while it lives once it is known who holds it.
    fn place(&mut self, listener: &Listener, origins: &mut impl Origins) -> Arc<Place> {
        let identity = Identity::of(listener);
        if let Some(known) = self.listeners.get_mut(&identity)
            && known.settled
        {
            known.is_there = true;
            return known.place.clone();
        }
        let process = place::process(listener);
        let settled = process.is_some();
        let (pid, process) = process.unwrap_or_default();
        let scope = pid.map(|pid| origins.scope(pid)).unwrap_or_default();
        let place = Arc::new(Place {
            netns: listener.netns,
            port: listener.port,
            address: listener.address.clone(),
            process,
            container_id: scope.container_id.unwrap_or_default(),
            pod_uid: scope.pod_uid.unwrap_or_default(),
        });
        let known = Known { place: place.clone(), settled, is_there: true };
        self.listeners.insert(identity, known);
        place
    }

    /// Makes room for what a listener adds to its place, and makes the place where there is room for it.
    fn make_room(&mut self, place: &Arc<Place>, listener: &Listener) {
        if let Some(kept) = self.places.get_mut(place) {
            let needed = kept.tally.needs(listener);
            // It must not be forgotten now.
            let gone_since = kept.is_back(place, &mut self.gone);
            while !self.room.has(needed) && self.forget_longest_gone() {}
            if let (Some(since), Some(kept)) = (gone_since, self.places.get_mut(place)) {
                kept.gone_since = Some(since);
                self.gone.insert((since, place.clone()));
            }
            return;
        }
        let mut kept = Kept::default();
        let needed = BASE_SERIES + kept.tally.needs(listener);
        while !self.room.has(needed) && self.forget_longest_gone() {}
        if self.room.take(BASE_SERIES, &mut kept.tally.reserved) {
            self.places.insert(place.clone(), kept);
        }
    }

    /// Forgets places at which nobody has listened for long.
    fn forget(&mut self, now: Instant) {
        while let Some((since, _)) = self.gone.first()
            && now.saturating_duration_since(*since) >= KEPT
        {
            self.forget_longest_gone();
        }
    }

    /// Forgets the place at which nobody has listened for the longest; whether there was one.
    fn forget_longest_gone(&mut self) -> bool {
        let Some((_, place)) = self.gone.pop_first() else { return false };
        if let Some(kept) = self.places.remove(&place) {
            let mut reserved = kept.tally.reserved;
            self.room.give_back(reserved, &mut reserved);
        }
        true
    }

    /// All places, in their order.
    pub fn places(&self) -> impl Iterator<Item = (&Place, &Tally)> {
        self.places.iter().map(|(place, kept)| (place.as_ref(), &kept.tally))
    }

    /// Room for series.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }
}

#[cfg(test)]
mod tests;
