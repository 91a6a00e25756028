//! How processes wait for listeners: by what their tasks were woken out of in the window, and else by what
//! they wait in now. That an epoll instance watches a listener does not say that anybody waits on it.

use std::collections::{BTreeMap, HashMap};

use crate::{
    host::{holders::Holding, waiters::Waiter, way::Way},
    model::{Holder, Wait},
};

/// How processes wait, by listener and process id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways(HashMap<(u64, u32), Way>);

impl Ways {
    /// `woken`: listener, process and kind of wait of each task whose latest wakeup was by a listener;
    /// `waiting`: the tasks that wait now. Of several ways of one process the most frequent counts.
    #[must_use]
    pub fn new(
        woken: impl Iterator<Item = (u64, u32, u8)>,
        waiting: &HashMap<u64, Vec<Waiter>>,
    ) -> Self {
        let mut ways = most(waiting.iter().flat_map(|(listener, all)| {
            all.iter().map(move |waiter| (*listener, waiter.pid, waiter.way))
        }));
        ways.extend(most(
            woken.filter_map(|(listener, pid, kind)| Some((listener, pid, Way::of(kind)?))),
        ));
        Self(ways)
    }

    /// A holder of a listener, with how it waits.
    #[must_use]
    pub fn holder(&self, listener: u64, holding: &Holding) -> Holder {
        let wait = self.0.get(&(listener, holding.holder.pid)).map(|way| match way {
            Way::Accept => Wait::Accept,
            Way::Poll => Wait::Poll,
            Way::Select => Wait::Select,
            Way::Ring => Wait::IoUring,
            // What the process's epoll instances watch it for.
            Way::Epoll => holding.holder.wait.unwrap_or(Wait::Epoll),
        });
        Holder { wait, ..holding.holder.clone() }
    }
}

fn most(ways: impl Iterator<Item = (u64, u32, Way)>) -> HashMap<(u64, u32), Way> {
    let mut counts = BTreeMap::<(u64, u32, Way), u64>::new();
    for way in ways {
        *counts.entry(way).or_insert(0) += 1;
    }
    let mut most = HashMap::new();
    for ((listener, pid, way), count) in counts {
        let known = most.entry((listener, pid)).or_insert((count, way));
        if known.0 < count {
            *known = (count, way);
        }
    }
    most.into_iter().map(|(key, (_, way))| (key, way)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use observer_common::calls::kind;

    use super::{Way, Ways};
    use crate::{
        host::{holders::Holding, waiters::Waiter},
        model::{Holder, Wait},
    };

    fn wait(ways: &Ways, watched: Option<Wait>) -> Option<Wait> {
        let holder = Holder { pid: 7, comm: "a".into(), fd: 3, wait: watched };
        ways.holder(1, &Holding { holder, epolls: Vec::new(), parent: 1 }).wait
    }

    fn waiting(way: Way) -> HashMap<u64, Vec<Waiter>> {
        HashMap::from([(1, vec![Waiter { pid: 7, tid: 8, comm: "a".into(), way }])])
    }

    #[test]
    fn an_epoll_instance_that_nobody_waits_on_says_nothing() {
        let none = Ways::default();
        assert_eq!(wait(&none, Some(Wait::Epoll)), None);
        let accepts = Ways::new([(1, 7, kind::ACCEPT)].into_iter(), &HashMap::new());
        assert_eq!(wait(&accepts, Some(Wait::Epoll)), Some(Wait::Accept));
        let waits = Ways::new([].into_iter(), &waiting(Way::Epoll));
        assert_eq!(wait(&waits, Some(Wait::EpollExclusive)), Some(Wait::EpollExclusive));
        // One that is watched by another.
        assert_eq!(wait(&waits, None), Some(Wait::Epoll));
    }

    #[test]
    fn what_was_done_in_the_window_counts_before_what_is_done_now() {
        let woken = [(1, 7, kind::POLL), (1, 7, kind::POLL), (1, 7, kind::ACCEPT), (2, 7, 1)];
        let ways = Ways::new(woken.into_iter(), &waiting(Way::Select));
        assert_eq!(wait(&ways, None), Some(Wait::Poll));
        // A kind without a name tells nothing.
        let ways = Ways::new([(1, 7, kind::OTHER)].into_iter(), &waiting(Way::Select));
        assert_eq!(wait(&ways, None), Some(Wait::Select));
        let ways = Ways::new([(1, 7, kind::RING)].into_iter(), &waiting(Way::Select));
        assert_eq!(wait(&ways, None), Some(Wait::IoUring));
        let ways = Ways::new([(1, 9, kind::RING)].into_iter(), &HashMap::new());
        assert_eq!(wait(&ways, None), None);
    }
}
