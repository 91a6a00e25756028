//! Which columns there is room for, and how wide each is.

use anstyle::Style;

use super::cell::{Cell, Line, STRONG};

/// From this width on there is room for more than the essential: wider gaps, longer names.
pub(super) const ROOMY: usize = 120;

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What a column asks for.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Its header.
    pub(super) header: Cell,
    /// The order in which columns are given room; equals come together or not at all.
    pub(super) rank: u8,
    /// Which side its cells keep to.
    pub(super) align: Align,
    /// The width to give it before columns of a higher rank get any, if its cells want that much.
    pub(super) floor: usize,
    /// The width down to which its cells may be cut: words may, numbers never.
    pub(super) cut: Option<usize>,
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// A label across the leading columns, which hold no cells of their own then.
    pub(super) label: Option<Cell>,
    /// A cell for each column.
    pub(super) cells: Vec<Cell>,
    /// The style of cells that have none.
    pub(super) style: Style,
    /// What is said beneath it, across all columns.
    pub(super) beneath: Vec<Line>,
}

/// Columns and rows, before anything is known about room.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// The columns from left to right.
    pub(super) shapes: Vec<Shape>,
    /// How many of them, from the left, a label runs across.
    pub(super) leading: usize,
    /// The rows from top to bottom.
    pub(super) rows: Vec<Row>,
}

/// What was decided: a width for each column that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// By column; `None` is not shown.
    pub(super) widths: Vec<Option<usize>>,
    gap: usize,
}

impl Grid {
    /// Gives room by rank: first what they need to as many columns as fit, then more to each until
    /// its cells have what they would like. Room that nobody asks for stays free.
    pub(super) fn layout(&self, width: usize) -> Layout {
        let gap = if width >= ROOMY { 2 } else { 1 };
        let needs: Vec<(usize, usize)> =
            (0..self.shapes.len()).map(|column| self.need(column)).collect();
        let mut order: Vec<usize> = (0..self.shapes.len()).collect();
        order.sort_by_key(|column| self.shapes[*column].rank);

        let mut widths = vec![None; self.shapes.len()];
        let mut free = width;
        // The first column names the line: it is there however little room there is.
        if let Some(first) = order.first() {
            let given = needs[*first].0.min(width);
            widths[*first] = Some(given);
            free -= given;
        }
        let others = order.get(1..).unwrap_or_default();
        for group in others.chunk_by(|a, b| self.shapes[*a].rank == self.shapes[*b].rank) {
            let wanted: usize = group.iter().map(|column| needs[*column].0 + gap).sum();
            if let [column] = group
                && let Some(least) = self.shapes[*column].cut
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
        order.sort_by_key(|column| self.shapes[*column].floor > 0);
        for column in &order {
            if let Some(given) = &mut widths[*column] {
                let more = needs[*column].1.saturating_sub(*given).min(free);
                *given += more;
                free -= more;
            }
        }
        self.widen_for_labels(&mut widths, gap, free);
        Layout { widths, gap }
    }

    /// The lines, the headers first.
    pub(super) fn lines(&self, layout: &Layout) -> Vec<Line> {
        let header = Row {
            label: None,
            cells: self.shapes.iter().map(|shape| shape.header.clone()).collect(),
            style: STRONG,
            beneath: Vec::new(),
        };
        std::iter::once(&header)
            .chain(&self.rows)
            .flat_map(|row| {
                std::iter::once(self.line(row, layout)).chain(row.beneath.iter().cloned())
            })
            .collect()
    }

    /// The least that a column needs, and what it would like.
    fn need(&self, column: usize) -> (usize, usize) {
        let shape = &self.shapes[column];
        let labelled = column < self.leading;
        let cells = || {
            let rows = self.rows.iter().filter(move |row| !labelled || row.label.is_none());
            rows.map(move |row| &row.cells[column]).chain([&shape.header])
        };
        let natural = cells().map(Cell::natural).max().unwrap_or(0);
        let least = match shape.cut {
            Some(least) => least.min(natural),
            None => cells().map(Cell::least).max().unwrap_or(0),
        };
        (natural.min(shape.floor).max(least), natural)
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
        for (column, shape) in self.shapes.iter().enumerate().skip(from) {
            let Some(width) = layout.widths[column] else { continue };
            if column > 0 {
                line.pad(layout.gap);
            }
            place(&mut line, &row.cells[column], shape.align, width, row.style);
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
    let room = width.saturating_sub(crate::app::render::text::width(&text));
    if align == Align::Right {
        line.pad(room);
    }
    line.push(text, cell.style(style));
    if align == Align::Left {
        line.pad(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let shape = |header: &str, rank, align, floor, cut| Shape {
            header: Cell::text(header),
            rank,
            align,
            floor,
            cut,
        };
        let words = ["[2001:db8::1]:8080", "nginx epoll", "1234567", "8.00"];
        Grid {
            shapes: vec![
                shape("LISTENER", 0, Align::Left, 13, Some(8)),
                shape("HELD BY", 3, Align::Left, 10, Some(8)),
                shape("ACCEPTED", 1, Align::Right, 0, None),
                shape("HERD", 2, Align::Right, 0, None),
            ],
            leading: 2,
            rows: vec![
                Row {
                    label: None,
                    cells: words.iter().map(|word| Cell::text(word)).collect(),
                    style: Style::new(),
                    beneath: Vec::new(),
                },
                Row {
                    label: Some(Cell::text("  … 28 more workers")),
                    cells: vec![Cell::blank(), Cell::blank(), Cell::count(7), Cell::blank()],
                    style: Style::new(),
                    beneath: Vec::new(),
                },
            ],
        }
    }

    fn text(width: usize) -> Vec<String> {
        let grid = grid();
        let layout = grid.layout(width);
        grid.lines(&layout).iter().map(|line| line.paint(width, false)).collect()
    }

    #[test]
    fn columns_leave_by_rank_and_numbers_stay_whole() {
        assert_eq!(
            text(60),
            [
                "LISTENER           HELD BY     ACCEPTED HERD",
                "[2001:db8::1]:8080 nginx epoll  1234567 8.00",
                "  … 28 more workers                   7",
            ]
        );
        assert_eq!(
            text(36),
            [
                "LISTENER      HELD BY  ACCEPTED HERD",
                "[2001:db8::1… nginx e…  1234567 8.00",
                "  … 28 more workers           7",
            ]
        );
        assert_eq!(
            text(28),
            [
                "LISTENER       ACCEPTED HERD",
                "[2001:db8::1]…  1234567 8.00",
                "  … 28 more w…        7",
            ]
        );
        assert_eq!(text(1), ["…", "…", "…"]);
        assert_eq!(text(0), ["", "", ""]);
    }
}
