//! What standard output is: a terminal of some size, or a pipe.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    os::fd::AsFd,
};

/// The width where nothing tells one: piped output must look the same on every day and host.
const DEFAULT_WIDTH: usize = 80;

/// Where a view is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` where neither a terminal nor `COLUMNS` tells.
    pub width: Option<usize>,
    /// Rows; `None` for what cannot be redrawn in place, for which see [`Self::tty`], and for a
    /// terminal that does not tell its size.
    pub height: Option<usize>,
    /// Whether to colour.
    pub colour: bool,
    /// Whether it is a terminal that understands control codes.
    pub tty: bool,
}

impl Screen {
    /// Asks the system what standard output is.
    ///
    /// To be asked again for each frame of a live view: the user may change the window's size.
    pub fn of_stdout() -> Self {
        Self::of(&io::stdout())
    }

    /// Asks the system what standard error is.
    pub fn of_stderr() -> Self {
        Self::of(&io::stderr())
    }

    fn of(output: &(impl IsTerminal + AsFd)) -> Self {
        let tty = output.is_terminal();
        let size = terminal_size::terminal_size_of(output)
            .map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
        Self::from_facts(tty, size, |name| env::var_os(name))
    }

    /// The columns to use.
    pub fn columns(&self) -> usize {
        self.width.unwrap_or(DEFAULT_WIDTH)
    }

    /// The decision, apart from the facts.
    fn from_facts(
        tty: bool,
        size: Option<(usize, usize)>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        // A serial console that nobody told its size says 0 by 0.
        let size = size.filter(|(width, height)| tty && *width > 0 && *height > 0);
        let columns = variable("COLUMNS")
            .and_then(|value| value.to_str()?.trim().parse::<usize>().ok())
            .filter(|columns| *columns > 0);
        // https://no-color.org: present and not an empty string, whatever its value.
        let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = variable("TERM").is_some_and(|value| value == "dumb");
        Self {
            width: size.map(|(width, _)| width).or(columns),
            height: size.filter(|_| !dumb).map(|(_, height)| height),
            colour: tty && !refused && !dumb,
            // A dumb terminal cannot move the cursor either.
            tty: tty && !dumb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(tty: bool, size: Option<(usize, usize)>, variables: &[(&str, &str)]) -> Screen {
        Screen::from_facts(tty, size, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_terminal_tells_its_size_and_takes_colour() {
        let screen = screen(true, Some((132, 43)), &[("COLUMNS", "60"), ("TERM", "xterm")]);
        assert_eq!(screen, Screen { width: Some(132), height: Some(43), colour: true, tty: true });
    }

    #[test]
    fn a_pipe_is_80_wide_and_plain_whatever_else_is_a_terminal() {
        let piped = screen(false, Some((132, 43)), &[]);
        assert_eq!(piped, Screen { width: None, height: None, colour: false, tty: false });
        assert_eq!(piped.columns(), 80);
    }

    #[test]
    fn columns_counts_where_no_terminal_tells() {
        assert_eq!(screen(false, None, &[("COLUMNS", "120")]).columns(), 120);
        assert_eq!(screen(true, Some((0, 0)), &[("COLUMNS", "120")]).columns(), 120);
        for nonsense in ["", "wide", "-1", "0", "99999999999999999999999"] {
            assert_eq!(screen(false, None, &[("COLUMNS", nonsense)]).columns(), 80, "{nonsense}");
        }
    }

    #[test]
    fn colour_can_be_refused() {
        let size = Some((80, 24));
        assert!(!screen(true, size, &[("NO_COLOR", "1")]).colour);
        assert!(!screen(true, size, &[("NO_COLOR", "0")]).colour);
        assert!(screen(true, size, &[("NO_COLOR", "")]).colour);
        assert!(!screen(true, size, &[("TERM", "dumb")]).colour);
    }

    #[test]
    fn a_dumb_terminal_is_never_redrawn_but_has_a_width() {
        let dumb = screen(true, Some((100, 24)), &[("TERM", "dumb")]);
        assert_eq!(dumb, Screen { width: Some(100), height: None, colour: false, tty: false });
    }
}
