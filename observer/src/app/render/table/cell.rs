//! Cells, which know how to be shorter, and lines, which are never wider than the screen.

use anstyle::{AnsiColor, Style};

use crate::app::render::{human, text};
use observer::model::Severity;

/// Lost or refused.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// Costs something.
pub(super) const CAUTION: Style = AnsiColor::Yellow.on_default();
/// Worth knowing.
pub(super) const NOTABLE: Style = AnsiColor::Cyan.on_default();
/// Detail, or nothing going on.
pub(super) const DIM: Style = Style::new().dimmed();
/// Column headers.
pub(super) const STRONG: Style = Style::new().bold();

/// The colour of a finding, and of the numbers that it is about.
pub(super) fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Critical => BAD,
        Severity::Warning => CAUTION,
        Severity::Info => NOTABLE,
    }
}

/// One form of a cell: when there is no room, the head is cut and the tail is kept (the port of an
/// address, the pid of a worker).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Form {
    head: String,
    tail: String,
}

impl Form {
    fn width(&self) -> usize {
        text::width(&self.head) + text::width(&self.tail)
    }
}

/// What one cell says: the wordiest form first, then shorter ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    forms: Vec<Form>,
    style: Style,
}

impl Cell {
    /// A cell that says nothing.
    pub(super) fn blank() -> Self {
        Self::default()
    }

    /// A cell with one form.
    pub(super) fn text(text: &str) -> Self {
        Self::blank().or(text, "")
    }

    /// A count: exact, or short where that does not fit.
    pub(super) fn count(count: u64) -> Self {
        Self::text(&human::count(count)).or(&human::short_count(count), "")
    }

    /// Adds a shorter form: `head` is cut if need be, `tail` never before it.
    pub(super) fn or(mut self, head: &str, tail: &str) -> Self {
        self.forms.push(Form { head: text::clean(head), tail: text::clean(tail) });
        self
    }

    /// The same with a style.
    pub(super) fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// The width that it would like.
    pub(super) fn natural(&self) -> usize {
        self.forms.first().map_or(0, Form::width)
    }

    /// The width that it needs to be whole in its shortest form.
    pub(super) fn least(&self) -> usize {
        self.forms.last().map_or(0, Form::width)
    }

    /// The first form that fits, or the last one cut.
    pub(super) fn at(&self, width: usize) -> String {
        let fits = self.forms.iter().find(|form| form.width() <= width);
        let Some(form) = fits.or(self.forms.last()) else { return String::new() };
        match width.checked_sub(text::width(&form.tail)) {
            Some(room) if room > 0 || form.head.is_empty() => {
                text::cut(&form.head, room) + &form.tail
            }
            _ => text::cut(&format!("{}{}", form.head, form.tail), width),
        }
    }

    /// Its own style, or that of its row.
    pub(super) fn style(&self, row: Style) -> Style {
        if self.style.is_plain() { row } else { self.style }
    }
}

/// One line: pieces of text, each with a style.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(String, Style)>,
}

impl Line {
    /// A line in one style. The text is expected to be clean, as cells and notes are.
    pub(super) fn new(text: String, style: Style) -> Self {
        Self { pieces: vec![(text, style)] }
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, text: String, style: Style) {
        self.pieces.push((text, style));
    }

    /// Adds room.
    pub(super) fn pad(&mut self, columns: usize) {
        self.push(" ".repeat(columns), Style::new());
    }

    /// The line as text: never wider than `width`, no room at its end, no escape code without
    /// `colour`. Everything that is shown comes through here.
    pub(super) fn paint(&self, width: usize, colour: bool) -> String {
        let whole: String = self.pieces.iter().map(|(text, _)| text.as_str()).collect();
        let shown = text::cut(whole.trim_end(), width);
        if !colour {
            return shown;
        }
        let mut painted = String::new();
        let mut rest = shown.chars();
        for (text, style) in &self.pieces {
            // As many characters of what is shown as the piece has: a cut may end within any.
            let part: String = rest.by_ref().take(text.chars().count()).collect();
            if part.trim().is_empty() || style.is_plain() {
                painted.push_str(&part);
            } else {
                painted.push_str(&format!("{style}{part}{style:#}"));
            }
        }
        painted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_takes_its_longest_form_that_fits() {
        let cell = Cell::text("nginx ×8 epoll-exclusive")
            .or("nginx", " epoll-exclusive")
            .or("nginx", " exclusive");
        assert_eq!(cell.natural(), 24);
        assert_eq!(cell.least(), 15);
        assert_eq!(cell.at(30), "nginx ×8 epoll-exclusive");
        assert_eq!(cell.at(23), "nginx epoll-exclusive");
        assert_eq!(cell.at(20), "nginx exclusive");
        assert_eq!(cell.at(13), "ng… exclusive");
        assert_eq!(cell.at(11), "… exclusive");
        assert_eq!(cell.at(9), "nginx ex…");
        assert_eq!(cell.at(1), "…");
        assert_eq!(cell.at(0), "");
    }

    #[test]
    fn an_address_keeps_its_port() {
        let cell = Cell::blank().or("[2001:db8:85a3::8a2e:370:7334]", ":8080");
        assert_eq!(cell.at(16), "[2001:db8:…:8080");
    }

    #[test]
    fn a_count_is_shortened_and_not_cut() {
        assert_eq!(Cell::count(1_234_567).at(8), "1234567");
        assert_eq!(Cell::count(1_234_567).at(6), "1.2M");
        assert_eq!(Cell::count(999_999).least(), 6);
    }

    #[test]
    fn a_line_is_cut_with_and_without_colour() {
        let mut line = Line::new("herd".into(), STRONG);
        line.pad(2);
        line.push("8.00".into(), BAD);
        line.pad(5);
        assert_eq!(line.paint(80, false), "herd  8.00");
        assert_eq!(line.paint(8, false), "herd  8…");
        assert_eq!(line.paint(8, true), "\u{1b}[1mherd\u{1b}[0m  \u{1b}[31m8…\u{1b}[0m");
        assert_eq!(line.paint(1, true), "\u{1b}[1m…\u{1b}[0m");
        assert_eq!(line.paint(0, true), "");
    }
}
