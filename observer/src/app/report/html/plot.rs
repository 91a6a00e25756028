//! Geometry of a plot over time. Pure.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use observer::units;
use serde::Serialize;

/// Size of a plot, in the units of its drawing.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 150.0;
/// Room around the field in which the lines are: left, right, top, bottom.
const ROOM: [f64; 4] = [46.0, 10.0, 10.0, 22.0];

/// Time that is plotted.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: SystemTime,
    pub end: SystemTime,
}

/// Line of a plot.
pub struct Curve<'a> {
    /// Name in the legend; empty where the title says it.
    pub name: &'a str,
    /// Class of the line in the style sheet: `a` or `b`.
    pub class: &'a str,
    /// Values in equal distances; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
    /// Whether it is drawn as bars.
    pub bars: bool,
}

/// What is to be plotted.
pub struct Question<'a> {
    pub title: &'a str,
    /// Mark of an estimate, or nothing.
    pub mark: &'a str,
    pub curves: Vec<Curve<'a>>,
    /// Value with its unit.
    pub format: fn(f64) -> String,
    /// Line across, with its name: a limit, or what is best.
    pub level: Option<(f64, String)>,
    /// Least greatest value of the axis.
    pub least: f64,
}

/// A plot, as the page draws it. All numbers are texts, so that the page rounds none.
#[derive(Debug, Serialize)]
pub struct Plot {
    title: String,
    mark: String,
    /// Greatest value in words: what a reader without eyes for lines gets.
    summary: String,
    lines: Vec<DrawnLine>,
    bars: Vec<Bar>,
    ys: Vec<Tick>,
    xs: Vec<Tick>,
    hits: Vec<Hit>,
    level: Option<Level>,
    /// Whether all values are zero.
    is_nothing: bool,
    /// A level that is beyond the axis, in words.
    beyond: Option<String>,
}

#[derive(Debug, Serialize)]
struct DrawnLine {
    name: String,
    class: String,
    path: String,
    /// Points without a neighbour, which no line would show.
    dots: Vec<[String; 2]>,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: String,
    y: String,
    width: String,
    height: String,
}

#[derive(Debug, Serialize)]
struct Tick {
    at: String,
    text: String,
}

/// Stripe of one point, which shows its values where the pointer is.
#[derive(Debug, Serialize)]
struct Hit {
    x: String,
    middle: String,
    width: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct Level {
    y: String,
    text: String,
}

/// Draws it; `None` where no value is known.
pub fn plot(question: &Question<'_>, span: Span) -> Option<Plot> {
    let count = question.curves.iter().map(|curve| curve.values.len()).max()?;
    let values = || question.curves.iter().flat_map(|curve| &curve.values).flatten().copied();
    let greatest = values().filter(|value| value.is_finite()).reduce(f64::max)?;
    // A limit far above all values would press them to the ground.
    let level = question.level.as_ref();
    let shown = level.filter(|(level, _)| *level <= greatest.max(question.least) * 4.0);
    let top = shown.map_or(greatest, |(level, _)| greatest.max(level * 1.05)).max(question.least);
    let step = nice_step(top / 3.0);
    let top = (top / step).ceil() * step;
    let field = Field { top, count };
    let name = |curve: &Curve<'_>, value: f64| match curve.name {
        "" => (question.format)(value),
        name => format!("{name} {}", (question.format)(value)),
    };
    let hit = |index: usize| {
        let told: Vec<String> = question
            .curves
            .iter()
            .filter_map(|curve| Some(name(curve, (*curve.values.get(index)?)?)))
            .collect();
        (!told.is_empty()).then(|| Hit {
            x: number(field.left(index)),
            middle: number(field.x(index)),
            width: number(field.width()),
            text: format!(
                "{} · {}{}",
                clock(span.time(index, count)),
                question.mark,
                told.join(", ")
            ),
        })
    };
    Some(Plot {
        title: question.title.to_owned(),
        mark: question.mark.to_owned(),
        is_nothing: greatest <= 0.0,
        summary: format!("at most {}{}", question.mark, (question.format)(greatest)),
        lines: question.curves.iter().filter(|one| !one.bars).map(|one| field.line(one)).collect(),
        bars: question
            .curves
            .iter()
            .filter(|one| one.bars)
            .flat_map(|one| field.bars(one))
            .collect(),
        ys: ticks(top, step)
            .map(|value| Tick {
                at: number(field.y(value)),
                text: brief(&(question.format)(value)),
            })
            .collect(),
        xs: span.ticks(),
        hits: (0..count).filter_map(hit).collect(),
        level: shown.map(|(level, text)| Level { y: number(field.y(*level)), text: text.clone() }),
        beyond: level.filter(|_| shown.is_none()).map(|(_, text)| text.clone()),
    })
}

/// Where values are drawn.
struct Field {
    top: f64,
    count: usize,
}

impl Field {
    #[expect(clippy::cast_precision_loss, reason = "some hundred points")]
    fn width(&self) -> f64 {
        (WIDTH - ROOM[0] - ROOM[1]) / self.count.max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "some hundred points")]
    fn left(&self, index: usize) -> f64 {
        ROOM[0] + self.width() * index as f64
    }

    fn x(&self, index: usize) -> f64 {
        self.left(index) + self.width() / 2.0
    }

    fn y(&self, value: f64) -> f64 {
        let part = if self.top > 0.0 { (value / self.top).clamp(0.0, 1.0) } else { 0.0 };
        HEIGHT - ROOM[3] - part * (HEIGHT - ROOM[2] - ROOM[3])
    }

    fn line(&self, curve: &Curve<'_>) -> DrawnLine {
        let mut path = String::new();
        let mut dots = Vec::new();
        let known = |index: Option<usize>| {
            index.and_then(|index| curve.values.get(index).copied().flatten()).is_some()
        };
        for (index, value) in curve.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let (x, y) = (number(self.x(index)), number(self.y(*value)));
            let begins = !known(index.checked_sub(1));
            // Writing to a string does not fail.
            let _: std::fmt::Result = write!(path, "{}{x} {y}", if begins { "M" } else { "L" });
            if begins && !known(Some(index + 1)) {
                dots.push([x, y]);
            }
        }
        DrawnLine { name: curve.name.to_owned(), class: curve.class.to_owned(), path, dots }
    }

    fn bars(&self, curve: &Curve<'_>) -> Vec<Bar> {
        let base = self.y(0.0);
        let bar = |(index, value): (usize, &Option<f64>)| {
            let value = value.filter(|value| *value > 0.0)?;
            let width = (self.width() - 1.0).clamp(1.0, 24.0);
            let height = (base - self.y(value)).max(1.0);
            Some(Bar {
                x: number(self.x(index) - width / 2.0),
                y: number(base - height),
                width: number(width),
                height: number(height),
            })
        };
        curve.values.iter().enumerate().filter_map(bar).collect()
    }
}

impl Span {
    /// Time of the middle of a point.
    #[expect(clippy::cast_precision_loss, reason = "some hundred points")]
    fn time(self, index: usize, count: usize) -> SystemTime {
        let length = self.end.duration_since(self.start).unwrap_or_default();
        self.start + length.mul_f64((index as f64 + 0.5) / count.max(1) as f64)
    }

    /// Round times, four at most.
    fn ticks(self) -> Vec<Tick> {
        const STEPS: [u64; 20] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600,
            43_200, 86_400, 172_800, 604_800,
        ];
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (start, end) = (since(self.start), since(self.end));
        let length = end.saturating_sub(start).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "weeks in seconds")]
        let fits = |step: &u64| length / *step as f64 <= 4.0;
        let step = STEPS.iter().copied().find(fits).unwrap_or_else(|| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "years in seconds"
            )]
            let step = (length / 4.0) as u64;
            step.max(1)
        });
        let first = start.as_secs().div_ceil(step) * step;
        (0..8)
            .map(|index| first + index * step)
            .take_while(|at| *at <= end.as_secs())
            .map(|at| {
                let time = std::time::Duration::from_secs(at);
                let part = time.saturating_sub(start).as_secs_f64() / length.max(1e-9);
                let x = ROOM[0] + part.clamp(0.0, 1.0) * (WIDTH - ROOM[0] - ROOM[1]);
                let text = clock(UNIX_EPOCH + time);
                // Whole minutes need no seconds.
                let text = if step >= 60 { text.chars().take(5).collect() } else { text };
                Tick { at: number(x), text }
            })
            .collect()
    }
}

/// `03:04:05`.
pub fn clock(time: SystemTime) -> String {
    units::rfc3339(time).and_then(|text| Some(text.get(11..19)?.to_owned())).unwrap_or_default()
}

/// The least of 1, 2 and 5 times a power of ten that is not below.
fn nice_step(least: f64) -> f64 {
    if !(least.is_finite() && least > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|one| one * power).find(|step| *step >= least);
    step.unwrap_or(least)
}

/// Zero, and each step up to the top.
fn ticks(top: f64, step: f64) -> impl Iterator<Item = f64> {
    (0_u8..8)
        .map(move |index| f64::from(index) * step)
        .take_while(move |value| *value <= top * 1.001)
}

/// `50` of `50.0`, `2 ms` of `2.0 ms`: steps are round.
fn brief(text: &str) -> String {
    let (number, unit) = text.split_once(' ').map_or((text, None), |(a, b)| (a, Some(b)));
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    match unit {
        _ if number == "0" => "0".to_owned(),
        Some(unit) => format!("{number} {unit}"),
        None => number.to_owned(),
    }
}

/// A coordinate, to a tenth.
fn number(value: f64) -> String {
    format!("{:.1}", if value.is_finite() { value } else { 0.0 })
}

#[cfg(test)]
mod tests;
