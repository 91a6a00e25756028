//! The list at widths that people have.

use super::*;
use crate::app::render::{table::fixtures, text};
use observer::model::{
    Backlog, Drops, Family, HolderState, Host, LeftOut, ListedAcceptQueue, ListedSynQueue,
    ReuseportGroup, Tool, Wait,
};

fn options(width: usize) -> TableOptions {
    TableOptions {
        workers: 2,
        empty: "no TCP listener was found now".into(),
        as_root: false,
        ..fixtures::options(width)
    }
}

fn holder(pid: u32, comm: &str, wait: Option<Wait>) -> Holder {
    Holder { pid, comm: comm.into(), fd: 6, wait }
}

fn listener(address: &str, port: u16) -> ListedListener {
    ListedListener {
        netns: 4_026_531_840,
        cookie: Some(1),
        inode: u64::from(port),
        family: if address.contains(':') { Family::Ipv6 } else { Family::Ipv4 },
        address: address.into(),
        port,
        interface: Some(0),
        v6only: None,
        uid: 0,
        reuseport: Some(false),
        reuseport_group: None,
        defer_accept: Some(0),
        fastopen: Some(0),
        holders: Some(vec![holder(4242, "nginx", Some(Wait::Epoll))]),
        server: None,
        accept_queue: ListedAcceptQueue { limit: Some(511), ..ListedAcceptQueue::default() },
        syn_queue: ListedSynQueue { now: Some(0) },
        backlog: Backlog { limit: Some(511), at_somaxconn: Some(false), ..Backlog::default() },
        drops: Drops { total: Some(0), ..Drops::default() },
        holder_states: None,
        findings: Vec::new(),
    }
}

fn list(listeners: Vec<ListedListener>) -> ListenerList {
    ListenerList {
        schema_version: 1,
        tool: Tool { name: "observer".into(), version: "0.1.0".into() },
        host: Host { kernel: "6.18.44".into(), arch: "x86_64".into(), cpus: 2 },
        listeners,
        left_out: LeftOut::default(),
    }
}

/// One of each.
fn several() -> ListenerList {
    let mut full = listener("0.0.0.0", 443);
    full.accept_queue =
        ListedAcceptQueue { now: 129, limit: Some(128), ..ListedAcceptQueue::default() };
    full.drops.total = Some(5_311);
    full.syn_queue.now = Some(12);
    full.backlog.at_somaxconn = Some(true);
    full.holders =
        Some((1..=4).map(|pid| holder(4243 + pid, "nginx", Some(Wait::Accept))).collect());
    full.reuseport = Some(true);
    full.reuseport_group = Some(ReuseportGroup { id: 443, size: 4 });
    full.defer_accept = Some(5);
    let mut six = listener("2001:db8:85a3:1111:2222:8a2e:370:7334", 8443);
    six.netns = 4_026_532_281;
    six.v6only = Some(true);
    six.holders = None;
    let mut bare = listener("127.0.0.1", 8080);
    bare.netns = 4_026_532_281;
    (bare.accept_queue.limit, bare.backlog.limit) = (None, None);
    bare.syn_queue.now = None;
    bare.drops.total = None;
    bare.holders = Some(Vec::new());
    let mut list = list(vec![listener("127.0.0.1", 80), full, bare, six]);
    list.left_out.processes = 12;
    list.left_out.netns = vec![4_026_532_300];
    judged(list)
}

/// The list with what is wrong in it, as far as the listeners themselves tell.
fn judged(mut list: ListenerList) -> ListenerList {
    let mut report = list.unobserved();
    observer::findings::judge(&mut report);
    for (listed, judged) in list.listeners.iter_mut().zip(report.listeners) {
        listed.findings = judged.findings;
    }
    list
}

#[test]
fn it_looks_as_before() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for width in [80, 120, 60] {
        settings.bind(|| {
            insta::assert_snapshot!(
                format!("listeners@{width}"),
                render(&several(), &options(width))
            );
        });
    }
}

#[test]
fn a_wide_screen_shows_options_and_a_narrow_one_the_essential() {
    let text = render(&several(), &options(200));
    for words in
        ["reuseport ×4, defer 5 s", "v6only", "[2001:db8:85a3:1111:2222:8a2e:370:7334]:8443"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let one = list(vec![several().listeners.swap_remove(1)]);
    assert!(render(&one, &options(80)).contains("reuseport ×4, defer 5 s"));
    let narrow = render(&several(), &options(40));
    assert_eq!(narrow.lines().nth(2), Some("LISTENER                QUEUE SYN ~DROPS"), "{narrow}");
}

#[test]
fn no_line_is_wider_than_the_screen_and_numbers_are_whole() {
    let mut hostile = several();
    hostile.listeners[0].holders = Some(vec![holder(1, "a\u{1b}[2J\nb", None)]);
    for list in [several(), hostile, list(Vec::new())] {
        for width in 0..=220 {
            let text = render(&list, &options(width));
            for line in text.lines() {
                // Steps are there to be copied.
                let is_step = line.starts_with("      ");
                assert!(is_step || text::width(line) <= width, "{width}: {line}");
                assert!(line.chars().all(|c| !c.is_control()) && !line.ends_with(' '), "{line:?}");
            }
            if width >= 40 && !list.listeners.is_empty() {
                assert!(text.contains(" 129/128") && text.contains(" 5311"), "{width}: {text}");
            }
        }
    }
}

#[test]
fn colour_marks_what_is_wrong_and_nothing_without_it() {
    let colour = TableOptions { colour: true, ..options(100) };
    let mut list = several();
    let text = render(&list, &colour);
    assert!(text.contains("\u{1b}[33m129/128\u{1b}[0m"), "{text}");
    // Where accepts are deferred, each good connection is among them.
    assert!(text.contains(" 5311 ") && !text.contains("\u{1b}[31m5311"), "{text}");
    list.listeners.iter_mut().for_each(|one| one.defer_accept = Some(0));
    let list = judged(list);
    let text = render(&list, &colour);
    assert!(text.contains("\u{1b}[31m5311\u{1b}[0m"), "{text}");
    assert!(text.contains("\u{1b}[31m129/128\u{1b}[0m"), "{text}");
    assert!(!render(&several(), &options(100)).contains('\u{1b}'));
}

#[test]
fn an_empty_list_says_so() {
    assert_eq!(
        render(&list(Vec::new()), &options(80)),
        "observer 0.1.0 · Linux 6.18.44 · 0 listeners\n\nno TCP listener was found now\n"
    );
}

/// A reuseport group of four, of which one member is stopped and one has a full queue.
fn group() -> ListenerList {
    let members = (0..4).map(|number| {
        let mut one = listener("0.0.0.0", 8080);
        one.inode = 500 + number;
        one.reuseport = Some(true);
        one.reuseport_group = Some(ReuseportGroup { id: 500, size: 4 });
        let pid = 23_480 + u32::try_from(number).unwrap_or(0);
        one.holders = Some(vec![holder(pid, "python3", Some(Wait::Accept))]);
        let state = if number == 2 { 'T' } else { 'S' };
        one.holder_states = Some(vec![HolderState {
            pid,
            tid: pid,
            comm: "python3".into(),
            state: Some(state),
            ..HolderState::default()
        }]);
        if number == 3 {
            one.accept_queue = ListedAcceptQueue { now: 512, ..one.accept_queue };
        }
        one
    });
    judged(list([vec![listener("127.0.0.1", 80)], members.collect()].concat()))
}

#[test]
fn a_group_is_one_row_with_its_members_beneath_the_worst_first() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("group@80", render(&group(), &options(80))));
}
