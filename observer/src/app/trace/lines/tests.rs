use observer::model::{LostReason, What};

use super::Lines;
use crate::app::{
    render::text,
    trace::fixtures::{event, herd, task, woken},
};

fn all() -> Vec<(u64, What)> {
    let mut all = herd();
    let client = || Some("[2001:db8:85a3::8a2e:370:7334]:51234".to_owned());
    let reason = "accept_queue_full_syn".to_owned();
    all.extend([
        (901_000_000, What::Dropped { client: client(), reason }),
        (902_000_000, woken(None, 4242)),
        (903_000_000, What::Listening { task: task(4240), backlog: 511 }),
        (904_000_000, What::Closed { task: task(4240), backlog: 511 }),
        (905_000_000, What::Lost { count: 37, reason: LostReason::BufferFull, kinds: None }),
        (
            906_000_000,
            What::Lost {
                count: 1_234,
                reason: LostReason::RateLimit,
                kinds: Some([("woken".to_owned(), 1_200), ("silent".to_owned(), 34)].into()),
            },
        ),
    ]);
    all
}

fn shown(width: Option<usize>, colour: bool) -> String {
    let mut lines = Lines::new(width);
    let mut shown = vec![lines.heading().paint(lines.width(), colour)];
    for (at, what) in all() {
        shown.push(lines.line(&event(at, what), at).paint(lines.width(), colour));
    }
    shown.join("\n")
}

#[test]
fn lines_have_what_fits() {
    for width in [50, 80, 120] {
        let shown = shown(Some(width), false);
        let widest = shown.lines().map(text::width).max();
        assert!(widest <= Some(width), "{widest:?} in {width}:\n{shown}");
        insta::assert_snapshot!(format!("lines_at_{width}"), shown);
    }
    insta::assert_snapshot!("lines_in_a_pipe", shown(None, false));
}

#[test]
fn colour_only_adds_codes() {
    let (plain, coloured) = (shown(Some(80), false), shown(Some(80), true));
    assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'));
    let codes = without_codes(&coloured);
    assert_eq!(codes, plain);
}

/// Without escape codes.
fn without_codes(text: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for c in text.chars() {
        match (inside, c) {
            (false, '\u{1b}') => inside = true,
            (true, 'm') => inside = false,
            (true, _) => {}
            (false, c) => plain.push(c),
        }
    }
    plain
}

#[test]
fn names_cannot_write_to_the_terminal() {
    let mut lines = Lines::new(Some(80));
    let mut bad = task(7);
    bad.comm = "a\u{1b}[2J\nb".to_owned();
    let line = lines.line(&event(0, What::Silent { task: bad }), 0).paint(80, false);
    assert!(line.contains("a?[2J?b 7") && !line.contains('\u{1b}'), "{line:?}");
}
