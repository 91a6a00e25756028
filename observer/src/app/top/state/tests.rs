use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::*;
use crate::app::{
    render::table::fixtures::{herd, incident, listener, report},
    top::known::FINDING_STAYS,
};
use observer::{Ended, model::WindowKind};

fn observed(replay: bool) -> Observed {
    Observed {
        replay: replay.then(|| "a recording".to_owned()),
        waits: "no TCP listener was found yet; waiting for one".to_owned(),
        remark: None,
    }
}

fn state(reports: &[Report]) -> State {
    let mut state = State::new(observed(false), Duration::from_secs(1), false, true);
    for report in reports {
        take(&mut state, report);
    }
    state
}

fn take(state: &mut State, report: &Report) {
    let mut report = report.clone();
    (report.window.seconds, report.window.kind) = (1.0, WindowKind::Interval);
    assert!(state.take(&Update::Report(Box::new(report))));
}

fn press(state: &mut State, code: KeyCode) -> Option<Effect> {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn types(state: &mut State, text: &str) {
    for letter in text.chars() {
        assert_eq!(press(state, KeyCode::Char(letter)), None);
    }
}

fn port(state: &State) -> Option<u16> {
    state.row().map(|row| row.listener.port)
}

#[test]
fn who_chooses_nothing_looks_at_the_worst() {
    let mut state = state(&[herd(32)]);
    assert_eq!(port(&state), Some(8080));
    // Something worse comes.
    take(&mut state, &incident());
    assert_eq!(port(&state), Some(443));
}

#[test]
fn the_choice_sticks_to_the_listener_and_not_to_its_place() {
    let mut state = state(&[herd(32)]);
    press(&mut state, KeyCode::Down);
    assert_eq!((port(&state), state.position()), (Some(8080), 0));
    take(&mut state, &incident());
    assert_eq!((port(&state), state.position()), (Some(8080), 1));
    press(&mut state, KeyCode::Up);
    assert_eq!(port(&state), Some(443));
    press(&mut state, KeyCode::End);
    let last = state.moment.as_ref().map(|moment| moment.rows.len() - 1);
    assert_eq!(Some(state.position()), last);
    press(&mut state, KeyCode::Home);
    assert_eq!(state.position(), 0);
}

#[test]
fn a_listener_that_dies_under_the_cursor_leaves_its_neighbour() {
    let mut gone = incident();
    let mut state = state(&[gone.clone()]);
    press(&mut state, KeyCode::Down);
    assert_eq!(port(&state), Some(8080));
    let dies = gone.listeners.iter_mut().find(|one| one.port == 8080).expect("the herd");
    dies.closed = true;
    take(&mut state, &gone);
    assert_eq!(
        (port(&state), state.row().map(|row| row.listener.closed)),
        (Some(8080), Some(true))
    );
    // It is forgotten after a while; what stands in its place then is chosen.
    gone.listeners.retain(|one| one.port != 8080);
    for _ in 0..61 {
        take(&mut state, &gone);
    }
    assert!(port(&state).is_some_and(|port| port != 8080));
}

#[test]
fn the_screen_stands_still_while_it_is_paused_and_steps_back() {
    let one = |accepted| {
        let mut report = herd(8);
        report.listeners[0].accepted = Some(accepted);
        report
    };
    let mut state = state(&[one(1), one(2), one(3)]);
    let accepted = |state: &State| state.row().and_then(|row| row.listener.accepted);
    assert_eq!(press(&mut state, KeyCode::Char(' ')), None);
    take(&mut state, &one(4));
    assert_eq!((accepted(&state), state.behind()), (Some(3), 1));
    press(&mut state, KeyCode::Left);
    press(&mut state, KeyCode::Left);
    assert_eq!((accepted(&state), state.behind()), (Some(1), 3));
    press(&mut state, KeyCode::Left);
    assert_eq!(accepted(&state), Some(1));
    assert!(state.message.as_ref().is_some_and(|words| words.contains("oldest")));
    for expected in [2, 3, 4, 4] {
        press(&mut state, KeyCode::Right);
        assert_eq!(accepted(&state), Some(expected));
    }
    press(&mut state, KeyCode::Char(' '));
    take(&mut state, &one(5));
    assert_eq!((accepted(&state), state.paused), (Some(5), None));
}

#[test]
fn a_recording_goes_on_step_by_step() {
    let mut state = State::new(observed(true), Duration::from_secs(1), false, true);
    take(&mut state, &herd(8));
    assert!(!state.holds_replay());
    press(&mut state, KeyCode::Char(' '));
    assert!(state.holds_replay());
    assert_eq!(press(&mut state, KeyCode::Right), Some(Effect::Next));
    take(&mut state, &herd(8));
    state.stand_at_newest();
    assert_eq!((state.paused, state.behind()), (Some(1), 0));
    let ended = Ended { total: Box::new(herd(8)), because: Because::Closed };
    assert!(state.take(&Update::Ended(ended)));
    assert_eq!(state.over.as_deref(), Some("end of the recording"));
    assert_eq!(press(&mut state, KeyCode::Right), None);
    // The total is no interval.
    assert_eq!(state.row().and_then(|row| row.listener.accepted), Some(200));
}

#[test]
fn words_choose_rows_while_they_are_typed() {
    let mut state = state(&[incident()]);
    let rows = |state: &State| state.moment.as_ref().map(|moment| moment.rows.len());
    press(&mut state, KeyCode::Char('/'));
    types(&mut state, "nginxq");
    assert_eq!(rows(&state), Some(0));
    press(&mut state, KeyCode::Backspace);
    assert_eq!((rows(&state), port(&state)), (Some(1), Some(8080)));
    press(&mut state, KeyCode::Enter);
    // Not a letter any more.
    assert_eq!(press(&mut state, KeyCode::Char('q')), Some(Effect::Quit));
    press(&mut state, KeyCode::Esc);
    assert!(rows(&state) > Some(1));
    press(&mut state, KeyCode::Char('/'));
    let quit = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.key(quit), Some(Effect::Quit));
}

#[test]
fn columns_sort_and_turn_round() {
    let mut state = state(&[incident()]);
    let by = |state: &State| (state.by, state.reverse);
    press(&mut state, KeyCode::Char('>'));
    assert_eq!(by(&state), (By::Listener, false));
    assert_eq!(port(&state), Some(22));
    press(&mut state, KeyCode::Char('r'));
    assert_eq!((by(&state), port(&state)), ((By::Listener, true), Some(9000)));
    press(&mut state, KeyCode::Char('<'));
    assert_eq!((by(&state), port(&state)), ((By::Trouble, false), Some(443)));
    press(&mut state, KeyCode::Char('<'));
    assert_eq!(by(&state), (By::Wait, false));
}

#[test]
fn totals_are_of_all_intervals() {
    let mut state = state(&[herd(8), herd(8)]);
    let accepted = |state: &State| state.row().and_then(|row| row.listener.accepted);
    assert_eq!((accepted(&state), state.per()), (Some(200), Some(1.0)));
    press(&mut state, KeyCode::Char('t'));
    assert_eq!((accepted(&state), state.per()), (Some(400), None));
}

#[test]
fn the_fix_is_handed_out_where_there_is_one() {
    let mut state = state(&[herd(32)]);
    let copied = press(&mut state, KeyCode::Char('c'));
    assert!(matches!(&copied, Some(Effect::Copy(fix)) if fix.contains("\nfix: ")), "{copied:?}");
    let written = press(&mut state, KeyCode::Char('w'));
    assert!(matches!(written, Some(Effect::Write(_, 8080))));
    take(&mut state, &report(vec![listener("0.0.0.0", 22)]));
    press(&mut state, KeyCode::End);
    assert_eq!(press(&mut state, KeyCode::Char('c')), None);
    assert!(state.message.as_ref().is_some_and(|words| words.contains("nothing is wrong")));
}

#[test]
fn findings_go_when_nothing_happens_for_long() {
    let mut state = state(&[herd(32)]);
    for _ in 0..FINDING_STAYS / 1_000 - 1 {
        take(&mut state, &report(Vec::new()));
    }
    assert!(state.row().is_some_and(|row| row.severity().is_some()));
    take(&mut state, &report(Vec::new()));
    assert!(state.row().is_some_and(|row| row.severity().is_none()));
}

#[test]
fn intervals_have_their_lengths() {
    let mut state = state(&[herd(8)]);
    let second = Duration::from_secs(1);
    assert_eq!(press(&mut state, KeyCode::Char('+')), Some(Effect::Interval(2 * second)));
    press(&mut state, KeyCode::Char('-'));
    assert_eq!(press(&mut state, KeyCode::Char('-')), Some(Effect::Interval(second / 2)));
    for _ in 0..9 {
        press(&mut state, KeyCode::Char('-'));
    }
    assert_eq!(state.interval, second / 4);
}

#[test]
fn the_mouse_chooses_and_sorts() {
    let mut state = state(&[incident()]);
    state.drawn = Drawn {
        rows: Rect::new(0, 2, 80, 5),
        headings: vec![(Rect::new(3, 1, 8, 1), By::Listener)],
        details: Rect::new(0, 8, 80, 10),
        lines: 40,
        ..Drawn::default()
    };
    let mouse = |state: &mut State, kind, column, row| {
        state.mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    let click = MouseEventKind::Down(MouseButton::Left);
    assert!(mouse(&mut state, click, 5, 3));
    assert_eq!(port(&state), Some(8080));
    assert!(mouse(&mut state, MouseEventKind::ScrollUp, 5, 3));
    assert_eq!(port(&state), Some(443));
    assert!(mouse(&mut state, MouseEventKind::ScrollDown, 5, 9));
    assert_eq!(state.first_line, 3);
    assert!(mouse(&mut state, click, 5, 1));
    assert_eq!((state.by, port(&state)), (By::Listener, Some(22)));
    assert!(!mouse(&mut state, MouseEventKind::Moved, 5, 1));
}

#[test]
fn the_help_scrolls_and_any_other_key_closes_it() {
    let mut state = state(&[herd(8)]);
    press(&mut state, KeyCode::Char('?'));
    state.drawn.help_below = 3;
    press(&mut state, KeyCode::Down);
    assert_eq!(state.help, Some(1));
    press(&mut state, KeyCode::Char('t'));
    assert_eq!((state.help, state.totals), (None, false));
}
