//! Colours and lines: those of the tables, as the screen has them. Of the sixteen colours that the terminal's owner chose
//! only those two are used that can be read on light and on dark ones; no background is set, and nothing is told by colour
//! alone.

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

/// Red and magenta are dark enough for a white ground and light enough for a black one, whoever made the terminal.
/// Yellow, green and cyan letters cannot be read on white, blue ones not on black.
fn of_ansi(colour: AnsiColor) -> Color {
    match colour {
        AnsiColor::Red | AnsiColor::BrightRed => Color::Red,
        AnsiColor::Yellow
        | AnsiColor::BrightYellow
        | AnsiColor::Magenta
        | AnsiColor::BrightMagenta => Color::Magenta,
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

    /// Red, green, yellow, blue, magenta and cyan as terminals have them where nobody chose others, with their light and
    /// their dark ground.
    const PALETTES: [(&str, [u32; 6], [u32; 2]); 7] = [
        (
            "Linux console",
            [0xaa_0000, 0x00_aa00, 0xaa_5500, 0x00_00aa, 0xaa_00aa, 0x00_aaaa],
            [0xff_ffff, 0],
        ),
        (
            "xterm",
            [0xcd_0000, 0x00_cd00, 0xcd_cd00, 0x00_00ee, 0xcd_00cd, 0x00_cdcd],
            [0xff_ffff, 0],
        ),
        (
            "PuTTY",
            [0xbb_0000, 0x00_bb00, 0xbb_bb00, 0x00_00bb, 0xbb_00bb, 0x00_bbbb],
            [0xff_ffff, 0],
        ),
        (
            "Tango",
            [0xcc_0000, 0x4e_9a06, 0xc4_a000, 0x34_65a4, 0x75_507b, 0x06_989a],
            [0xff_ffff, 0],
        ),
        (
            "Campbell",
            [0xc5_0f1f, 0x13_a10e, 0xc1_9c00, 0x00_37da, 0x88_1798, 0x3a_96dd],
            [0xff_ffff, 0x0c_0c0c],
        ),
        (
            "Solarized",
            [0xdc_322f, 0x85_9900, 0xb5_8900, 0x26_8bd2, 0xd3_3682, 0x2a_a198],
            [0xfd_f6e3, 0x00_2b36],
        ),
        (
            "Visual Studio Code",
            [0xcd_3131, 0x0d_bc79, 0xe5_e510, 0x24_72c8, 0xbc_3fbc, 0x11_a8cd],
            [0xff_ffff, 0x1e_1e1e],
        ),
    ];

    /// Least contrast, as WCAG has it. That asks for 3 of what is as large as a bold letter. The darkest magenta on black
    /// has 2.4 (Campbell), where bold letters are brighter.
    const READABLE: f64 = 2.4;

    fn luminance(colour: u32) -> f64 {
        let part = |shift: u32| {
            let part = f64::from(colour >> shift & 0xff) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    /// Palettes and grounds on which a colour cannot be read.
    fn unreadable(colour: Color) -> Vec<(&'static str, u32)> {
        let all =
            [Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan];
        let at = all.iter().position(|one| *one == colour).expect("one of six");
        let each = PALETTES.iter().flat_map(|(name, colours, grounds)| {
            grounds.iter().map(move |ground| (*name, colours[at], *ground))
        });
        let bad = each.filter(|(_, colour, ground)| contrast(*colour, *ground) < READABLE);
        bad.map(|(name, _, ground)| (name, ground)).collect()
    }

    #[test]
    fn all_that_is_coloured_can_be_read_on_light_and_on_dark() {
        let tables = (0..16_u8).map(|code| {
            let named = anstyle::Ansi256Color(code).into_ansi().expect("one of sixteen");
            of_table(named.on_default(), true)
        });
        let findings =
            [Severity::Critical, Severity::Warning, Severity::Info].map(|one| severity(one, true));
        for style in tables.chain(findings) {
            assert_eq!(style.bg, None);
            match style.fg {
                None | Some(Color::Reset) => {}
                Some(colour) => assert_eq!(unreadable(colour), [], "{colour}"),
            }
        }
        for colour in [Color::Green, Color::Yellow, Color::Blue, Color::Cyan] {
            assert_ne!(unreadable(colour), [], "{colour} could be used too");
        }
        assert!((contrast(0, 0xff_ffff) - 21.0).abs() < 0.01);
    }

    #[test]
    fn what_is_to_be_copied_is_broken_and_not_cut() {
        let step = line::Line::whole("abcdefgh".into(), anstyle::Style::new());
        let lines = of_lines(&[step], 3, false);
        assert_eq!(lines.iter().map(ToString::to_string).collect::<Vec<_>>(), ["abc", "def", "gh"]);
        assert!(broken("工作者", Style::new(), 3).iter().all(|line| line.width() <= 3));
    }
}
