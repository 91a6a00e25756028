//! What actions do to the state.

use std::time::Duration;

use super::{Effect, Pane, State};
use crate::app::top::{
    columns::{By, COLUMNS},
    fix,
    keys::Action,
};

/// Lengths of an interval to choose from, in milliseconds.
const INTERVALS: [u64; 8] = [250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

impl State {
    /// Does it. What is no matter of the screen is returned.
    pub fn act(&mut self, action: Action) -> Option<Effect> {
        self.message = None;
        if let Some(first) = self.help {
            return self.act_in_help(action, first);
        }
        match action {
            Action::Up => self.scroll(-1),
            Action::Down => self.scroll(1),
            Action::PageUp => self.scroll(-self.page()),
            Action::PageDown => self.scroll(self.page()),
            Action::First => self.scroll(isize::MIN / 2),
            Action::Last => self.scroll(isize::MAX / 2),
            Action::OtherPane => {
                self.pane = if self.pane == Pane::List { Pane::Details } else { Pane::List };
            }
            Action::Zoom => self.zoom(!self.zoomed),
            Action::Back => self.back(),
            Action::Filter => self.typing = true,
            Action::SortNext => self.sort_by(self.beside(1)),
            Action::SortBefore => self.sort_by(self.beside(-1)),
            Action::Reverse => {
                self.reverse = !self.reverse;
                self.renew();
            }
            Action::Totals => {
                self.totals = !self.totals;
                self.renew();
            }
            Action::Pause => self.pause(),
            Action::StepBack => self.step_back(),
            Action::StepForward => return self.step_forward(),
            Action::Longer => return self.another_interval(1),
            Action::Shorter => return self.another_interval(-1),
            Action::Help => self.help = Some(0),
            Action::Copy => return self.fix(|fix, _| Effect::Copy(fix)),
            Action::Write => return self.fix(Effect::Write),
            Action::Mouse => {
                self.mouse = !self.mouse;
                return Some(Effect::Mouse(self.mouse));
            }
            Action::Redraw => return Some(Effect::Redraw),
            Action::Suspend => return Some(Effect::Suspend),
            Action::Quit => return Some(Effect::Quit),
        }
        None
    }

    /// In the help, all but what scrolls it and what ends closes it.
    fn act_in_help(&mut self, action: Action, first: usize) -> Option<Effect> {
        self.help = match action {
            Action::Up | Action::PageUp => Some(first.saturating_sub(1)),
            Action::Down | Action::PageDown => Some(first + self.drawn.help_below.min(1)),
            _ => None,
        };
        match action {
            Action::Quit => Some(Effect::Quit),
            Action::Suspend => Some(Effect::Suspend),
            Action::Redraw => Some(Effect::Redraw),
            _ => None,
        }
    }

    fn page(&self) -> isize {
        let pane = if self.in_details() { self.drawn.details } else { self.drawn.rows };
        isize::try_from(pane.height.max(2) - 1).unwrap_or(1)
    }

    fn in_details(&self) -> bool {
        self.zoomed || self.pane == Pane::Details
    }

    fn scroll(&mut self, by: isize) {
        if self.in_details() { self.scroll_details(by) } else { self.move_by(by) }
    }

    /// Scrolls the details, as far as there are any.
    pub(super) fn scroll_details(&mut self, by: isize) {
        let most = self.drawn.lines.saturating_sub(usize::from(self.drawn.details.height));
        self.first_line = self.first_line.saturating_add_signed(by).min(most);
    }

    /// Chooses a row so many below.
    pub(super) fn move_by(&mut self, by: isize) {
        self.choose(self.position.saturating_add_signed(by));
    }

    /// Chooses a row by where it stands.
    pub(super) fn choose(&mut self, position: usize) {
        let Some(moment) = &self.moment else { return };
        let Some(last) = moment.rows.len().checked_sub(1) else { return };
        let position = position.min(last);
        if position != self.position {
            self.first_line = 0;
        }
        self.position = position;
        self.chosen = Some(moment.rows[position].id);
    }

    fn zoom(&mut self, zoomed: bool) {
        self.zoomed = zoomed;
        self.first_line = 0;
    }

    fn back(&mut self) {
        if self.zoomed {
            self.zoom(false);
        } else if self.pane == Pane::Details {
            self.pane = Pane::List;
        } else if !self.words.is_empty() {
            self.words.clear();
            self.renew();
        }
    }

    /// The order beside that of now: that of trouble is before the first column.
    fn beside(&self, by: isize) -> By {
        let orders: Vec<By> =
            [By::Trouble].into_iter().chain(COLUMNS.iter().map(|column| column.by)).collect();
        let at = orders.iter().position(|one| *one == self.by).unwrap_or(0);
        let at = at.wrapping_add_signed(by).wrapping_add(orders.len()) % orders.len();
        orders[at]
    }

    /// Sorts by a column; by the one that it is sorted by already, the other way round.
    pub(super) fn sort_by(&mut self, by: By) {
        self.reverse = self.by == by && !self.reverse;
        self.by = by;
        // Who asks for another order wants to see what comes first in it.
        self.chosen = None;
        self.first_line = 0;
        self.renew();
    }

    fn pause(&mut self) {
        match self.paused.take() {
            Some(_) => self.renew(),
            None => {
                let tick = self.moment.as_ref().map(|moment| moment.tick);
                // A recording can be gone through step by step from its first report on.
                self.paused = tick.or(self.observed.replay.as_ref().map(|_| 0));
            }
        }
    }

    fn step_back(&mut self) {
        let (Some(moment), Some(oldest)) = (&self.moment, self.past.oldest()) else { return };
        match moment.tick.checked_sub(1).filter(|tick| *tick >= oldest) {
            Some(tick) => {
                self.paused = Some(tick);
                self.renew();
            }
            None => {
                self.paused = Some(moment.tick);
                self.message = Some("this is the oldest interval that is kept".to_owned());
            }
        }
    }

    fn step_forward(&mut self) -> Option<Effect> {
        let tick = self.paused?;
        if tick + 1 < self.next {
            self.paused = Some(tick + 1);
            self.renew();
        } else if self.observed.replay.is_some() && self.over.is_none() {
            return Some(Effect::Next);
        } else {
            self.message = Some("this is the newest interval; Space goes on".to_owned());
        }
        None
    }

    /// Takes the next report of a recording, and stands at it.
    pub fn stand_at_newest(&mut self) {
        if self.paused.is_some() {
            self.paused = self.next.checked_sub(1);
            self.renew();
        }
    }

    fn another_interval(&mut self, by: isize) -> Option<Effect> {
        let now = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        let beside = match by {
            1 => INTERVALS.iter().find(|one| **one > now),
            _ => INTERVALS.iter().rev().find(|one| **one < now),
        };
        let interval = Duration::from_millis(*beside?);
        self.interval = interval;
        Some(Effect::Interval(interval))
    }

    fn fix(&mut self, effect: fn(String, u16) -> Effect) -> Option<Effect> {
        let row = self.row()?;
        let Some(fix) = fix::of(&row.listener, &row.address()) else {
            self.message =
                Some("nothing is wrong with this listener, so there is no fix".to_owned());
            return None;
        };
        Some(effect(fix, row.listener.port))
    }
}
