//! Colours as every terminal with sixteen of them takes them. The backend writes the first sixteen colours in the way
//! of 256 (`38;5;1`), which older terminals and consoles do not know; they are written as `31` here.

use std::io::{self, Write};

/// Collects what is written up to the next flush, and writes it with one call.
pub struct Sixteen<W> {
    inner: W,
    frame: Vec<u8>,
}

impl<W: Write> Sixteen<W> {
    /// Nothing collected yet.
    pub fn new(inner: W) -> Self {
        Self { inner, frame: Vec::new() }
    }
}

impl<W: Write> Write for Sixteen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = with_sixteen(&std::mem::take(&mut self.frame));
        self.inner.write_all(&frame)?;
        self.inner.flush()
    }
}

/// The bytes with each `ESC [ … m` rewritten.
fn with_sixteen(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|two| two == b"\x1b[") {
        let (before, sequence) = rest.split_at(at + 2);
        out.extend_from_slice(before);
        let end = sequence.iter().position(|byte| !byte.is_ascii_digit() && *byte != b';');
        let (parameters, after) = sequence.split_at(end.unwrap_or(sequence.len()));
        match after.first() {
            Some(b'm') => out.extend_from_slice(colours(parameters).as_bytes()),
            _ => out.extend_from_slice(parameters),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// Parameters of a colour sequence: `38;5;N` and `48;5;N` as one number each, where N is below 16.
fn colours(parameters: &[u8]) -> String {
    let all = String::from_utf8_lossy(parameters);
    let mut rest: &[&str] = &all.split(';').collect::<Vec<_>>();
    let mut own = Vec::new();
    loop {
        rest = match rest {
            [] => return own.join(";"),
            [place @ ("38" | "48"), "5", number, more @ ..] => {
                let number: u16 = number.parse().unwrap_or(u16::MAX);
                let first = if *place == "38" { 30 } else { 40 };
                own.push(match number {
                    0..8 => (first + number).to_string(),
                    8..16 => (first + 60 + number - 8).to_string(),
                    _ => format!("{place};5;{number}"),
                });
                more
            }
            [one, more @ ..] => {
                own.push((*one).to_owned());
                more
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sixteen_colours_are_one_number() {
        for (from, to) in [
            ("a\x1b[38;5;1mb", "a\x1b[31mb"),
            ("\x1b[38;5;9;49m", "\x1b[91;49m"),
            ("\x1b[1;48;5;4m\x1b[2J", "\x1b[1;44m\x1b[2J"),
            ("\x1b[38;5;16mx\x1b[5;7H", "\x1b[38;5;16mx\x1b[5;7H"),
            ("\x1b[m\x1b[", "\x1b[m\x1b["),
            ("\x1b[?1049h工", "\x1b[?1049h工"),
        ] {
            assert_eq!(String::from_utf8_lossy(&with_sixteen(from.as_bytes())), to);
        }
    }

    #[test]
    fn a_frame_is_written_at_once() {
        let mut out = Sixteen::new(Vec::new());
        out.write_all(b"\x1b[38;5;").and_then(|()| out.write_all(b"1mx")).expect("written");
        assert!(out.inner.is_empty());
        out.flush().expect("flushed");
        assert_eq!(out.inner, b"\x1b[31mx");
    }
}
