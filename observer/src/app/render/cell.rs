//! Cells, which know how to be shorter, and their styles.

use anstyle::{AnsiColor, Style};

use crate::app::render::text;
use observer::{model::Severity, units};

/// Connections are lost.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Costs something.
pub const CAUTION: Style = AnsiColor::Yellow.on_default();
/// Worth knowing.
pub const NOTABLE: Style = AnsiColor::Cyan.on_default();
/// Detail, or nothing going on.
pub const DIM: Style = Style::new().dimmed();
/// Column headers.
pub const STRONG: Style = Style::new().bold();

/// The colour of a finding, and of the numbers that it is about.
pub fn severity_style(severity: Severity) -> Style {
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
pub struct Cell {
    forms: Vec<Form>,
    style: Style,
}

impl Cell {
    /// A cell that says nothing.
    pub fn blank() -> Self {
        Self::default()
    }

    /// A cell with one form.
    pub fn text(text: &str) -> Self {
        Self::blank().or(text, "")
    }

    /// A cell for what is not known.
    pub fn unknown() -> Self {
        Self::text("-").styled(DIM)
    }

    /// A count: exact, or short where that does not fit.
    pub fn count(count: u64) -> Self {
        Self::text(&units::count(count)).or(&units::short_count(count), "")
    }

    /// Adds a shorter form: `head` is cut if need be, `tail` never before it.
    pub fn or(mut self, head: &str, tail: &str) -> Self {
        self.forms.push(Form { head: text::clean(head), tail: text::clean(tail) });
        self
    }

    /// Gives it a style.
    pub fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Its wordiest form.
    pub fn whole(&self) -> String {
        self.at(self.natural())
    }

    /// The width that it would like.
    pub fn natural(&self) -> usize {
        self.forms.first().map_or(0, Form::width)
    }

    /// The width that it needs to be whole in its shortest form.
    pub fn least(&self) -> usize {
        self.forms.last().map_or(0, Form::width)
    }

    /// The first form that fits; else the first of which the tail fits, its head cut; else the last one cut.
    pub fn at(&self, width: usize) -> String {
        let fits = self.forms.iter().find(|form| form.width() <= width);
        // Two columns of a head are one letter and the sign that it was cut.
        let cut = |form: &&Form| {
            !form.tail.is_empty() && !form.head.is_empty() && text::width(&form.tail) + 2 <= width
        };
        let form = fits.or_else(|| self.forms.iter().find(cut)).or(self.forms.last());
        let Some(form) = form else { return String::new() };
        match width.checked_sub(text::width(&form.tail)) {
            Some(room) if room > 0 || form.head.is_empty() => {
                text::cut(&form.head, room) + &form.tail
            }
            _ => text::cut(&format!("{}{}", form.head, form.tail), width),
        }
    }

    /// Its own style, or that of its row.
    pub fn style(&self, row: Style) -> Style {
        if self.style.is_plain() { row } else { self.style }
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
}
