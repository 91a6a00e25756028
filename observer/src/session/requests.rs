//! How many requests wait in SYN queues: asked for when a report is made.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use super::pace::Paced;
use crate::listener::{
    diag::Socket,
    namespaces::{self, Namespace},
    places::Places,
    requests::count,
};

/// Asks inet_diag, which walks the table of all connections: on a host with many of them not for
/// each frame of a live view.
pub(super) struct Requests(Paced);

impl Requests {
    pub(super) fn new() -> Self {
        Self(Paced::new())
    }

    /// The requests that wait now at each of the chosen listeners, by inode number; those of which it
    /// cannot be told are left out, and so are all of them where it was asked for too lately, unless
    /// it `must` be.
    pub(super) fn of(
        &mut self,
        places: &Places,
        namespaces: &BTreeMap<u64, Namespace>,
        chosen: impl Fn(&Socket) -> bool,
        must: bool,
    ) -> HashMap<u64, u64> {
        if !must && !self.0.are_due() {
            return HashMap::new();
        }
        let began = Instant::now();
        let wanted: BTreeSet<u64> = namespaces
            .iter()
            .filter(|(_, namespace)| namespace.sockets.iter().any(&chosen))
            .map(|(netns, _)| *netns)
            .collect();
        let requests = namespaces::requests_of(places, &wanted);
        let mut waiting = HashMap::new();
        for (netns, requests) in &requests {
            let Some(namespace) = namespaces.get(netns) else { continue };
            // Among all that listen there, chosen or not: a request does not name its listener.
            let counts = count(&namespace.sockets, requests);
            let known = namespace.sockets.iter().zip(counts).filter(|(socket, _)| chosen(socket));
            waiting.extend(known.filter_map(|(socket, count)| Some((socket.inode, count?))));
        }
        self.0.took(began);
        waiting
    }
}
