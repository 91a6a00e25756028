//! What is said beneath the table.

use super::super::fixtures::{self, NETNS, options};
use super::*;
use observer::model::{AuditCounter, NetnsAudit, NoRoom, Via, Wakeups};

#[test]
fn a_quiet_window_is_told_in_words() {
    let mut report = fixtures::report(vec![fixtures::listener("0.0.0.0", 80)]);
    let text = render(&report, &options(80));
    assert!(text.ends_with("\n\nno connection was accepted in this window\n"), "{text}");
    assert!(row(&text, 3).contains(" - "), "{text}");
    report.listeners[0].queued = Some(12);
    report.listeners[0].accept_queue.now = Some(12);
    // Once is enough.
    let text = table(&report, &options(120));
    let told = "\n  warning: 12 connections wait in the accept queue and none was accepted\n";
    assert!(text.contains(told), "{text}");
    assert!(!text.contains("no connection was accepted"), "{text}");
    // They were queued, and went with their clients or their listener.
    report.listeners[0].accept_queue.now = Some(0);
    assert!(table(&report, &options(120)).contains(
        "no connection was accepted in this window, though 12 completed the handshake and were \
         queued\n"
    ));
    // Nobody looked: nothing can be said.
    report.providers.accepts.via = Via::None;
    report.providers.accepts.exact = false;
    assert!(!table(&report, &options(80)).contains("no connection was accepted"));
}

#[test]
fn no_listener_at_all_is_told_in_the_words_of_the_caller() {
    let text = render(&fixtures::report(Vec::new()), &options(80));
    assert_eq!(
        text,
        "observer 0.1.0 · Linux 6.18.44 · total of 5.0 s · from 03:04:05Z · by tracepoint\n\n\
         no listener matched --port 8080 in this window\n"
    );
    // What no number is marked with needs no explanation.
    let mut report = fixtures::report(Vec::new());
    report.providers.wakeups.exact = false;
    assert!(!render(&report, &options(80)).contains('~'));
}

#[test]
fn estimates_are_marked_and_explained_once() {
    let mut report = fixtures::herd(8);
    assert!(!render(&report, &options(200)).contains('~'));
    report.providers.wakeups.exact = false;
    report.providers.wakeups.inferred = Some(12);
    let text = table(&report, &options(200));
    let header = row(&text, 2);
    for column in ["~WAKEUPS", "~HERD", "~WASTED", "~SILENT"] {
        assert!(header.contains(column), "{header}");
    }
    assert!(header.contains(" ACCEPTED") && header.contains(" DROPS"), "{header}");
    assert_eq!(text.matches("~ is an estimate").count(), 1);
    assert!(text.contains("(wakeups, at most 12 too many)"));
}

#[test]
fn what_nothing_observes_is_no_zero() {
    let mut report = fixtures::herd(8);
    report.providers.wakeups.via = Via::None;
    report.providers.wakeups.exact = false;
    report.listeners[0].wakeups = Some(Wakeups::default());
    report.listeners[0].herd_ratio = None;
    report.listeners[0].drops.total = None;
    let text = table(&report, &TableOptions { workers: 0, ..options(80) });
    let words: Vec<&str> = row(&text, 3).split_whitespace().skip(4).collect();
    // Accepted, wakeups, herd, wasted, EAGAIN, queue, drops.
    assert_eq!(words, ["200", "-", "-", "-", "136", "3/511", "-"]);
    assert!(text.contains("not observed: wakeups; `observer doctor` tells"));
    assert!(!text.contains('~'));
}

#[test]
fn losses_and_kernel_counters_are_told() {
    let mut report = fixtures::herd(8);
    report.audit.events_lost = 1;
    report.audit.map_full = 2;
    report.audit.missed_runs = 3;
    let counter = |kernel, observed| AuditCounter { kernel, observed };
    report.audit.netns.push(NetnsAudit {
        netns: NETNS,
        unattributed: None,
        counters: [
            ("ListenOverflows".to_owned(), counter(Some(4), Some(4))),
            ("ListenDrops".to_owned(), counter(Some(0), Some(1))),
            ("TCPReqQFullDrop".to_owned(), counter(Some(0), None)),
            ("TCPReqQFullDoCookies".to_owned(), counter(None, Some(9))),
        ]
        .into(),
    });
    let text = table(&report, &options(120));
    assert!(text.contains("\n1 event was lost"), "{text}");
    assert!(text.contains("\n2 counts found no room"), "{text}");
    assert!(text.contains("\n3 runs of observer's programs were skipped"), "{text}");
    assert!(
        text.contains(
            "\nthe kernel counted 4 ListenOverflows (accept queue full): all at other listeners of \
             the network namespace\ncounts disagree with the kernel by 1 ListenDrops (observer saw 1, the \
             kernel 0)\n"
        ),
        "{text}"
    );
}

#[test]
fn what_had_no_room_is_told_with_whose_it_was() {
    let mut report = fixtures::herd(8);
    report.audit.no_room = NoRoom { listeners: 3_800, errors: 6, ..NoRoom::default() };
    report.audit.map_full = 3_806;
    let told = |report: &Report| table(report, &options(200));
    let text = told(&report);
    let of_others = "\n3806 counts found no room in a kernel map: 3806 of listeners that are not \
                     shown here\n";
    assert!(text.contains(of_others), "{text}");
    assert!(!text.contains("too low"), "{text}");
    report.listeners[0].incomplete = true;
    report.audit.incomplete = 1;
    report.audit.no_room.workers = 2;
    report.audit.map_full = 3_808;
    let text = told(&report);
    let of_ours = "3806 of listeners, of which 1 is shown here and its numbers are too low, 2 of \
                   workers, which are in a row (others)\n";
    assert!(text.contains(of_ours), "{text}");
    assert!(text.contains("\n  its numbers are too low: the kernel maps had no room"), "{text}");
}

#[test]
fn a_reading_that_is_not_of_one_moment_says_so() {
    let mut report = fixtures::herd(8);
    report.audit.unsettled = 12;
    let text = table(&report, &options(200));
    assert!(text.contains("\n12 tasks ended while they were read, each time"), "{text}");
}

#[test]
fn processes_that_do_not_answer_are_told() {
    let mut report = fixtures::herd(8);
    report.audit.unanswered = 1;
    let text = table(&report, &options(200));
    assert!(text.contains("\n1 process does not answer when it is looked at"), "{text}");
}

#[test]
fn drops_of_listeners_that_are_not_shown_are_told_apart() {
    let told = |shown: Option<u64>, observed: Option<u64>| {
        let mut report = fixtures::report(vec![fixtures::listener("0.0.0.0", 80)]);
        report.listeners[0].drops.total = shown;
        let drops = AuditCounter { kernel: Some(40), observed };
        let counters = [("ListenDrops".to_owned(), drops)].into();
        report.audit.netns.push(NetnsAudit { netns: NETNS, counters, unattributed: None });
        table(&report, &options(200))
    };
    let all = "40 ListenDrops (attempts dropped, for any reason): all at other listeners";
    assert!(told(Some(0), None).contains(all));
    assert!(told(Some(0), Some(40)).contains(all));
    assert!(told(Some(3), Some(40)).contains("reason): 3 of them here, the others at other"));
    // What was missed is no other listener's, and of what is not known nothing is said.
    for text in [told(Some(39), Some(39)), told(Some(40), None), told(None, None)] {
        assert!(!text.contains("other listeners"), "{text}");
    }
}

#[test]
fn errors_that_no_finding_is_about_are_told_by_name() {
    let text = table(&fixtures::incident(), &options(120));
    assert!(text.contains("\naccept failed on *:443: ECONNABORTED 3\n"), "{text}");
    let mut report = fixtures::incident();
    report.listeners[1].accept_errors.remove("ECONNABORTED");
    assert!(!table(&report, &options(120)).contains("accept failed on"));
}

#[test]
fn counts_that_disagree_in_one_of_several_namespaces_say_in_which() {
    let mut report = fixtures::many(20);
    let counter = AuditCounter { kernel: Some(5), observed: Some(3) };
    report.audit.netns[1].counters.insert("ListenOverflows".into(), counter);
    let text = table(&report, &options(120));
    let told = "\nnetns 4026532281: counts disagree with the kernel by 2 ListenOverflows (observer saw \
                3, the kernel 5)\n";
    assert!(text.contains(told), "{text}");
}
