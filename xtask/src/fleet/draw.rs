//! A picture of the dashboard: its panels at their places, drawn from what Prometheus answered to their queries. Grafana
//! draws it in its own way; what is shown is the same. Pure.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Size of a cell of Grafana's grid of 24 columns, and of the text.
const CELL: (f64, f64) = (50.0, 30.0);
const MARGIN: f64 = 6.0;

/// Colours of series, told apart by those who see fewer colours too (Okabe and Ito).
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666"];

/// Names of series that a panel has room for.
const NAMES: usize = 4;

/// Width of the words that say how many more there are.
const MORE: f64 = 70.0;

/// A series that is drawn.
struct Line {
    name: String,
    samples: Vec<(f64, f64)>,
}

/// The place of a panel on the picture.
#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The picture, as SVG.
pub(super) fn picture(dashboard: &Value, kept: &Value) -> Result<String> {
    let panels = dashboard["panels"].as_array().context("panels")?;
    let bottom = |panel: &Value| number(&panel["gridPos"]["y"]) + number(&panel["gridPos"]["h"]);
    let height = panels.iter().map(bottom).fold(0.0, f64::max) * CELL.1;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {height}\" width=\"{0}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#f4f5f5\"/>\n",
        24.0 * CELL.0
    );
    let window = (number(&kept["window"][0]), number(&kept["window"][1]));
    for panel in panels {
        let place = &panel["gridPos"];
        let area = Area {
            x: number(&place["x"]) * CELL.0,
            y: number(&place["y"]) * CELL.1,
            width: number(&place["w"]) * CELL.0,
            height: number(&place["h"]) * CELL.1,
        };
        let title = panel["title"].as_str().unwrap_or_default();
        if panel["type"] == "row" {
            text(&mut svg, (area.x + MARGIN, area.y + 20.0), title, "font-weight=\"bold\"");
            continue;
        }
        writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#fff\" stroke=\"#ddd\"/>",
            area.x + 2.0,
            area.y + 2.0,
            area.width - 4.0,
            area.height - 4.0
        )?;
        text(&mut svg, (area.x + MARGIN, area.y + 16.0), title, "font-weight=\"bold\"");
        let lines = lines(panel, kept)?;
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        match panel["type"].as_str() {
            Some("stat") => stat(&mut svg, area, &lines, unit),
            Some("table") => table(&mut svg, area, &lines),
            Some("heatmap") => heatmap(&mut svg, area, &lines, window),
            _ => graph(&mut svg, area, &lines, unit, window),
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// What the queries of a panel answered.
fn lines(panel: &Value, kept: &Value) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let answers = kept["answers"].as_array().context("answers")?;
    for answer in answers.iter().filter(|answer| answer["panel"] == panel["id"]) {
        let legend = answer["legend"].as_str().unwrap_or_default();
        for series in answer["series"].as_array().into_iter().flatten() {
            let samples = series["samples"].as_array().into_iter().flatten();
            // A value that is no number is none: nothing divided by nothing.
            let samples = samples.filter_map(|one| Some((one[0].as_f64()?, one[1].as_f64()?)));
            lines.push(Line { name: named(legend, &series["labels"]), samples: samples.collect() });
        }
    }
    Ok(lines)
}

/// A legend with the series' labels in their places.
fn named(legend: &str, labels: &Value) -> String {
    let mut name = legend.to_owned();
    for (label, value) in labels.as_object().into_iter().flatten() {
        name = name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap_or_default());
    }
    name
}

fn stat(svg: &mut String, area: Area, lines: &[Line], unit: &str) {
    let value = lines.first().and_then(|line| line.samples.last());
    let shown = value.map_or_else(|| "no data".to_owned(), |(_, value)| amount(*value, unit));
    let middle = (area.x + area.width / 2.0, area.y + area.height / 2.0 + 18.0);
    text(svg, middle, &shown, "font-size=\"28\" text-anchor=\"middle\"");
}

fn table(svg: &mut String, area: Area, lines: &[Line]) {
    for (index, line) in lines.iter().enumerate() {
        let y = area.y + 38.0 + 17.0 * index as f64;
        if y > area.y + area.height - MARGIN {
            break;
        }
        let value = line.samples.last().map_or(0.0, |(_, value)| *value);
        text(svg, (area.x + MARGIN, y), &line.name, "");
        let right = (area.x + area.width - 2.0 * MARGIN, y);
        text(svg, right, &amount(value, ""), "text-anchor=\"end\"");
    }
}

/// The part of a panel that is drawn on.
fn inner(area: Area) -> Area {
    Area {
        x: area.x + 48.0,
        y: area.y + 26.0,
        width: area.width - 58.0,
        height: area.height - 52.0,
    }
}

fn graph(svg: &mut String, area: Area, lines: &[Line], unit: &str, window: (f64, f64)) {
    let inner = inner(area);
    let values = || lines.iter().flat_map(|line| line.samples.iter().map(|(_, value)| *value));
    let most = values().fold(0.0, f64::max);
    let least = values().fold(0.0, f64::min);
    let span = if most > least { most - least } else { 1.0 };
    let at = |(time, value): (f64, f64)| {
        (
            inner.x + inner.width * (time - window.0) / (window.1 - window.0).max(1.0),
            inner.y + inner.height * (1.0 - (value - least) / span),
        )
    };
    for value in [least, least + span / 2.0, least + span] {
        let (_, y) = at((window.0, value));
        let end = inner.x + inner.width;
        let _: std::fmt::Result = writeln!(
            svg,
            "<path d=\"M{:.1} {y:.1}H{end:.1}\" stroke=\"#eee\" fill=\"none\"/>",
            inner.x
        );
        let left = (inner.x - 4.0, y + 4.0);
        text(svg, left, &amount(value, unit), "text-anchor=\"end\" font-size=\"10\" fill=\"#555\"");
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<_> = line.samples.iter().map(|sample| at(*sample)).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let _: std::fmt::Result = writeln!(
            svg,
            "<path d=\"M{}\" stroke=\"{colour}\" stroke-width=\"1.5\" fill=\"none\"/>",
            path.join("L")
        );
    }
    names(svg, area, lines);
}

/// Names of the series, beside each other below them.
fn names(svg: &mut String, area: Area, lines: &[Line]) {
    let mut x = area.x + MARGIN;
    let y = area.y + area.height - 10.0;
    for (index, line) in lines.iter().enumerate() {
        let width = 22.0 + 6.2 * line.name.chars().count() as f64;
        let is_last = index + 1 == lines.len();
        let room = if is_last { 0.0 } else { MORE };
        if index == NAMES || x + width + room > area.x + area.width {
            text(svg, (x, y), &format!("and {} more", lines.len() - index), "fill=\"#555\"");
            break;
        }
        let colour = COLOURS[index % COLOURS.len()];
        let _: std::fmt::Result = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"3\" fill=\"{colour}\"/>",
            y - 5.0
        );
        text(svg, (x + 13.0, y), &line.name, "");
        x += width;
    }
}

/// A row for each bucket, the smallest at the bottom: the darker, the more.
fn heatmap(svg: &mut String, area: Area, lines: &[Line], window: (f64, f64)) {
    let mut buckets: Vec<_> =
        lines.iter().map(|line| (line.name.parse().unwrap_or(f64::INFINITY), line)).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    // Buckets are cumulative: what a row has is what it has more than the one below it.
    let mut below: Vec<(f64, f64)> = Vec::new();
    let mut rows = Vec::new();
    for (_, line) in &buckets {
        let under = |time: f64| below.iter().find(|one| one.0 == time).map_or(0.0, |one| one.1);
        let row: Vec<_> =
            line.samples.iter().map(|(at, value)| (*at, value - under(*at))).collect();
        rows.push((line.name.as_str(), row));
        below.clone_from(&line.samples);
    }
    while rows.last().is_some_and(|(_, row)| row.iter().all(|(_, value)| *value < 0.5)) {
        rows.pop();
    }
    let most = rows.iter().flat_map(|(_, row)| row.iter().map(|(_, one)| *one)).fold(1.0, f64::max);
    let inner = inner(area);
    let height = inner.height / rows.len().max(1) as f64;
    for (index, (name, row)) in rows.iter().enumerate() {
        let y = inner.y + inner.height - height * (index + 1) as f64;
        let left = (inner.x - 4.0, y + height / 2.0 + 4.0);
        text(svg, left, &format!("≤ {name}"), "text-anchor=\"end\" font-size=\"10\" fill=\"#555\"");
        let width = inner.width / row.len().max(1) as f64;
        for (time, value) in row.iter().filter(|(_, value)| *value >= 0.5) {
            let x = inner.x + (inner.width - width) * (time - window.0) / (window.1 - window.0);
            // Of a few among many something is seen too.
            let shade = 0.15 + 0.85 * (1.0 + value).ln() / (1.0 + most).ln();
            let _: std::fmt::Result = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 fill=\"#d55e00\" fill-opacity=\"{shade:.2}\"/>"
            );
        }
    }
}

/// A value as it is read.
fn amount(value: f64, unit: &str) -> String {
    let (value, suffix) = match unit {
        "percentunit" => (value * 100.0, " %"),
        "bytes" => (value / 1024.0 / 1024.0, " MiB"),
        "s" if value < 1.0 => (value * 1000.0, " ms"),
        "s" => (value, " s"),
        "cps" | "ops" => (value, "/s"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        one if one >= 100.0 || one.fract() == 0.0 => 0,
        one if one >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{suffix}")
}

fn text(svg: &mut String, (x, y): (f64, f64), words: &str, more: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string does not fail.
    let _: std::fmt::Result =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {more}>{words}</text>");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{amount, named, picture};

    #[test]
    fn values_are_shown_in_their_units() {
        assert_eq!(amount(1.25, "percentunit"), "125 %");
        assert_eq!(amount(0.0042, "s"), "4.20 ms");
        assert_eq!(amount(33.333, "cps"), "33.3/s");
        assert_eq!(amount(2.0, ""), "2");
    }

    #[test]
    fn legends_have_the_labels() {
        let labels = json!({"process": "web", "port": "80"});
        assert_eq!(named("{{process}}:{{port}} {{other}}", &labels), "web:80 {{other}}");
    }

    #[test]
    fn what_has_no_data_says_so_and_what_has_is_drawn() {
        let panel = |id: u32, kind: &str| {
            json!({"id": id, "type": kind, "title": format!("<{kind}>"),
                   "gridPos": {"x": 0, "y": id, "w": 4, "h": 4}})
        };
        let dashboard = json!({"panels": [panel(1, "stat"), panel(2, "timeseries")]});
        let answer = json!({"panel": 2, "legend": "{{a}}", "series": [
            {"labels": {"a": "first"}, "samples": [[0, 1.0], [10, null], [20, 3.0]]}]});
        let kept = json!({"window": [0, 20], "answers": [answer]});
        let svg = picture(&dashboard, &kept).expect("a picture");
        assert!(svg.contains("no data") && svg.contains("&lt;stat>"), "{svg}");
        // The value that is none is not drawn, neither as 0.
        let path = svg.lines().find(|line| line.contains("stroke=\"#0072b2\"")).expect("a line");
        assert_eq!(path.matches('L').count(), 1, "{path}");
        assert!(svg.contains(">first<"), "{svg}");
    }
}
