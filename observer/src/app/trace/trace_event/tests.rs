use observer::model::{LostReason, What};
use serde_json::Value;

use super::{REMEMBERED, TraceEvents};
use crate::app::trace::fixtures::{accepted, eagain, event, herd, queued, silent, task, woken};

fn written(events: impl IntoIterator<Item = (u64, What)>) -> String {
    let (mut trace, mut out) = (TraceEvents::default(), Vec::new());
    for (at, what) in events {
        trace.event(&event(at, what), at, &mut out);
    }
    trace.end(&mut out);
    String::from_utf8(out).expect("text")
}

fn records(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("an array")
}

#[test]
fn a_herd_is_slices_and_an_arrow() {
    insta::assert_snapshot!(written(herd()));
}

#[test]
fn it_is_an_array_whatever_happened() {
    assert_eq!(records(&written([])).len(), 0);
    let mut outside = task(1);
    (outside.pid, outside.tid) = (None, None);
    let others = [
        (1, woken(None, 7)),
        (2, silent(7)),
        (3, eagain(8)),
        (4, accepted(9, 9, 1, None)),
        (5, What::Lost { count: 3, reason: LostReason::BufferFull, kinds: None }),
        (6, What::Listening { task: task(7), backlog: 1 }),
        (7, What::Woken { connection: None, task: outside.clone() }),
        (8, What::Accepted { connection: None, task: outside, wait: None, since_wakeup: Some(3) }),
        (9, What::Dropped { client: None, reason: "other".to_owned() }),
    ];
    let records = records(&written(others));
    for record in &records {
        assert!(record["pid"].is_u64() && record["tid"].is_u64(), "{record}");
        assert!(record["ph"] == "M" || record["ts"].is_number(), "{record}");
    }
    let of = |phase: &str| records.iter().filter(|one| one["ph"] == phase).count();
    assert_eq!((of("b"), of("e"), of("s"), of("f")), (1, 1, 1, 1));
}

#[test]
fn an_accept_follows_its_wakeup_and_is_not_within_it() {
    let records = records(&written(herd()));
    let of = |name: &str| records.iter().find(|one| one["name"] == name).expect("a record");
    let (woken, accept) = (of("woken: accepted"), of("accept #1"));
    let end = woken["ts"].as_f64().zip(woken["dur"].as_f64()).map(|(at, lasts)| at + lasts);
    assert!(end < accept["ts"].as_f64(), "{woken} {accept}");
    for (phase, slice) in [("s", woken), ("f", accept)] {
        let arrow = records.iter().find(|one| one["ph"] == phase).expect("an arrow");
        for field in ["ts", "pid", "tid", "cat"] {
            assert_eq!(arrow[field], slice[field], "{field}");
        }
    }
}

#[test]
fn the_queue_is_as_deep_as_the_kernel_says() {
    let events = [
        (1, queued(1, 1)),
        (2, queued(2, 2)),
        (3, accepted(1, 7, 2, None)),
        (4, accepted(2, 7, 2, None)),
        (5, accepted(3, 7, 2, None)),
        (6, queued(4, 9)),
    ];
    let records = records(&written(events));
    let depths: Vec<_> = records
        .iter()
        .filter(|one| one["ph"] == "C")
        .filter_map(|one| one["args"]["connections"].as_u64())
        .collect();
    assert_eq!(depths, [1, 2, 1, 0, 0, 9]);
}

#[test]
fn what_is_remembered_has_a_bound() {
    let (mut trace, mut out) = (TraceEvents::default(), Vec::new());
    for number in 1..=u32::try_from(REMEMBERED).expect("small") + 3 {
        let at = u64::from(number);
        trace.event(&event(at, queued(at, 1)), at, &mut out);
        trace.event(&event(at, woken(at, number)), at, &mut out);
        out.clear();
    }
    assert!(trace.clients.len() <= REMEMBERED && trace.woken.len() <= REMEMBERED);
    assert!(trace.named.len() <= REMEMBERED);
}
