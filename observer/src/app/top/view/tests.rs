use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Color};

use super::*;
use crate::app::{
    render::table::fixtures::{all, herd, hostile, incident, many, report},
    top::state::{Observed, State},
};
use observer::{Update, model::Report};

/// Sizes that people have, and that nobody should have.
const SIZES: [(u16, u16); 12] = [
    (80, 24),
    (200, 50),
    (60, 15),
    (120, 40),
    (140, 12),
    (36, 6),
    (37, 13),
    (35, 6),
    (20, 3),
    (1, 1),
    (500, 200),
    (80, 7),
];

fn state(reports: &[Report], colour: bool) -> State {
    let observed = Observed {
        replay: None,
        waits: "no listener matches --port 8080 yet; waiting for one".to_owned(),
        remark: Some("a remark".to_owned()),
    };
    let mut state = State::new(observed, Duration::from_secs(1), colour, true);
    for report in reports {
        state.take(&Update::Report(Box::new(report.clone())));
    }
    state
}

fn drawn(state: &mut State, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    let frame = |frame: &mut Frame<'_>| state.drawn = draw(frame, state);
    terminal.draw(frame).expect("drawn").buffer.clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let letters: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let lines = letters.chunks(width).map(|line| line.concat().trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

fn press(state: &mut State, code: KeyCode) {
    let _effect = state.key(KeyEvent::new(code, KeyModifiers::NONE));
}

#[test]
fn nothing_is_too_large_too_small_or_too_strange_to_be_drawn() {
    for report in all() {
        for size in SIZES {
            let mut state = state(&[report.clone(), incident(), report.clone()], true);
            for key in [
                KeyCode::Null,
                KeyCode::End,
                KeyCode::Enter,
                KeyCode::PageDown,
                KeyCode::Char('t'),
                KeyCode::Tab,
                KeyCode::Char('?'),
                KeyCode::Down,
                KeyCode::Char('/'),
                KeyCode::Char('x'),
                KeyCode::Esc,
                KeyCode::Left,
            ] {
                press(&mut state, key);
                drawn(&mut state, size);
            }
        }
    }
}

#[test]
fn what_is_wrong_and_its_fix_are_on_a_small_screen() {
    let mut state = state(&[many(300), herd(32)], false);
    for size in [(80, 24), (200, 50)] {
        let text = text(&drawn(&mut state, size));
        let second = text.lines().nth(2).unwrap_or_default();
        assert!(second.starts_with("!  127.0.0.1:8080"), "{text}");
        assert!(text.contains("warning: thundering herd: 32.00 wakeups"), "{text}");
        assert!(text.contains("fix: Use EPOLLEXCLUSIVE"), "{text}");
    }
}

#[test]
fn no_colour_is_none_and_colour_is_one_of_sixteen_without_background() {
    for colour in [false, true] {
        let mut state = state(&[incident()], colour);
        let buffer = drawn(&mut state, (200, 50));
        let mut colours: Vec<Color> = buffer.content().iter().map(|cell| cell.fg).collect();
        assert!(buffer.content().iter().all(|cell| cell.bg == Color::Reset));
        colours.retain(|one| *one != Color::Reset);
        assert_eq!(colours.is_empty(), !colour);
        let named = |one: &Color| !matches!(one, Color::Rgb(..) | Color::Indexed(_));
        assert!(colours.iter().all(named));
        // White and black are the background of somebody.
        assert!(!colours.contains(&Color::White) && !colours.contains(&Color::Black));
    }
}

#[test]
fn names_reach_no_terminal_as_they_are() {
    let mut state = state(&[hostile()], true);
    press(&mut state, KeyCode::Enter);
    let text = text(&drawn(&mut state, (200, 90)));
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn an_empty_screen_says_what_it_waits_for() {
    let mut before = state(&[], false);
    assert!(text(&drawn(&mut before, (80, 24))).contains("the first numbers come after 1.0 s"));
    let mut none = state(&[report(Vec::new())], false);
    assert!(text(&drawn(&mut none, (80, 24))).contains("no listener matches --port 8080 yet"));
    let mut filtered = state(&[incident()], false);
    press(&mut filtered, KeyCode::Char('/'));
    press(&mut filtered, KeyCode::Char('#'));
    assert!(
        text(&drawn(&mut filtered, (80, 24))).contains("rows has the words \"#\"; Esc shows all")
    );
}

#[test]
fn a_tiny_window_asks_for_more() {
    let mut state = state(&[incident()], false);
    assert!(text(&drawn(&mut state, (30, 5))).contains("enlarge to 36x6 (now 30x5)"));
}

#[test]
fn the_cursor_stays_on_the_screen() {
    let mut state = state(&[many(300)], false);
    for key in [KeyCode::End, KeyCode::PageUp, KeyCode::Up, KeyCode::Home, KeyCode::Down] {
        press(&mut state, key);
        let buffer = drawn(&mut state, (80, 24));
        let row = state.row().map(|row| row.address().whole()).unwrap_or_default();
        assert!(text(&buffer).contains(&format!(" {row} ")), "{row}");
        let chosen = buffer
            .content()
            .iter()
            .filter(|cell| cell.modifier.contains(ratatui::style::Modifier::REVERSED));
        // A row, and the mode in the heading.
        assert!(chosen.count() >= 80, "{key:?}");
    }
}

#[test]
fn the_help_is_whole_on_a_small_screen() {
    let mut state = state(&[incident()], false);
    press(&mut state, KeyCode::Char('?'));
    let text = text(&drawn(&mut state, (80, 24)));
    for binding in crate::app::top::keys::BINDINGS {
        assert!(text.contains(binding.keys) && text.contains(binding.does), "{text}");
    }
    assert!(text.contains("an estimate; not known"), "{text}");
}
