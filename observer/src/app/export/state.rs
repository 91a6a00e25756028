//! What a scrape shows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use observer::model::Report;

use super::{origins::Origins, own::Own, store::Store};

/// All that there is to show, as of the last report.
pub struct State {
    /// Series of listeners.
    pub store: Store,
    /// What reports told of observer itself.
    pub own: Own,
    /// Release of the kernel, and the machine's architecture; `None` before the first report.
    pub host: Option<(String, String)>,
    /// What the server did.
    pub http: Http,
    /// What the flight recorder did; `None` where there is none.
    pub flight: Option<Flight>,
    /// When the last report came.
    pub reported: Option<Instant>,
    /// Reports so far, and other changes that scrapes are to see.
    pub version: u64,
}

/// What the server did.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// Requests by the status they were answered with.
    pub answers: BTreeMap<u16, u64>,
    /// Connections that were closed on a client, by reason.
    pub cut: BTreeMap<&'static str, u64>,
    /// Time that the last page took, seconds.
    pub page_seconds: Option<f64>,
    /// CPU time of this process, seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory of this process, bytes.
    pub resident: Option<u64>,
}

/// What the flight recorder did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flight {
    /// Recordings that were written.
    pub written: u64,
    /// Recordings that could not be written.
    pub failed: u64,
    /// Bytes that are held.
    pub held: usize,
}

/// The state, whoever panicked with it: each change of it is whole by itself.
pub fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Nothing yet, and room for so many series.
    #[must_use]
    pub fn new(most_series: usize, per_worker: bool) -> Self {
        Self {
            store: Store::new(most_series, per_worker),
            own: Own::default(),
            host: None,
            http: Http::default(),
            flight: None,
            reported: None,
            version: 0,
        }
    }

    /// Adds the report of an interval that ended now.
    pub fn add(&mut self, report: &Report, origins: &mut impl Origins) {
        let now = Instant::now();
        self.store.add(report, origins, now);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.own.add(report, since.as_secs_f64());
        if self.host.is_none() {
            self.host = Some((report.host.kernel.clone(), report.host.arch.clone()));
        }
        self.reported = Some(now);
        self.version += 1;
    }
}
