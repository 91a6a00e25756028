//! Colours and lines: those of the tables, as the screen has them. Only the sixteen colours that the terminal's owner
//! chose are used, and no background, so that a light one does as well as a dark one; nothing is told by colour alone.

use anstyle::{AnsiColor, Color as TableColor, Effects};
use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

use crate::app::render::{cell, line, text};
use observer::model::Severity;

/// A heading.
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// What is chosen, whatever the colours are.
pub const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// A style of the tables. What is dim there is plain here: on some screens it cannot be read.
pub fn of_table(style: anstyle::Style, colour: bool) -> Style {
    let mut own = Style::new();
    if let Some(TableColor::Ansi(named)) = style.get_fg_color().filter(|_| colour) {
        own = own.fg(of_ansi(named));
    }
    if style.get_effects().contains(Effects::BOLD) {
        own = own.add_modifier(Modifier::BOLD);
    }
    own
}

fn of_ansi(colour: AnsiColor) -> Color {
    match colour {
        AnsiColor::Red | AnsiColor::BrightRed => Color::Red,
        AnsiColor::Green | AnsiColor::BrightGreen => Color::Green,
        // Yellow letters on white cannot be read; magenta ones can on both.
        AnsiColor::Yellow | AnsiColor::BrightYellow => Color::Magenta,
        AnsiColor::Blue | AnsiColor::BrightBlue => Color::Blue,
        AnsiColor::Magenta | AnsiColor::BrightMagenta => Color::Magenta,
        AnsiColor::Cyan | AnsiColor::BrightCyan => Color::Cyan,
        _ => Color::Reset,
    }
}

/// The style of a finding and of what it is about.
pub fn severity(severity: Severity, colour: bool) -> Style {
    of_table(cell::severity_style(severity), colour).add_modifier(Modifier::BOLD)
}

/// The sign of a severity, which tells it without colour.
pub fn sign(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Critical) => "!!",
        Some(Severity::Warning) => "! ",
        Some(Severity::Info) => "i ",
        None => "  ",
    }
}

/// Lines of the tables as the screen has them: what is never cut there is broken here.
pub fn of_lines(lines: &[line::Line], width: usize, colour: bool) -> Vec<Line<'static>> {
    let mut own = Vec::new();
    for one in lines {
        let (pieces, whole) = one.pieces();
        if whole {
            let words: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
            let style = pieces.first().map_or(Style::new(), |(_, style)| of_table(*style, colour));
            own.extend(broken(&words, style, width));
        } else {
            let spans = pieces
                .iter()
                .map(|(words, style)| Span::styled(words.clone(), of_table(*style, colour)));
            own.push(Line::from(spans.collect::<Vec<_>>()));
        }
    }
    own
}

/// A line broken wherever the screen ends, since a blank that is added would be copied too.
fn broken(words: &str, style: Style, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut now = String::new();
    for letter in words.chars() {
        if !now.is_empty()
            && text::width(&now) + text::width(letter.encode_utf8(&mut [0; 4])) > width
        {
            lines.push(Line::styled(std::mem::take(&mut now), style));
        }
        now.push(letter);
    }
    lines.push(Line::styled(now, style));
    lines
}

/// A sentence over as many lines as it needs, with room before each.
pub fn wrapped(words: &str, indent: &str, style: Style, width: usize) -> Vec<Line<'static>> {
    let further = format!("{indent}  ");
    let options = textwrap::Options::new(width.max(1))
        .initial_indent(indent)
        .subsequent_indent(if indent.is_empty() { indent } else { &further })
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let words = text::clean(words);
    let lines = textwrap::wrap(&words, options).into_iter();
    lines.map(|line| Line::styled(line.into_owned(), style)).collect()
}

/// Words in a field of this width, cut if need be.
pub fn field(words: &str, width: usize, right: bool) -> String {
    let words = text::cut(words, width);
    let room = " ".repeat(width.saturating_sub(text::width(&words)));
    if right { room + &words } else { words + &room }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_colours_and_none_without_colour() {
        let style = of_table(cell::BAD, true);
        assert_eq!((style.fg, style.bg), (Some(Color::Red), None));
        assert_eq!(of_table(cell::BAD, false), Style::new());
        // Dim letters cannot be read on every screen.
        assert_eq!(of_table(cell::DIM, true), Style::new());
    }

    #[test]
    fn what_is_to_be_copied_is_broken_and_not_cut() {
        let step = line::Line::whole("abcdefgh".into(), anstyle::Style::new());
        let lines = of_lines(&[step], 3, false);
        assert_eq!(lines.iter().map(ToString::to_string).collect::<Vec<_>>(), ["abc", "def", "gh"]);
        assert!(broken("工作者", Style::new(), 3).iter().all(|line| line.width() <= 3));
    }
}
