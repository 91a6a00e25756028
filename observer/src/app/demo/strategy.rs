//! The ways in which a server's workers can wait for connections.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the workers of a server wait for its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each worker has its own epoll on the shared listener
    Epoll,
    /// As epoll, with EPOLLEXCLUSIVE
    EpollExclusive,
    /// All workers share one epoll instance
    EpollShared,
    /// Each worker calls poll(2) on the shared listener
    Poll,
    /// Each worker sleeps in accept on the shared listener
    Blocking,
    /// Each worker has its own SO_REUSEPORT listener
    Reuseport,
    /// A lock around waiting: only the worker that holds it waits
    AcceptMutex,
}

impl Strategy {
    /// Every strategy, in the order in which the demo shows them.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The name, as the command line and JSON write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::EpollExclusive => "epoll-exclusive",
            Self::EpollShared => "epoll-shared",
            Self::Poll => "poll",
            Self::Blocking => "blocking",
            Self::Reuseport => "reuseport",
            Self::AcceptMutex => "accept-mutex",
        }
    }

    /// What the numbers of this strategy mean, in one short line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Epoll => "every idle worker wakes, one gets the connection",
            Self::EpollExclusive => "one wakes, nearly always the same: uneven load",
            Self::EpollShared => "one wakes, and its event wakes another for nothing",
            Self::Poll => "as epoll: every idle worker wakes",
            Self::Blocking => "one wakes, each in its turn: even load",
            Self::Reuseport => "one wakes, chosen by hash even if it is busy",
            Self::AcceptMutex => "one waits and wakes, the others sleep on a lock",
        }
    }

    /// Whether each worker has a listener of its own.
    pub(super) fn listener_each(self) -> bool {
        self == Self::Reuseport
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_what_the_command_line_and_json_write() {
        for &strategy in Strategy::all() {
            let value = strategy.to_possible_value().expect("no variant is skipped");
            assert_eq!(value.get_name(), strategy.name());
            let json = serde_json::to_string(&strategy).expect("a unit variant");
            assert_eq!(json, format!("\"{}\"", strategy.name()));
        }
    }

    #[test]
    fn meaning_fits_beside_a_row_at_120_columns() {
        for strategy in Strategy::all() {
            assert!(strategy.meaning().len() <= 52, "{}", strategy.name());
        }
    }
}
