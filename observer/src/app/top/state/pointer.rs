//! The mouse: a click chooses a row or sorts by a column, and the wheel scrolls what it is upon.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{Pane, State};

/// Lines that one notch of the wheel is worth.
const NOTCH: isize = 3;

impl State {
    /// Takes what the mouse did. Returns whether the screen changes.
    pub fn mouse(&mut self, mouse: MouseEvent) -> bool {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => self.click(at),
            MouseEventKind::ScrollUp => self.wheel(at, -1),
            MouseEventKind::ScrollDown => self.wheel(at, 1),
            _ => return false,
        }
        true
    }

    fn click(&mut self, at: Position) {
        self.message = None;
        if self.help.take().is_some() {
            return;
        }
        let on = |area: Rect| area.contains(at);
        if let Some((_, by)) = self.drawn.headings.iter().find(|(area, _)| on(*area)) {
            self.sort_by(*by);
        } else if on(self.drawn.rows) {
            self.pane = Pane::List;
            let row = self.drawn.first_row + usize::from(at.y - self.drawn.rows.y);
            if self.moment.as_ref().is_some_and(|moment| row < moment.rows.len()) {
                self.choose(row);
            }
        } else if on(self.drawn.details) {
            self.pane = Pane::Details;
        }
    }

    fn wheel(&mut self, at: Position, by: isize) {
        if self.zoomed || self.drawn.details.contains(at) {
            self.scroll_details(by * NOTCH);
        } else if self.drawn.rows.contains(at) {
            self.move_by(by);
        }
    }
}
