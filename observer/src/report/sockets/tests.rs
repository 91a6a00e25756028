//! The list, from sockets that no kernel made.

use std::collections::BTreeMap;

use super::*;
use crate::{host::holders::Holding, model::Holder};

fn socket(address: &str, port: u16, inode: u64) -> Socket {
    Socket {
        v6: address.contains(':'),
        v6only: address.contains(':').then_some(false),
        interface: Some(0),
        uid: 0,
        inode,
        cookie: Some(inode),
        address: address.parse().expect("an address"),
        port,
        queue: 0,
        limit: Some(128),
        drops: Some(0),
    }
}

fn list(
    sockets: Vec<Socket>,
    options: &HashMap<u64, Options>,
    left_out: LeftOut,
    keep: impl Fn(&Socket) -> bool,
) -> ListenerList {
    let namespace = Namespace { sockets, somaxconn: Some(128), ..Namespace::default() };
    let looks = Looks { seen: BTreeMap::from([(1, namespace)]), left_out: Vec::new() };
    let holder = Holder { pid: 7, comm: "a".into(), fd: 3, wait: None };
    let holdings = Holdings::from_iter([(1, vec![Holding { holder, parent: 1 }])]);
    let host = Host { kernel: String::new(), arch: String::new(), cpus: 1 };
    super::list(Seen { host, looks: &looks, holdings: &holdings, options, left_out }, keep)
}

#[test]
fn what_is_not_known_is_null() {
    let bare = Socket {
        interface: None,
        cookie: None,
        limit: None,
        drops: None,
        ..socket("0.0.0.0", 80, 2)
    };
    let refused = LeftOut { processes: 1, ..LeftOut::default() };
    let list = list(vec![bare], &HashMap::new(), refused, |_| true);
    let value = serde_json::to_value(&list.listeners[0]).expect("JSON");
    for name in [
        "cookie",
        "interface",
        "holders",
        "reuseport",
        "reuseport_group",
        "defer_accept",
        "fastopen",
    ] {
        assert!(value[name].is_null(), "{name}: {value}");
    }
    for (object, name) in [
        ("accept_queue", "limit"),
        ("syn_queue", "now"),
        ("drops", "total"),
        ("backlog", "limit"),
        ("backlog", "requested"),
        ("backlog", "clamped"),
        ("backlog", "stale"),
        ("backlog", "at_somaxconn"),
        ("backlog", "syncookies"),
    ] {
        assert_eq!(value[object].get(name), Some(&serde_json::Value::Null), "{object}.{name}");
    }
}

#[test]
fn that_nobody_holds_it_is_said_only_when_all_were_looked_at() {
    let sockets = || vec![socket("0.0.0.0", 80, 1), socket("0.0.0.0", 81, 2)];
    let count = |left_out| {
        let list = list(sockets(), &HashMap::new(), left_out, |_| true);
        list.listeners.iter().map(|one| one.holders.as_ref().map(Vec::len)).collect::<Vec<_>>()
    };
    assert_eq!(count(LeftOut::default()), [Some(1), Some(0)]);
    assert_eq!(count(LeftOut { processes: 3, ..LeftOut::default() }), [Some(1), None]);
    assert_eq!(count(LeftOut { hidden_processes: true, ..LeftOut::default() }), [Some(1), None]);
}

#[test]
fn a_group_is_whole_whatever_is_chosen() {
    let sockets = vec![
        socket("0.0.0.0", 80, 3),
        socket("0.0.0.0", 80, 2),
        socket("::", 80, 4),
        socket("0.0.0.0", 81, 5),
        Socket { interface: Some(2), ..socket("0.0.0.0", 80, 6) },
    ];
    let yes = Options { reuseport: Some(true), ..Options::default() };
    let options = HashMap::from([(5, yes)]);
    let list = list(sockets, &options, LeftOut::default(), |one| one.inode != 2);
    let groups: Vec<_> =
        list.listeners.iter().map(|one| (one.inode, one.reuseport, one.reuseport_group)).collect();
    assert_eq!(
        groups,
        [
            (3, Some(true), Some(ReuseportGroup { id: 2, size: 2 })),
            (6, None, None),
            (4, None, None),
            (5, Some(true), Some(ReuseportGroup { id: 5, size: 1 })),
        ]
    );
}

#[test]
fn a_full_queue_is_used_beyond_its_limit() {
    let used = |queue, limit| {
        let socket = Socket { queue, limit, ..socket("0.0.0.0", 80, 1) };
        let list = list(vec![socket], &HashMap::new(), LeftOut::default(), |_| true);
        list.listeners[0].accept_queue.used_percent
    };
    assert_eq!(used(0, Some(128)), Some(0.0));
    assert_eq!(used(128, Some(128)), Some(100.0));
    assert_eq!(used(2, Some(1)), Some(200.0));
    // Neither has a percentage.
    assert_eq!((used(1, Some(0)), used(1, None)), (None, None));
}

#[test]
fn a_limit_at_somaxconn_may_have_been_asked_for() {
    let list = list(vec![socket("0.0.0.0", 80, 1)], &HashMap::new(), LeftOut::default(), |_| true);
    let backlog = &list.listeners[0].backlog;
    assert_eq!((backlog.clamped, backlog.at_somaxconn), (None, Some(true)));
}
