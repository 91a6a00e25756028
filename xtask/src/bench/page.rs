//! The page: the template with its numbers put in. Pure.

use anyhow::{Context as _, Result};
use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig, value::Serde};

use super::{stats::grouped, store::Run, summary::summary};

/// All words of the page, and the places of its numbers.
const TEMPLATE: &str = include_str!("cost.md.jinja");

/// Renders what was measured; a table of which there is nothing is left out.
pub(super) fn page(runs: &[Run]) -> Result<String> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().context("the template's syntax")?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // An unknown number leaves its cell empty.
    environment.add_filter("grouped", |value: Option<f64>| value.map(grouped).unwrap_or_default());
    environment.add_filter("fixed", |value: Option<f64>, digits: usize| {
        value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
    });
    environment.add_filter("percent", |value: Option<f64>| {
        value.map(|part| format!("{:.1} %", 100.0 * part)).unwrap_or_default()
    });
    environment.add_filter("cell", |text: &str| text.replace('|', "/"));
    let text = environment.render_str(TEMPLATE, Serde(summary(runs))).context("cost.md.jinja")?;
    Ok(align(&text))
}

/// Makes the columns of all tables as wide as their widest cells.
fn align(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|');
    let blocks = lines.chunk_by(|a, b| is_row(a) == is_row(b));
    blocks
        .map(|block| if is_row(block[0]) { table(block) } else { block.join("\n") + "\n" })
        .collect()
}

/// A table whose second line says which columns stand to the right.
fn table(lines: &[&str]) -> String {
    let cells = |line: &&'_ str| -> Vec<String> {
        let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or(line);
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<_> = lines.iter().map(cells).collect();
    let Some(rule) = rows.get(1) else { return String::new() };
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, (cell, rule)) in row.iter().zip(rule).enumerate() {
            let of_all = rows.iter().enumerate().filter(|(index, _)| *index != 1);
            let widths = of_all.filter_map(|(_, row)| Some(row.get(column)?.chars().count()));
            let width = widths.max().unwrap_or(0).max(3);
            text.push_str(&match (index == 1, rule.ends_with(':')) {
                (true, true) => format!("| {}: ", "-".repeat(width - 1)),
                (true, false) => format!("| {} ", "-".repeat(width)),
                (false, true) => format!("| {cell:>width$} "),
                (false, false) => format!("| {cell:<width$} "),
            });
        }
        text.push_str("|\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::store::tests::sample, *};

    /// Cells of the row that has this one, below a heading.
    fn row(page: &str, heading: &str, cell: &str) -> Vec<String> {
        let section = page.split("### ").find(|part| part.starts_with(heading));
        let section = section.unwrap_or_else(|| panic!("no {heading:?} in:\n{page}"));
        let rows = section.lines().map(|line| line.split('|').map(|cell| cell.trim().to_owned()));
        let rows: Vec<Vec<String>> = rows.map(Iterator::collect).collect();
        let row = rows.iter().find(|row| row.iter().any(|one| one == cell));
        row.unwrap_or_else(|| panic!("no {cell:?} in:\n{section}"))[1..].to_vec()
    }

    #[test]
    fn the_page_says_when_where_and_how() {
        let page = page(&sample()).expect("a page");
        for part in [
            "\n- Measured on 2026-01-02 on A Processor with 2 CPUs, Linux 6.18.1, QEMU emulator version 7.2: \
             instructions in virtual machines, the loop's speed on this machine.\n",
            "\n- Measured on 2026-01-03 on A Processor with 2 CPUs, Linux 6.18.1: what the process needs, load \
             without loss.\n",
            "\nVirtual machines: Linux 6.1.9-cloud, 6.12.9-cloud.\n",
            "\n6 of 10 targets are met.\n",
            "-icount",
        ] {
            assert!(page.contains(part), "no {part:?} in:\n{page}");
        }
    }

    #[test]
    fn what_was_measured_is_said_in_sentences_and_nothing_else() {
        let mut runs = sample();
        let text = page(&runs).expect("a page");
        for sentence in [
            "\nBy the hooks that observer chooses, a connection that wakes eight workers takes 2.0 to 4.0 % more \
             instructions, of which empty programs on the same hooks are 1.0 %.\n",
            "\nBy tracepoints alone, a herd of eight that does nothing but accept makes 8.8 % fewer connections \
             a second on this machine, and 20.0 % fewer beside bpftrace.\n",
        ] {
            assert!(text.contains(sentence), "no {sentence:?} in:\n{text}");
        }
        runs.retain(|run| run.place == "6.12");
        let text = page(&runs).expect("a page");
        assert!(text.contains("takes 4.0 % more") && !text.contains("By tracepoints"), "{text}");
        let text = page(&[]).expect("a page");
        assert!(!text.contains("By the hooks") && !text.contains("By tracepoints"), "{text}");
        assert!(!text.contains("###") && text.contains("0 of 0 targets"), "{text}");
    }

    #[test]
    fn every_kind_of_figure_has_its_table() {
        let page = page(&sample()).expect("a page");
        let instructions = "Instructions for each connection";
        assert_eq!(
            row(&page, instructions, "104,000"),
            [
                "6.12",
                "herd of 8",
                "observer, fentry",
                "104,000",
                "0.2 %",
                "8.00",
                "4,000",
                "4.0 %",
                "3,000",
                "% of none ≤ 3: missed by 1; times the floor ≤ 2: missed by 2",
                "",
            ]
        );
        assert_eq!(
            row(&page, instructions, "100,000")[3..],
            ["100,000", "0.2 %", "8.00", "", "", "", "", "",]
        );
        assert_eq!(
            row(&page, "Connections a second", "observer, tracepoint"),
            [
                "observer, tracepoint",
                "1",
                "912",
                "0.0 %",
                "8.8 % (8.8 % to 8.8 %)",
                "1,096,491",
                "0.0 %",
                "9.6 % (9.6 % to 9.6 %)",
                "8.00",
                "% below the floor ≤ 2: missed by 2.00; of bpftrace's loss ≤ 0.50: met",
                "",
            ]
        );
        assert_eq!(
            row(&page, "Each kernel program", "`waking`"),
            ["6.12", "fentry", "`waking`", "8.00", "250", "2,000", "2022", "9706", "",]
        );
        assert_eq!(
            row(&page, "What the process needs", "binary"),
            ["binary", "7.50", "MiB", "≤ 8: met", ""]
        );
        assert_eq!(
            row(&page, "Growth", "CPU, % of one"),
            [
                "here",
                "CPU, % of one",
                "listeners",
                "10, 100, 1,000",
                "1.00, 11.0, 100",
                "×11.00, ×9.09",
                "linear: 0.100 each",
                "",
            ]
        );
        assert_eq!(
            row(&page, "Load without loss", "many connections"),
            [
                "many connections",
                "1,000,000",
                "999,994",
                "0",
                "6",
                "0",
                "–",
                "8.00, 8.50",
                "lost and not said ≤ 0: met",
                "",
            ]
        );
        assert_eq!(row(&page, "Not measured", "a/b"), ["6.1", "a/b", "c/d", ""]);
        assert_eq!(row(&page, "Not measured", "bpftrace")[0], "virtual machines");
    }

    #[test]
    fn every_line_of_a_table_is_as_wide_as_the_others() {
        let page = page(&sample()).expect("a page");
        for table in page.split("\n\n").filter(|part| part.starts_with('|')) {
            let mut widths: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
            widths.dedup();
            assert_eq!(widths.len(), 1, "{table}");
        }
        assert_eq!(
            align("|a|b|\n|-|-:|\n|–|10|\n"),
            "| a   |   b |\n| --- | --: |\n| –   |  10 |\n"
        );
    }
}
