//! How many requests wait in SYN queues: asked for when a report is made.

use std::{collections::BTreeSet, time::Instant};

use super::budget::Budget;
use crate::host::{
    inet_diag::Socket,
    netns::{self, Namespaces},
    netns_handles::Places,
    syn_requests::Waiting,
};

/// Asks inet_diag, which walks the table of all connections: on a host with many of them not for
/// each frame of a live view.
pub(super) struct Requests(Budget);

impl Requests {
    pub(super) fn new() -> Self {
        Self(Budget::new())
    }

    /// The requests that wait now where chosen listeners are; they are not known where it was asked
    /// for too lately, unless it `must` be.
    pub(super) fn of(
        &mut self,
        places: &Places,
        namespaces: &Namespaces,
        chosen: impl Fn(&Socket) -> bool,
        must: bool,
    ) -> Waiting {
        if !must && !self.0.are_due() {
            return Waiting::default();
        }
        let began = Instant::now();
        let wanted: BTreeSet<u64> = namespaces
            .iter()
            .filter(|(_, namespace)| namespace.sockets.iter().any(&chosen))
            .map(|(netns, _)| *netns)
            .collect();
        let requests = netns::requests_of(places, &wanted);
        let mut waiting = Waiting::default();
        for (netns, requests) in &requests {
            let Some(namespace) = namespaces.get(netns) else { continue };
            // Among all that listen there, chosen or not: a request does not name its listener.
            waiting.add(*netns, &namespace.sockets, requests);
        }
        self.0.took(began);
        waiting
    }
}
