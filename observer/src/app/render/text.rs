//! Text that is safe to print and whose width is known.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands for a character that must not reach a terminal.
const REPLACEMENT: char = '?';

/// Replaces everything that a terminal could act upon.
///
/// A command name is whatever the process called itself: it may hold escape sequences, line breaks
/// or marks that turn the direction of writing. All of these have no width of their own, so what
/// has none is replaced (combining accents too: the price of a simple rule).
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c.width() {
            Some(0) | None => REPLACEMENT,
            Some(_) if c.is_whitespace() => ' ',
            Some(_) => c,
        })
        .collect()
}

/// How many columns the text takes.
pub fn width(text: &str) -> usize {
    // The sum over characters, as a terminal that knows nothing of ligatures shows them; never
    // less than the width of the text as a whole.
    text.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>().max(text.width())
}

/// The text, or as much of it as fits into `max` columns with `…` at its end.
pub fn cut(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let Some(room) = max.checked_sub(1) else { return String::new() };
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_upon_is_left() {
        assert_eq!(clean("nginx"), "nginx");
        assert_eq!(clean("a\u{1b}[31mb"), "a?[31mb");
        assert_eq!(clean("a\nb\tc\r"), "a?b?c?");
        assert_eq!(clean("a\u{202e}b\u{2066}c\u{200b}d\u{9b}e"), "a?b?c?d?e");
        assert_eq!(clean("a\u{a0}b"), "a b");
        assert_eq!(clean("工作者-é"), "工作者-é");
        assert_eq!(clean("\u{0}"), "?");
    }

    #[test]
    fn cuts_to_columns_and_not_to_bytes() {
        assert_eq!(cut("nginx", 5), "nginx");
        assert_eq!(cut("nginx", 4), "ngi…");
        assert_eq!(cut("nginx", 1), "…");
        assert_eq!(cut("nginx", 0), "");
        assert_eq!(cut("", 0), "");
        assert_eq!(cut("工作者", 6), "工作者");
        assert_eq!(cut("工作者", 5), "工作…");
        assert_eq!(cut("工作者", 4), "工…");
        assert_eq!(cut("工作者", 2), "…");
        for max in 0..10 {
            assert!(width(&cut("a工b作c者", max)) <= max);
        }
    }
}
