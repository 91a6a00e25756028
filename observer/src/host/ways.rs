//! How processes wait for listeners: by what their tasks were woken out of in the window, and else by what
//! they wait in now. That an epoll instance watches a listener does not say that anybody waits on it.

use std::collections::HashMap;

use crate::{
    host::{
        holders::Holding,
        waits::{Waits, most},
        way::Way,
    },
    model::{Holder, Wait},
};

/// How processes wait, by listener and process id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways(HashMap<(u64, u32), Option<Wait>>);

impl Ways {
    /// `woken`: listener, process and kind of wait of each task whose latest wakeup was by a listener;
    /// `waiting`: who waits now. Of several ways of one process the most frequent counts.
    #[must_use]
    pub fn new(woken: impl Iterator<Item = (u64, u32, u8)>, waiting: &Waits) -> Self {
        let mut ways = most(waiting.tasks.iter().flat_map(|(listener, all)| {
            all.iter().map(move |waiter| (*listener, waiter.pid, waiter.way))
        }));
        ways.extend(most(
            woken.filter_map(|(listener, pid, kind)| Some((listener, pid, Way::of(kind)?))),
        ));
        let wait = |(listener, pid): (u64, u32), way| match way {
            Way::Accept => Some(Wait::Accept),
            Way::Poll => Some(Wait::Poll),
            Way::Select => Some(Wait::Select),
            Way::Ring => Some(Wait::IoUring),
            Way::Epoll => waiting.by_epoll(listener, pid),
        };
        Self(ways.into_iter().map(|(key, way)| (key, wait(key, way))).collect())
    }

    /// A holder of a listener, with how it waits.
    #[must_use]
    pub fn holder(&self, listener: u64, holding: &Holding) -> Holder {
        let wait = self.0.get(&(listener, holding.holder.pid)).copied().flatten();
        Holder { wait, ..holding.holder.clone() }
    }
}

#[cfg(test)]
mod tests {
    use observer_common::calls::kind;

    use super::{Way, Ways};
    use crate::{
        host::{
            holders::Holding,
            waits::{Waiter, Waits},
        },
        model::{Holder, Wait},
    };

    fn wait(ways: &Ways) -> Option<Wait> {
        let holder = Holder { pid: 7, comm: "a".into(), fd: 3, wait: None };
        ways.holder(1, &Holding { holder, parent: 1 }).wait
    }

    /// One task that waits, and how its process's epoll instances watch the listener.
    fn waiting(way: Option<Way>, exclusive: Option<bool>) -> Waits {
        let mut waits = Waits { knows_epolls: true, ..Waits::default() };
        if let Some(way) = way {
            waits.add(1, Waiter { pid: 7, tid: 8, comm: "a".into(), way });
        }
        if let Some(exclusive) = exclusive {
            waits.watch(1, 7, exclusive);
        }
        waits
    }

    #[test]
    fn an_epoll_instance_that_nobody_waits_on_says_nothing() {
        let none = Ways::new([].into_iter(), &waiting(None, Some(false)));
        assert_eq!(wait(&none), None);
        let accepts = Ways::new([(1, 7, kind::ACCEPT)].into_iter(), &waiting(None, Some(false)));
        assert_eq!(wait(&accepts), Some(Wait::Accept));
        let waits = Ways::new([].into_iter(), &waiting(Some(Way::Epoll), Some(true)));
        assert_eq!(wait(&waits), Some(Wait::EpollExclusive));
        // One that is watched by another.
        let waits = Ways::new([].into_iter(), &waiting(Some(Way::Epoll), None));
        assert_eq!(wait(&waits), Some(Wait::Epoll));
        // Where nobody looked.
        let woken = Ways::new([(1, 7, kind::EPOLL)].into_iter(), &Waits::default());
        assert_eq!(wait(&woken), None);
    }

    #[test]
    fn what_was_done_in_the_window_counts_before_what_is_done_now() {
        let selects = waiting(Some(Way::Select), None);
        let woken = [(1, 7, kind::POLL), (1, 7, kind::POLL), (1, 7, kind::ACCEPT), (2, 7, 1)];
        assert_eq!(wait(&Ways::new(woken.into_iter(), &selects)), Some(Wait::Poll));
        // A kind without a name tells nothing.
        let ways = Ways::new([(1, 7, kind::OTHER)].into_iter(), &selects);
        assert_eq!(wait(&ways), Some(Wait::Select));
        let ways = Ways::new([(1, 7, kind::RING)].into_iter(), &selects);
        assert_eq!(wait(&ways), Some(Wait::IoUring));
        let ways = Ways::new([(1, 9, kind::RING)].into_iter(), &Waits::default());
        assert_eq!(wait(&ways), None);
    }
}
