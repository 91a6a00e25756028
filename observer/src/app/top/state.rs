//! The state of the screen: updates and keys go in, and what is to be done comes out. Pure.

mod act;
mod pointer;
mod typed;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    columns::By,
    history::Past,
    known::KnownListeners,
    moment::{Moment, Wish},
    row::{Row, RowId},
};
use observer::{Because, Update, model::Report};
use ratatui::layout::Rect;

/// What is to be done that is no matter of the screen.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// End.
    Quit,
    /// Stop until the shell wants it to go on.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// Text to the clipboard.
    Copy(String),
    /// Text to a file about this port.
    Write(String, u16),
    /// Intervals of this length.
    Interval(Duration),
    /// The next report of a recording.
    Next,
    /// The mouse: taken, or left to the terminal.
    Mouse(bool),
}

/// Which pane up and down are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The list.
    List,
    /// The details of the chosen row.
    Details,
}

/// What is observed, in the words of the screen.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Name of the recording; `None` where it is this host, now.
    pub replay: Option<String>,
    /// What is waited for while there is no listener.
    pub waits: String,
    /// Sentence beneath the details, such as what a PID namespace hides.
    pub remark: Option<String>,
}

/// Where things were drawn, to find out what the mouse is upon.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// The rows of the list.
    pub rows: Rect,
    /// The headings, each with what it sorts by.
    pub headings: Vec<(Rect, By)>,
    /// The details.
    pub details: Rect,
    /// How many lines of the help were below the screen.
    pub help_below: usize,
    /// How many lines the details have.
    pub lines: usize,
    /// First row of the list that is drawn.
    pub first_row: usize,
}

/// An interval that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    pub(super) tick: u32,
    /// Seconds since the beginning, at its end.
    pub(super) whole: f64,
}

/// Most intervals whose time is kept: as many as reports.
const TICKS: usize = 900;

/// The state.
pub struct State {
    /// What is observed.
    pub observed: Observed,
    /// Listeners that were seen.
    pub known: KnownListeners,
    /// Reports of the last minutes.
    pub past: Past,
    pub(super) ticks: VecDeque<Tick>,
    next: u32,
    latest: Option<Arc<Report>>,
    /// Seconds since the beginning.
    pub whole: f64,
    /// What is on the screen; `None` before the first report.
    pub moment: Option<Moment>,
    /// Length of an interval.
    pub interval: Duration,
    /// Interval that the screen stands at; `None` where it goes on.
    pub paused: Option<u32>,
    /// Why nothing comes any more.
    pub over: Option<String>,
    /// The chosen row; `None` for whichever is first.
    pub chosen: Option<RowId>,
    /// Where the chosen row was last, for when it is gone.
    position: usize,
    /// First line of the details that is drawn.
    pub first_line: usize,
    /// Which pane keys are about.
    pub pane: Pane,
    /// Whether the details have the whole screen.
    pub zoomed: bool,
    /// First line of the help, where it is open.
    pub help: Option<usize>,
    /// Words that rows must have.
    pub words: String,
    /// Whether they are being typed.
    pub typing: bool,
    /// Column that rows are sorted by.
    pub by: By,
    /// Whether the order is turned round.
    pub reverse: bool,
    /// Whether numbers are totals.
    pub totals: bool,
    /// Whether the mouse is taken.
    pub mouse: bool,
    /// Whether there is colour.
    pub colour: bool,
    /// What was done last, until the next key.
    pub message: Option<String>,
    /// Where things were drawn.
    pub drawn: Drawn,
}

impl State {
    /// Nothing seen yet.
    pub fn new(observed: Observed, interval: Duration, colour: bool, mouse: bool) -> Self {
        Self {
            observed,
            known: KnownListeners::default(),
            past: Past::default(),
            ticks: VecDeque::new(),
            next: 0,
            latest: None,
            whole: 0.0,
            moment: None,
            interval,
            paused: None,
            over: None,
            chosen: None,
            position: 0,
            first_line: 0,
            pane: Pane::List,
            zoomed: false,
            help: None,
            words: String::new(),
            typing: false,
            by: By::Trouble,
            reverse: false,
            totals: false,
            mouse,
            colour,
            message: None,
            drawn: Drawn::default(),
        }
    }

    /// Takes an update. Returns whether the screen changes.
    pub fn take(&mut self, update: &Update) -> bool {
        match update {
            Update::Report(report) => self.report(report),
            Update::Event(_) => return false,
            Update::Ended(ended) => {
                self.over = Some(match (&self.observed.replay, ended.because) {
                    (Some(_), _) => "end of the recording".to_owned(),
                    (None, Because::ProcessesEnded) => "all observed processes ended".to_owned(),
                    (None, Because::Closed) => "the window is closed".to_owned(),
                });
                // A recording without intervals is its total.
                if self.latest.is_none() {
                    self.report(&ended.total);
                }
            }
        }
        true
    }

    fn report(&mut self, report: &Report) {
        let tick = self.next;
        self.next = self.next.saturating_add(1);
        self.whole +=
            if report.window.seconds.is_finite() { report.window.seconds.max(0.0) } else { 0.0 };
        self.known.take(report, tick, milliseconds(self.whole));
        self.past.keep(tick, report);
        self.ticks.push_back(Tick { tick, whole: self.whole });
        if self.ticks.len() > TICKS {
            self.ticks.pop_front();
        }
        self.latest = Some(Arc::new(report.clone()));
        if self.paused.is_none() {
            self.renew();
        }
    }

    /// Makes what is on the screen anew.
    pub fn renew(&mut self) {
        let Some(latest) = self.latest.clone() else { return };
        let newest = self.next.saturating_sub(1);
        let tick = self.paused.unwrap_or(newest);
        let report = if tick == newest {
            Some(latest)
        } else {
            // The report that is on the screen needs not be read again.
            let shown = self.moment.as_ref().filter(|moment| moment.tick == tick);
            shown
                .map(|moment| moment.report.clone())
                .or_else(|| self.past.report(tick).map(Arc::new))
        };
        let Some(report) = report else { return };
        let wish =
            Wish { words: &self.words, by: self.by, reverse: self.reverse, totals: self.totals };
        let moment = Moment::new(&self.known, (tick, report, tick == newest), self.whole, wish);
        self.moment = Some(moment);
        self.settle();
    }

    /// Keeps the choice where it is, or near where it was.
    fn settle(&mut self) {
        let Some(moment) = &self.moment else { return };
        match self.chosen.map(|chosen| moment.position(chosen)) {
            None => self.position = 0,
            Some(Some(position)) => self.position = position,
            Some(None) => {
                let last = moment.rows.len().saturating_sub(1);
                self.position = self.position.min(last);
                self.first_line = 0;
                self.chosen = moment.rows.get(self.position).map(|row| row.id);
            }
        }
    }

    /// Where the chosen row stands.
    pub fn position(&self) -> usize {
        self.position
    }

    /// First row of the list that was drawn.
    pub fn first_row(&self) -> usize {
        self.drawn.first_row
    }

    /// The chosen row.
    pub fn row(&self) -> Option<&Row> {
        self.moment.as_ref()?.rows.get(self.position)
    }

    /// Milliseconds since the beginning at the end of the interval that is shown.
    pub fn time(&self) -> u64 {
        let tick = self.moment.as_ref().map_or(0, |moment| moment.tick);
        let shown = self.ticks.iter().rev().find(|one| one.tick == tick);
        milliseconds(shown.map_or(self.whole, |one| one.whole))
    }

    /// Seconds between the interval that is shown and the newest one.
    pub fn behind(&self) -> u64 {
        (milliseconds(self.whole).saturating_sub(self.time()) + 500) / 1_000
    }

    /// How long counts on the screen took, where they are told as rates.
    pub fn per(&self) -> Option<f64> {
        let moment = self.moment.as_ref()?;
        (!self.totals).then_some(moment.seconds)
    }

    /// Whether a recording is shown that is to stand still.
    pub fn holds_replay(&self) -> bool {
        self.observed.replay.is_some() && self.paused.is_some()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a length of time that is not negative, and saturates"
)]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}

#[cfg(test)]
mod tests;
