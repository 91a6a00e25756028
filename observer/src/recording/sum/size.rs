//! How much memory a sum takes, about: what a recording adds to it that no observer wrote has no bound of its own.

use std::{collections::BTreeMap, mem};

use crate::model::{Audit, Container, Holder, HolderState, Listener, Server, Worker};

/// Bytes of a row of a map beside what it points to.
pub(super) const ROW: usize = 64;

/// What a listener takes, without its workers and findings.
pub(super) fn of_listener(listener: &Listener) -> usize {
    let holders = listener
        .holders
        .iter()
        .flatten()
        .map(|one: &Holder| mem::size_of::<Holder>() + one.comm.len());
    let states = listener.holder_states.iter().flatten().map(|one: &HolderState| {
        let texts = [one.call.as_ref(), one.wchan.as_ref()];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        mem::size_of::<HolderState>() + one.comm.len() + texts
    });
    mem::size_of::<Listener>()
        + listener.address.len()
        + holders.chain(states).sum::<usize>()
        + of_names(&listener.accept_errors)
        + listener.drops.by_reason.iter().map(|reasons| reasons.len() * ROW).sum::<usize>()
        + listener.server.as_ref().map_or(0, of_server)
}

/// What a worker takes.
pub(super) fn of_worker(worker: &Worker) -> usize {
    mem::size_of::<Worker>() + ROW + worker.comm.len()
}

/// What counts by name take.
pub(super) fn of_names(names: &BTreeMap<String, u64>) -> usize {
    names.keys().map(|name| ROW + name.len()).sum()
}

/// What an audit takes.
pub(super) fn of_audit(audit: &Audit) -> usize {
    let counters = audit.netns.iter().flat_map(|one| one.counters.keys());
    audit.netns.len() * ROW + counters.map(|name| ROW + name.len()).sum::<usize>()
}

fn of_server(server: &Server) -> usize {
    let Server { name, doubt, unit, container, .. } = server;
    let of_container = |one: &Container| {
        let runtime = one.runtime.as_ref().map_or(0, String::len);
        mem::size_of::<Container>() + runtime + one.id.len()
    };
    let texts = [name, doubt, unit].into_iter().flatten().map(String::len);
    texts.sum::<usize>() + container.as_ref().map_or(0, of_container)
}
