use std::collections::BTreeMap;

use super::*;
use crate::model::{
    AcceptQueue, AcceptWait, Backlog, Drops, Family, Holder, SynQueue, Wakeups, Worker,
};

fn worker(pid: u32, accepted: u64, comm: &str) -> Worker {
    Worker {
        pid: Some(pid),
        tid: Some(pid),
        comm: comm.into(),
        wakeups: Wakeups::default(),
        accepted,
        accept_errors: BTreeMap::new(),
    }
}

fn listener(netns: u64, holders: &[u32], workers: Vec<Worker>) -> Listener {
    let holder = |pid: &u32| Holder { pid: *pid, comm: "a".into(), fd: 3, wait: None };
    Listener {
        netns,
        cookie: None,
        inode: 1,
        family: Family::Ipv4,
        address: "127.0.0.1".into(),
        port: 80,
        reuseport: None,
        reuseport_group: None,
        closed: false,
        incomplete: false,
        holders: Some(holders.iter().map(holder).collect()),
        holder_states: None,
        queued: Some(0),
        accepted: Some(0),
        discarded: Some(0),
        wakeups: Some(Wakeups::default()),
        herd_ratio: None,
        wasted_cpu: None,
        accept_errors: BTreeMap::new(),
        accept_queue: AcceptQueue::default(),
        syn_queue: SynQueue::default(),
        backlog: Backlog::default(),
        accept_wait: AcceptWait::default(),
        drops: Drops::default(),
        fairness: None,
        workers,
        server: None,
        findings: Vec::new(),
    }
}

#[test]
fn who_accepts_most_is_looked_at_first_and_the_first_process_last() {
    let workers = vec![worker(12, 5, "a"), worker(11, 9, "a"), worker(12, 6, "b")];
    let one = listener(1, &[1, 10, 11, 12], workers);
    assert_eq!(candidates(&one), [12, 11, 10, 1]);
    let expected = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(tasks(&one)[&12], expected);
    let many: Vec<u32> = (2..100).collect();
    assert_eq!(candidates(&listener(1, &many, Vec::new())).len(), MOST_HOLDERS);
}

#[test]
fn a_process_is_recognised_and_placed() {
    let mut child =
        std::process::Command::new("sleep").arg("60").spawn().expect("a process that is no server");
    let mut identities = Identities::new(Patience::default());
    // Its arguments are there once it is the other program.
    while identities.argv(child.id()).is_none_or(|argv| argv.is_empty()) {
        std::thread::yield_now();
    }
    let own = identities.own_netns.expect("a network namespace");
    let told = identities.server(&listener(own, &[child.id()], Vec::new())).expect("a holder");
    assert_eq!((told.pid, told.name, told.own_netns), (child.id(), None, Some(true)));
    assert!(told.open_files_limit.is_none_or(|limit| limit > 0));
    let known = identities.known.values().next().expect("it was looked at");
    assert_eq!(known.identity.argv.as_deref(), Some(&["sleep".to_owned(), "60".to_owned()][..]));
    assert!(known.identity.parent.is_some());
    // A thread's name is that of the task which accepts.
    let workers = vec![worker(child.id(), 9, "ZMQbg/IO/0")];
    let told = identities.server(&listener(1, &[child.id()], workers)).expect("a holder");
    assert_eq!((told.name.as_deref(), told.own_netns), (Some("zeromq"), Some(false)));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    identities.begin_report();
    assert_eq!(identities.server(&listener(own, &[child.id()], Vec::new())), None);
    assert_eq!(identities.server(&listener(own, &[], Vec::new())), None);
}
