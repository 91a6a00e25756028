//! Columns and rows of any table: which columns there is room for, and how wide each is.
//!
//! Laid out here and not by a table crate. What these tables need is that columns leave whole when
//! there is no room, that a number is never cut, that a worker's line has a label across several
//! columns, and that no line is wider than the screen. comfy-table and tabled wrap or cut the cells
//! of any column to make room, numbers included (`12345…`), drop no column, and are wider than
//! asked once each column is down to its least. Deciding columns and widths is thus ours with them
//! too, and what would be left for them is to pad.

use anstyle::Style;

use crate::app::render::{
    cell::{Cell, STRONG},
    line::{Line, indented},
    text,
};

/// From this width on there is room for more than the essential: wider gaps, longer names.
const ROOMY: usize = 120;

/// Below this width there is room for the essential only.
const NARROW: usize = 60;

/// Room beside the columns that a remark takes at least, if it is that long; else it goes beneath.
const REMARK: usize = 30;

/// The most room that a remark takes beside the columns: longer lines are hard to read.
const LONGEST_REMARK: usize = 80;

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// When a column is there at all, however much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Always.
    Always,
    /// Where a cell says anything other than nothing, `0` or `-`.
    WhereSaid,
    /// Where two rows say different things.
    WhereDifferent,
}

/// A column but for its cells: a row in a face's table of columns.
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    /// Its name.
    pub name: &'static str,
    /// Order in which columns get room; equals come together or not at all.
    pub rank: u8,
    /// Which side its cells keep to.
    pub align: Align,
    /// Width to give it before columns of a higher rank get any, if its cells want that much: on a narrow
    /// screen, an ordinary one, a roomy one.
    pub floor: [usize; 3],
    /// Width down to which its cells may be cut: words may, numbers never.
    pub cut: Option<usize>,
    /// When it is there at all.
    pub shown: Shown,
    /// Whether its numbers are estimates.
    pub estimated: bool,
}

impl Heading {
    /// A column of numbers.
    pub const fn numbers(name: &'static str, rank: u8) -> Self {
        let (align, shown) = (Align::Right, Shown::Always);
        Self { name, rank, align, floor: [0; 3], cut: None, shown, estimated: false }
    }

    /// A column of words.
    pub const fn words(name: &'static str, rank: u8, floor: [usize; 3], cut: usize) -> Self {
        let numbers = Self::numbers(name, rank);
        Self { align: Align::Left, floor, cut: Some(cut), ..numbers }
    }

    fn cell(&self) -> Cell {
        Cell::text(&format!("{}{}", if self.estimated { "~" } else { "" }, self.name))
    }
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// A label across the leading columns, which hold no cells of their own then.
    pub label: Option<Cell>,
    /// A cell for each column, or for none.
    pub cells: Vec<Cell>,
    /// The style of cells that have none.
    pub style: Style,
    /// What is said in words of this row: beside it if there is room, else beneath it.
    pub remark: String,
    /// What is said beneath it, across all columns.
    pub beneath: Vec<Line>,
}

/// Columns and rows, before anything is known about room.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    /// The columns from left to right.
    pub headings: Vec<Heading>,
    /// How many of them, from the left, a label runs across.
    pub leading: usize,
    /// Heading of the remarks, where these have room beside the columns.
    pub remarks: &'static str,
    /// The rows from top to bottom.
    pub rows: Vec<Row>,
}

/// What was decided: a width for each column that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// By column; `None` is not shown.
    pub widths: Vec<Option<usize>>,
    gap: usize,
    screen: usize,
}

impl Grid {
    /// Gives room by rank: first what they need to as many columns as fit, then more to each until
    /// its cells have what they would like. Room that nobody asks for stays free.
    pub fn layout(&self, width: usize) -> Layout {
        let gap = if width >= ROOMY { 2 } else { 1 };
        let columns = 0..self.headings.len();
        let needs: Vec<(usize, usize)> =
            columns.clone().map(|column| self.need(column, width)).collect();
        let mut order: Vec<usize> = columns.filter(|column| self.shows(*column)).collect();
        order.sort_by_key(|column| self.headings[*column].rank);

        let mut widths = vec![None; self.headings.len()];
        let mut free = width;
        // The first column names the line: it is there however little room there is.
        if let Some(first) = order.first() {
            let given = needs[*first].0.min(width);
            widths[*first] = Some(given);
            free -= given;
        }
        let others = order.get(1..).unwrap_or_default();
        for group in others.chunk_by(|a, b| self.headings[*a].rank == self.headings[*b].rank) {
            let wanted: usize = group.iter().map(|column| needs[*column].0 + gap).sum();
            if let [column] = group
                && let Some(least) = self.headings[*column].cut
                && (least + gap..wanted).contains(&free)
            {
                widths[*column] = Some(free - gap);
                free = 0;
            } else if wanted <= free {
                for column in group {
                    widths[*column] = Some(needs[*column].0);
                }
                free -= wanted;
            }
        }
        // Exact numbers before whole words.
        order.sort_by_key(|column| self.headings[*column].floor[2] > 0);
        for column in &order {
            if let Some(given) = &mut widths[*column] {
                let more = needs[*column].1.saturating_sub(*given).min(free);
                *given += more;
                free -= more;
            }
        }
        self.widen_for_labels(&mut widths, gap, free);
        Layout { widths, gap, screen: width }
    }

    /// The lines, the headings first.
    pub fn lines(&self, layout: &Layout) -> Vec<Line> {
        let used = span(&layout.widths, layout.gap) + layout.gap;
        let longest = self.rows.iter().map(|row| text::width(&row.remark)).max().unwrap_or(0);
        let room = layout.screen.saturating_sub(used).min(LONGEST_REMARK);
        let beside = (room >= longest.min(REMARK)).then_some((used, room));
        let heading = Row {
            cells: self.headings.iter().map(Heading::cell).collect(),
            style: STRONG,
            remark: beside.map_or("", |_| self.remarks).to_owned(),
            ..Row::default()
        };
        let rows = std::iter::once(&heading).chain(&self.rows);
        rows.flat_map(|row| self.lines_of(row, layout, beside)).collect()
    }

    /// One row, with its remark in the room beside the columns that are so wide together, or beneath.
    fn lines_of(&self, row: &Row, layout: &Layout, beside: Option<(usize, usize)>) -> Vec<Line> {
        let mut lines = vec![self.line(row, layout)];
        match beside {
            _ if row.remark.is_empty() => {}
            Some((used, room)) => {
                for (number, part) in
                    textwrap::wrap(&text::clean(&row.remark), room).iter().enumerate()
                {
                    if number > 0 {
                        lines.push(Line::default());
                        lines[number].pad(used - layout.gap);
                    }
                    lines[number].pad(layout.gap);
                    lines[number].push(part.to_string(), row.style);
                }
            }
            None => lines.extend(indented(&row.remark, "  ", row.style, layout.screen)),
        }
        lines.extend(row.beneath.iter().cloned());
        lines
    }

    /// Whether a column says anything.
    fn shows(&self, column: usize) -> bool {
        let cells = || self.cells(column);
        match self.headings[column].shown {
            Shown::Always => true,
            Shown::WhereSaid => cells().any(|cell| !["", "0", "-"].contains(&&*cell.whole())),
            Shown::WhereDifferent => cells().zip(cells().skip(1)).any(|(one, next)| one != next),
        }
    }

    /// The cells of a column, but for those that a label stands in place of.
    fn cells(&self, column: usize) -> impl Iterator<Item = &Cell> {
        let labelled = column < self.leading;
        let rows = self.rows.iter().filter(move |row| !labelled || row.label.is_none());
        rows.filter_map(move |row| row.cells.get(column))
    }

    /// The least that a column needs on a screen of this width, and what it would like.
    fn need(&self, column: usize, screen: usize) -> (usize, usize) {
        let heading = &self.headings[column];
        let name = heading.cell();
        let cells = || self.cells(column).chain([&name]);
        let natural = cells().map(Cell::natural).max().unwrap_or(0);
        let least = match heading.cut {
            Some(least) => least.min(natural),
            None => cells().map(Cell::least).max().unwrap_or(0),
        };
        let floor = heading.floor[usize::from(screen >= NARROW) + usize::from(screen >= ROOMY)];
        (natural.min(floor).max(least), natural)
    }

    /// Gives what is free to the last of the leading columns, if labels can use it.
    fn widen_for_labels(&self, widths: &mut [Option<usize>], gap: usize, free: usize) {
        let labels = self.rows.iter().filter_map(|row| row.label.as_ref());
        let wanted = labels.map(Cell::natural).max().unwrap_or(0);
        let span = span(&widths[..self.leading], gap);
        if let Some(last) = widths[..self.leading].iter_mut().rev().find_map(Option::as_mut) {
            *last += wanted.saturating_sub(span).min(free);
        }
    }

    fn line(&self, row: &Row, layout: &Layout) -> Line {
        let mut line = Line::default();
        let mut from = 0;
        if let Some(label) = &row.label {
            let width = span(&layout.widths[..self.leading], layout.gap);
            place(&mut line, label, Align::Left, width, row.style);
            from = self.leading;
        }
        for (column, heading) in self.headings.iter().enumerate().skip(from) {
            let Some(width) = layout.widths[column] else { continue };
            if column > 0 {
                line.pad(layout.gap);
            }
            match row.cells.get(column) {
                Some(cell) => place(&mut line, cell, heading.align, width, row.style),
                None => line.pad(width),
            }
        }
        line
    }
}

/// How wide these columns are together.
fn span(widths: &[Option<usize>], gap: usize) -> usize {
    widths.iter().flatten().map(|width| width + gap).sum::<usize>().saturating_sub(gap)
}

fn place(line: &mut Line, cell: &Cell, align: Align, width: usize, style: Style) {
    let text = cell.at(width);
    let room = width.saturating_sub(text::width(&text));
    if align == Align::Right {
        line.pad(room);
    }
    line.push(text, cell.style(style));
    if align == Align::Left {
        line.pad(room);
    }
}

#[cfg(test)]
mod tests;
