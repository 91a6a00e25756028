//! What observer and the command's parent tell each other.

use std::io::{self, Read, Write};

use super::outcome::End;

/// Starts the command.
pub(super) const GO: u8 = 0;

/// Ends the command and all that it started. The end of the orders means the same.
pub(super) const END: u8 = 255;

/// What the command's parent tells, each in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The command has ended like this.
    Ended(End),
    /// What still runs is being ended, and the command was among that.
    Ending,
    /// So many processes cannot be ended.
    Left(u64),
}

impl News {
    /// Writes it.
    ///
    /// # Errors
    ///
    /// When nobody reads it any more.
    pub(super) fn write(self, out: &mut impl Write) -> io::Result<()> {
        let line = match self {
            Self::Ended(End::NotStarted(errno)) => format!("not-started {errno}\n"),
            Self::Ended(End::Exited(code)) => format!("exited {code}\n"),
            Self::Ended(End::Signalled(number)) => format!("signalled {number}\n"),
            Self::Ending => "ending 0\n".to_owned(),
            Self::Left(count) => format!("left {count}\n"),
        };
        out.write_all(line.as_bytes())
    }

    /// Reads all of them, to the end of the command's parent.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) fn read_all(mut input: impl Read) -> io::Result<Vec<Self>> {
        let mut text = String::new();
        input.read_to_string(&mut text)?;
        Ok(text.lines().filter_map(Self::parse).collect())
    }

    fn parse(line: &str) -> Option<Self> {
        let (word, number) = line.split_once(' ')?;
        let number: i32 = number.parse().ok()?;
        Some(match word {
            "not-started" => Self::Ended(End::NotStarted(number)),
            "exited" => Self::Ended(End::Exited(number)),
            "signalled" => Self::Ended(End::Signalled(number)),
            "ending" => Self::Ending,
            "left" => Self::Left(u64::try_from(number).ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_read_back() {
        let all = [
            News::Ending,
            News::Ended(End::NotStarted(2)),
            News::Ended(End::Exited(-1)),
            News::Ended(End::Signalled(9)),
            News::Left(3),
        ];
        let mut text = Vec::new();
        for news in all {
            news.write(&mut text).expect("memory takes everything");
        }
        text.extend(b"something else\n\nexited x\nexited");
        assert_eq!(News::read_all(&text[..]).expect("text"), all);
    }
}
