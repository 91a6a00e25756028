//! Keys and the mouse: what each does, which the help shows too.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The row above, or a line above in the details.
    Up,
    /// The row below.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first row.
    First,
    /// The last row.
    Last,
    /// From the list to its details and back.
    OtherPane,
    /// The details alone, and back.
    Zoom,
    /// Out of what is open: help, details, words.
    Back,
    /// Words that rows must have.
    Filter,
    /// The next column to sort by.
    SortNext,
    /// The column before.
    SortBefore,
    /// The order turned round.
    Reverse,
    /// Rates or totals.
    Totals,
    /// Stand still, or go on.
    Pause,
    /// One interval back.
    StepBack,
    /// One interval forward.
    StepForward,
    /// Longer intervals; a slower replay.
    Longer,
    /// Shorter intervals; a faster replay.
    Shorter,
    /// The help.
    Help,
    /// The fix to the clipboard.
    Copy,
    /// The fix to a file.
    Write,
    /// The mouse to the terminal, or back.
    Mouse,
    /// Draw everything again.
    Redraw,
    /// Stop until the shell wants it to go on.
    Suspend,
    /// The end.
    Quit,
}

/// A line of the help: keys as people call them, and what they do.
pub struct Binding {
    /// The keys.
    pub keys: &'static str,
    /// What they do.
    pub does: &'static str,
}

const fn binding(keys: &'static str, does: &'static str) -> Binding {
    Binding { keys, does }
}

/// What the help shows, in its order.
pub const BINDINGS: &[Binding] = &[
    binding("up down, j k", "choose a listener; its details are beside or beneath"),
    binding("PgUp PgDn, Home End", "a page, the first, the last"),
    binding("Enter", "the details alone, on the whole screen; Esc: back"),
    binding("Tab", "up and down scroll the details, or the list again"),
    binding("/", "only rows with these words: address, process, finding"),
    binding("< >", "sort by the next column (or click it); first: the worst"),
    binding("r", "turn the order round"),
    binding("t", "totals since the start, or rates of the last interval"),
    binding("Space", "pause and go on; what happens meanwhile is kept"),
    binding("left right, h l", "an interval back or forward, of the last minutes"),
    binding("+ -", "longer or shorter intervals; a slower or faster replay"),
    binding("c, w", "copy the fix (OSC 52), or write it to a file here"),
    binding("m", "the mouse selects text, or chooses rows again"),
    binding("Ctrl-L, Ctrl-Z", "draw everything again; suspend, until fg"),
    binding("q, Ctrl-C", "quit; ? or any other key leaves this help"),
];

/// What a key means while nothing is typed.
pub fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('l') => Some(Action::Redraw),
            KeyCode::Char('n') => Some(Action::Down),
            KeyCode::Char('p') => Some(Action::Up),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Up | KeyCode::Char('k') => Action::Up,
        KeyCode::Down | KeyCode::Char('j') => Action::Down,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Tab | KeyCode::BackTab => Action::OtherPane,
        KeyCode::Enter => Action::Zoom,
        KeyCode::Esc => Action::Back,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Char('>' | '.') => Action::SortNext,
        KeyCode::Char('<' | ',') => Action::SortBefore,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('t') => Action::Totals,
        KeyCode::Char(' ' | 'p') => Action::Pause,
        KeyCode::Left | KeyCode::Char('h') => Action::StepBack,
        KeyCode::Right | KeyCode::Char('l') => Action::StepForward,
        KeyCode::Char('+' | '=') => Action::Longer,
        KeyCode::Char('-' | '_') => Action::Shorter,
        KeyCode::Char('?') | KeyCode::F(1) => Action::Help,
        KeyCode::Char('c') => Action::Copy,
        KeyCode::Char('w') => Action::Write,
        KeyCode::Char('m') => Action::Mouse,
        KeyCode::Char('q') => Action::Quit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_help_does_something() {
        let code = |name: &str| match name {
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "PgUp" => KeyCode::PageUp,
            "PgDn" => KeyCode::PageDown,
            "Home" => KeyCode::Home,
            "End" => KeyCode::End,
            "Enter" => KeyCode::Enter,
            "Tab" => KeyCode::Tab,
            "Space" => KeyCode::Char(' '),
            one => KeyCode::Char(one.chars().last().expect("a letter").to_ascii_lowercase()),
        };
        for binding in BINDINGS {
            for name in binding.keys.split([' ', ',']).filter(|name| !name.is_empty()) {
                let modifiers = if name.starts_with("Ctrl-") {
                    KeyModifiers::CONTROL
                } else {
                    KeyModifiers::NONE
                };
                let key = KeyEvent::new(code(name), modifiers);
                assert!(action(key).is_some(), "{name} of {}", binding.keys);
            }
        }
    }

    #[test]
    fn a_key_that_is_let_go_is_none() {
        let mut key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(action(key), Some(Action::Quit));
        key.kind = KeyEventKind::Release;
        assert_eq!(action(key), None);
    }
}
