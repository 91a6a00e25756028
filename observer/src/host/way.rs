//! How a task waits.

use observer_common::calls::kind;

/// How a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// In accept.
    Accept,
    /// On an epoll instance.
    Epoll,
    /// In poll.
    Poll,
    /// In select.
    Select,
    /// On a ring of io_uring.
    Ring,
}

impl Way {
    /// The way of a kind of call, where it has a name.
    #[must_use]
    pub fn of(kind: u8) -> Option<Self> {
        match kind {
            kind::ACCEPT | kind::SOCKETCALL => Some(Self::Accept),
            kind::EPOLL => Some(Self::Epoll),
            kind::POLL => Some(Self::Poll),
            kind::SELECT => Some(Self::Select),
            kind::RING => Some(Self::Ring),
            _ => None,
        }
    }
}
