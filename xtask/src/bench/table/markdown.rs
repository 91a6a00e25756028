//! A table as text.

use std::fmt::Write as _;

/// One of them.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: &'static str,
    /// What is to be known before it is read; may be empty.
    pub(super) note: &'static str,
    pub(super) head: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// Markdown whose columns are aligned.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
        lines.extend(self.rows.iter().cloned());
        let columns = 0..self.head.len();
        let width = |column: usize| {
            lines.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<_> = columns.clone().map(width).collect();
        let numbers: Vec<_> =
            columns.map(|column| self.rows.iter().all(|row| is_number(&row[column]))).collect();
        let mut rule = Vec::new();
        for (width, number) in widths.iter().zip(&numbers) {
            rule.push(if *number { "-".repeat(width - 1) + ":" } else { "-".repeat(*width) });
        }
        lines.insert(1, rule);
        let mut text = format!("### {}\n\n", self.title);
        if !self.note.is_empty() {
            text.push_str(self.note);
            text.push_str("\n\n");
        }
        for line in lines {
            text.push('|');
            for ((cell, width), number) in line.iter().zip(&widths).zip(&numbers) {
                // Writing to a string does not fail.
                let _: std::fmt::Result = if *number {
                    write!(text, " {cell:>width$} |")
                } else {
                    write!(text, " {cell:<width$} |")
                };
            }
            text.push('\n');
        }
        text
    }
}

/// Cells that stand to the right.
fn is_number(cell: &str) -> bool {
    cell.chars().all(|sign| sign.is_ascii_digit() || "+-,. %".contains(sign))
}
