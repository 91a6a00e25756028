//! What a terminal shows, as tmux tells it: text with codes for its colours.

/// Colours and the like of some text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// One of the first eight colours; `None` for the terminal's own.
    pub(super) colour: Option<u8>,
    pub(super) bold: bool,
    pub(super) underlined: bool,
    pub(super) reversed: bool,
}

/// Text in one look, with the column in which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) column: usize,
    pub(super) text: String,
    pub(super) look: Look,
}

/// Pieces of each line.
pub(super) fn lines(painted: &str) -> Vec<Vec<Piece>> {
    let mut look = Look::default();
    painted.lines().map(|line| pieces(line, &mut look)).collect()
}

fn pieces(line: &str, look: &mut Look) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut column = 0;
    let mut rest = line;
    while !rest.is_empty() {
        let (text, after) = rest.split_once('\u{1b}').unwrap_or((rest, ""));
        if !text.is_empty() {
            pieces.push(Piece { column, text: text.to_owned(), look: *look });
            // What these screens show is one column wide.
            column += text.chars().count();
        }
        rest = after;
        if let Some((codes, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once('m')) {
            change(look, codes);
            rest = after;
        }
    }
    pieces
}

fn change(look: &mut Look, codes: &str) {
    for code in codes.split(';') {
        match code.parse::<u8>().unwrap_or(0) {
            0 => *look = Look::default(),
            1 => look.bold = true,
            4 => look.underlined = true,
            7 => look.reversed = true,
            22 => look.bold = false,
            24 => look.underlined = false,
            27 => look.reversed = false,
            code @ 30..=37 => look.colour = Some(code - 30),
            39 => look.colour = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_change_the_look_of_what_follows() {
        let lines = lines("a\u{1b}[1;31mb█\u{1b}[0m c\n\u{1b}[7md\n e");
        let look = |colour, bold, reversed| Look { colour, bold, reversed, underlined: false };
        let piece = |column, text: &str, look| Piece { column, text: text.to_owned(), look };
        assert_eq!(
            lines[0],
            [
                piece(0, "a", Look::default()),
                piece(1, "b█", look(Some(1), true, false)),
                piece(3, " c", Look::default()),
            ]
        );
        assert_eq!(lines[1], [piece(0, "d", look(None, false, true))]);
        // A line goes on as the one before ended.
        assert_eq!(lines[2], [piece(0, " e", look(None, false, true))]);
    }
}
