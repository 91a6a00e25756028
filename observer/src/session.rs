//! One window of observing: from the first probe to the last report.

mod budget;
mod clocks;
mod events;
mod events_waiting;
mod memory;
mod muting;
mod open;
mod sample;
mod syn_requests;
mod tell;
pub mod thread;
mod tracker;
mod turns;

use std::{cell::RefCell, collections::BTreeSet, time::Instant};

use anyhow::Result;
use observer_common::{config::Control, event::EventKind};

use crate::{
    bpf::{
        attach::Attached,
        events::Events,
        load::Loaded,
        maps::Maps,
        muted::Muted,
        snapshot::Snapshot,
        status::{has_kprobes, missed_runs},
        watches::Watches,
    },
    host::{
        identity::Identities,
        inet_diag::Socket,
        netns::{self, Namespaces},
        netns_handles::Places,
    },
    model::{Host, Report, WindowKind},
    probes::Probe,
    report::LastSeen,
};

use self::{
    budget::Budget,
    events_waiting::Telling,
    sample::{Counters, Sample, Span},
    syn_requests::Requests,
    tracker::Tracker,
    turns::Turns,
};

/// The first interval; 0 stands for none in the kernel maps.
const FIRST_INTERVAL: u32 = 1;

/// So many listeners are all in each redraw, idle ones too: who waits for a server to be called wants to see
/// that it is there.
const FEW: usize = 10;

/// A window that is open.
pub struct Session {
    loaded: Loaded,
    watches: Watches,
    attached: Attached,
    /// What the kernel programs are told, but for the interval.
    control: Control,
    maps: Maps,
    host: Host,
    /// Whether there was IPv6 when the window opened.
    ipv6: bool,
    /// Whether this kernel says why it drops a final ACK.
    sees_refused_acks: bool,
    /// Whether a task that scans an epoll instance's ready list is known by what it holds.
    knows_scans: bool,
    /// Exits to attach once one waiter of a shared epoll instance has woken the next.
    scan_ends: Vec<(&'static Probe, &'static str)>,
    pid_namespace: Option<u32>,
    tracker: Tracker,
    /// Which servers the listeners with findings belong to.
    identities: RefCell<Identities>,
    places: Places,
    /// Network namespaces that are left alone, as they were when they were last looked at.
    quiet: Namespaces,
    /// When the others were looked at.
    turns: Turns,
    searches: Budget,
    requests: Requests,
    last_seen: LastSeen,
    /// Whether intervals show idle listeners too.
    shows_idle: bool,
    /// Whether closed listeners are forgotten once they were reported.
    forgets_closed: bool,
    start: Sample,
    last: Sample,
    missed_before: u64,
    /// Whether this kernel tells what kprobes missed.
    kprobes_tell: bool,
    /// Kinds of events that are told.
    kinds: Vec<EventKind>,
    telling: Telling,
    /// Where events come from, if any kind was asked for.
    events: Option<Events>,
    /// Events that found no room in the kernel's buffers.
    lost_in_kernel: u64,
    /// How many lost events were told of.
    lost_told: u64,
    /// Listeners of which no event is sent, where the filters ask who holds them.
    muted: Option<Muted>,
}

impl Session {
    /// The kernel programs and maps, for their debug lines.
    pub fn ebpf(&mut self) -> &mut aya::Ebpf {
        &mut self.loaded.ebpf
    }

    /// Inode number of the PID namespace that this is observed from, where it is not the initial one:
    /// tasks outside of it are counted, and have no number here.
    #[must_use]
    pub fn pid_namespace(&self) -> Option<u32> {
        self.pid_namespace
    }

    /// How many listeners are chosen now.
    #[must_use]
    pub fn chosen(&self) -> usize {
        let sockets = self.last.namespaces.values().flat_map(|namespace| &namespace.sockets);
        sockets.filter(|one| self.tracker.selection.contains(one.inode, one.port)).count()
    }

    /// The counts of the interval that ends now.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn interval(&mut self) -> Result<Report> {
        let mut now = self.point()?;
        self.refresh(&mut now, false);
        let difference = now.counted.since(&self.last.counted);
        let requests = self.requests(&now, false);
        let mut last_seen = std::mem::take(&mut self.last_seen);
        let (most, kind) = (self.shown(0), WindowKind::Interval);
        let span = Span { from: &self.last, to: &now, counted: &difference, kind, most };
        let report = self.report(span, &requests, &mut last_seen);
        self.last_seen = last_seen;
        self.last = now;
        if self.forgets_closed {
            self.maps.forget_closed(&mut self.last.counted);
        }
        self.control.interval += 1;
        self.maps.control(self.control)?;
        Ok(report)
    }

    /// Everything since the window opened; it stays open.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn so_far(&mut self) -> Result<Report> {
        let now = self.point()?;
        self.total(now, false)
    }

    /// Closes the window and reports everything since it opened.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn finish(&mut self) -> Result<Report> {
        // The last report looks everywhere.
        self.last.namespaces.append(&mut self.quiet);
        let before = Counters::read(&self.places, &self.last.namespaces);
        self.control.open = 0;
        self.maps.control(self.control)?;
        let now = self.read(before, true)?;
        if self.kinds.contains(&EventKind::Silent) {
            self.tell_settled(&now);
        }
        self.total(now, true)
    }

    fn total(&mut self, mut now: Sample, last: bool) -> Result<Report> {
        self.refresh(&mut now, last);
        let requests = self.requests(&now, last);
        let mut last_seen = std::mem::take(&mut self.last_seen);
        let most = if last { usize::MAX } else { self.shown(FEW) };
        let kind = WindowKind::Total;
        let span = Span { from: &self.start, to: &now, counted: &now.counted, kind, most };
        let report = self.report(span, &requests, &mut last_seen);
        self.last_seen = last_seen;
        self.last = now;
        Ok(report)
    }

    /// The most listeners that are all shown, where nobody asked for all: `most`.
    fn shown(&self, most: usize) -> usize {
        if self.shows_idle { usize::MAX } else { most }
    }

    /// Everything up to now. While the kernel counts refusals its counters are read twice, before and
    /// after the maps, so that it is known what they were in between.
    fn point(&mut self) -> Result<Sample> {
        self.leave_alone();
        let point = self.read(Counters::Looked(self.last.namespaces.clone()), false)?;
        if point.agrees_with(&self.last.namespaces) {
            return Ok(point);
        }
        self.read(Counters::Looked(point.namespaces), false)
    }

    /// Leaves those namespaces alone in which no chosen listener was when they were last looked at.
    fn leave_alone(&mut self) {
        let (selection, quiet) = (&self.tracker.selection, &mut self.quiet);
        let chosen = |socket: &Socket| selection.contains(socket.inode, socket.port);
        self.last.namespaces.retain(|inode, one| {
            let has_chosen = one.sockets.iter().any(chosen);
            if !has_chosen {
                quiet.insert(*inode, one.clone());
            }
            has_chosen
        });
    }

    /// Refreshes what is known of processes, and looks again where that chose a listener.
    fn refresh(&mut self, now: &mut Sample, must: bool) {
        let Self { tracker, loaded, watches, maps, quiet, last, .. } = self;
        tracker.refresh((loaded, watches, maps), &now.counted, (&now.namespaces, quiet), must);
        if tracker.selection.asks_for_processes() {
            let chosen = |socket: &Socket| tracker.selection.contains(socket.inode, socket.port);
            quiet.retain(|inode, one| {
                let has_chosen = one.sockets.iter().any(chosen);
                if has_chosen {
                    now.before.keep(*inode, one);
                    for sample in [&mut *now, &mut *last] {
                        sample.namespaces.insert(*inode, one.clone());
                    }
                }
                !has_chosen
            });
            self.mute_others(now);
        }
    }

    /// Lets the probes go that follow accept calls of before the window, once these are over or their
    /// tasks dead.
    fn let_go_of_ended(&mut self) {
        if self.attached.follows_in_flight() && !self.maps.any_in_flight() {
            self.attached.release_in_flight();
        }
    }

    /// Reads the maps, and settles what is decided by now. Namespaces that are left alone are only entered if a
    /// kernel program saw a listener of them since: without one, nothing in them matters and no counter of
    /// listeners changes. Of many others, those are not entered that need no look ([`Turns`]), unless all are to be.
    /// `before` has the namespaces' counters.
    fn read(&mut self, mut before: Counters, all: bool) -> Result<Sample> {
        self.let_go_of_ended();
        // How long connections have waited is told of the moment at which they were seen to wait: to
        // look at the namespaces takes a while.
        let monotonic = sample::monotonic();
        let mut counted = self.maps.read(!has_kprobes(&self.loaded.ebpf))?;
        let missed_runs = self.missed_runs().saturating_sub(self.missed_before);
        self.find_namespaces(&counted);
        for info in counted.listeners.values() {
            let netns = info.netns.into();
            if let Some(quiet) = self.quiet.remove(&netns) {
                before.keep(netns, &quiet);
                self.last.namespaces.entry(netns).or_insert(quiet);
            }
        }
        let Self { places, quiet, tracker, turns, last, .. } = self;
        quiet.retain(|netns, _| places.contains(*netns));
        let began = Instant::now();
        // A second reading of one report goes on from what the first looked at.
        let known = match &before {
            Counters::Looked(looked_at) => looked_at,
            Counters::Read(_) => &last.namespaces,
        };
        let mut resting = if all {
            BTreeSet::new()
        } else {
            turns.resting((known, &last.counted), &counted, began)
        };
        resting.retain(|netns| places.contains(*netns));
        let left_alone = |netns| quiet.contains_key(&netns) || resting.contains(&netns);
        let mut namespaces = netns::look_at_all(places, &mut tracker.processes, left_alone);
        turns.looked(&namespaces, &resting, (began, began.elapsed()));
        let as_before = |netns: &u64| Some((*netns, known.get(netns)?.clone()));
        namespaces.extend(resting.iter().filter_map(as_before));
        let point = Sample::new(Snapshot::default(), before, namespaces, missed_runs);
        self.tracker.choose_newborn(&counted);
        counted.misc.events_lost += self.telling.lost;
        let strangers = self.tracker.settle(&mut counted);
        self.maps.forget_unrecognised(&strangers);
        Ok(Sample { counted, monotonic, ..point })
    }

    /// Looks for network namespaces: by the processes that are new, and by all of them when that was
    /// not done for long, or when a listener is in one that is not known.
    fn find_namespaces(&mut self, counted: &Snapshot) {
        let began = Instant::now();
        let (places, processes) = (&mut self.places, &mut self.tracker.processes);
        if self.searches.are_due() {
            places.find(processes);
            return self.searches.took(began);
        }
        places.find_new(processes);
        let mut open = counted.listeners.values().filter(|info| info.closed == 0);
        if open.any(|info| !places.contains(info.netns.into())) {
            places.find(processes);
        }
    }

    /// Looks at the processes that were woken since the last time, and makes room in the kernel maps.
    pub fn look_at_woken(&mut self) {
        self.let_go_of_ended();
        // A map that cannot be read is an error of the report.
        if let Ok(misc) = self.maps.misc() {
            self.lost_in_kernel = misc.events_lost;
            self.follow_scans(misc.chained);
            let maps = &self.maps;
            self.tracker.look_at_woken(misc.workers, || maps.worker_keys().collect());
            self.maps.make_room(&misc, sample::monotonic());
        }
    }

    /// Follows the ends of scans of an epoll instance's ready list, once one of its waiters has woken
    /// the next: there, whether a task was asleep is known when the scan is over.
    fn follow_scans(&mut self, chained: u64) {
        if chained == 0 || self.scan_ends.is_empty() {
            return;
        }
        let ends = std::mem::take(&mut self.scan_ends);
        if memory::with_types(&mut self.loaded.btf)
            && self.attached.follow_scans(&mut self.loaded, &ends)
        {
            self.control.scan_ends = 1;
            // What cannot be written now is with the next interval.
            let _later = self.maps.control(self.control);
        }
        memory::without_types(&mut self.loaded.btf);
        memory::give_back();
    }

    /// Runs that were skipped, less those whose count another program made good.
    fn missed_runs(&self) -> u64 {
        let recovered = self.maps.misc().map_or(0, |misc| misc.recovered);
        let skipped = missed_runs(&self.loaded.ebpf).unwrap_or(0);
        log::debug!("{skipped} runs were skipped, {recovered} of them made good");
        skipped.saturating_sub(recovered)
    }
}
