//! Axes, lines and bars of a plot.

use super::*;

fn span(seconds: u64) -> Span {
    let start = humantime::parse_rfc3339("2026-01-02T03:04:05Z").expect("a time");
    Span { start, end: start + std::time::Duration::from_secs(seconds) }
}

fn question(values: Vec<Option<f64>>, level: Option<f64>) -> Question<'static> {
    Question {
        title: "x",
        mark: "~",
        curves: vec![Curve { name: "", class: "a", values, bars: false }],
        format: |value| format!("{value}"),
        level: level.map(|level| (level, "limit".to_owned())),
        least: 1.0,
    }
}

#[test]
fn axes_have_round_ticks() {
    for (least, step) in [(0.3, 0.5), (1.0, 1.0), (1.1, 2.0), (33.0, 50.0), (700.0, 1000.0)] {
        assert!((nice_step(least) - step).abs() < 1e-9, "{least}: {}", nice_step(least));
    }
    let texts = |seconds| {
        let ticks = span(seconds).ticks();
        assert!((1..=5).contains(&ticks.len()), "{seconds}: {ticks:?}");
        ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(10), ["03:04:05", "03:04:10", "03:04:15"]);
    assert_eq!(texts(3_600), ["03:15", "03:30", "03:45", "04:00"]);
    for seconds in [1, 2, 59, 100_000, 10_000_000, 3_000_000_000] {
        let _bounded = texts(seconds);
    }
}

#[test]
fn ticks_are_brief() {
    let of = ["50.0", "0.50", "100", "2.0 ms", "10 µs", "0 ns", "0", "1.00"].map(brief);
    assert_eq!(of, ["50", "0.5", "100", "2 ms", "10 µs", "0", "0", "1"]);
}

#[test]
fn gaps_break_the_line_and_a_lonely_point_is_a_dot() {
    let values = vec![Some(1.0), Some(2.0), None, Some(4.0), None];
    let plot = plot(&question(values, None), span(10)).expect("values");
    assert_eq!(plot.lines[0].path.matches('M').count(), 2);
    assert_eq!(plot.lines[0].path.matches('L').count(), 1);
    assert_eq!((plot.lines[0].dots.len(), plot.hits.len()), (1, 3));
    assert_eq!(plot.hits[0].text, "03:04:06 · ~1");
    assert_eq!(plot.ys.last().map(|tick| tick.text.as_str()), Some("4"));
}

#[test]
fn a_limit_is_a_line_where_it_is_near() {
    let of = |level| plot(&question(vec![Some(100.0)], Some(level)), span(10)).expect("values");
    assert!(of(128.0).level.is_some() && of(128.0).beyond.is_none());
    assert!(of(511.0).level.is_none() && of(511.0).beyond.as_deref() == Some("limit"));
}

#[test]
fn nothing_and_nonsense_draw_nothing_wrong() {
    assert!(plot(&question(vec![None, None], None), span(10)).is_none());
    assert!(plot(&question(Vec::new(), None), span(10)).is_none());
    for value in [f64::INFINITY, f64::NAN, f64::MAX, 1e-300, 0.0] {
        if let Some(plot) = plot(&question(vec![Some(value), Some(1.0)], None), span(10)) {
            assert!(!plot.lines[0].path.contains("NaN") && plot.ys.len() < 10);
        }
    }
}
