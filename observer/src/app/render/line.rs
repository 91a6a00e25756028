//! Lines, which are no wider than the screen but where they are to be copied, and what is made of several.

use anstyle::Style;

use crate::app::render::text;

/// Below this, lines are cut and not wrapped: a column of single words is harder to read.
const WRAP: usize = 40;

/// One line: pieces of text, each with a style.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pieces: Vec<(String, Style)>,
    whole: bool,
}

impl Line {
    /// A line in one style. The text is expected to be clean, as cells and notes are.
    pub fn new(text: String, style: Style) -> Self {
        Self { pieces: vec![(text, style)], whole: false }
    }

    /// A line that is there to be copied, and is never cut.
    pub fn whole(text: String, style: Style) -> Self {
        Self { whole: true, ..Self::new(text, style) }
    }

    /// Its pieces from left to right, and whether it is never to be cut.
    pub fn pieces(&self) -> (&[(String, Style)], bool) {
        (&self.pieces, self.whole)
    }

    /// Adds a piece.
    pub fn push(&mut self, text: String, style: Style) {
        self.pieces.push((text, style));
    }

    /// Adds room.
    pub fn pad(&mut self, columns: usize) {
        self.push(" ".repeat(columns), Style::new());
    }

    /// The line as text: never wider than `width` unless it is to be whole, no room at its end, no escape code without
    /// `colour`. Everything that is shown comes through here.
    pub fn paint(&self, width: usize, colour: bool) -> String {
        let whole: String = self.pieces.iter().map(|(text, _)| text.as_str()).collect();
        let width = if self.whole { usize::MAX } else { width };
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

/// A sentence over as many lines as it needs, in one style.
pub fn wrapped(sentence: &str, style: Style, width: usize) -> Vec<Line> {
    indented(sentence, "", style, width)
}

/// A sentence over as many lines as it needs, with room before each.
pub fn indented(sentence: &str, indent: &str, style: Style, width: usize) -> Vec<Line> {
    hanging(sentence, indent, &format!("{indent}  "), style, width)
}

/// A sentence over as many lines as it needs, with room before the first and before the others.
pub fn hanging(
    sentence: &str,
    first: &str,
    further: &str,
    style: Style,
    width: usize,
) -> Vec<Line> {
    let sentence = text::clean(sentence);
    if width < WRAP {
        return vec![Line::new(format!("{first}{sentence}"), style)];
    }
    let options = textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(further)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(&sentence, options)
        .into_iter()
        .map(|line| Line::new(line.into_owned(), style))
        .collect()
}

/// The first of these lines that fits, each given by its parts; else the last one.
pub fn fitting<const N: usize>(forms: [&[&str]; N], width: usize) -> Line {
    let forms = forms.map(|parts| text::clean(&parts.join(" · ")));
    let fitting = forms.iter().find(|form| text::width(form) <= width);
    Line::new(fitting.or(forms.last()).cloned().unwrap_or_default(), Style::new())
}

/// The lines of all parts, a blank one between those that are there.
pub fn joined(parts: impl IntoIterator<Item = Vec<Line>>) -> Vec<Line> {
    let parts: Vec<Vec<Line>> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(&Line::default())
}

/// The text of lines, each ended by a line break.
pub fn painted(lines: &[Line], width: usize, colour: bool) -> String {
    lines.iter().map(|line| line.paint(width, colour) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::cell::{BAD, STRONG};

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
