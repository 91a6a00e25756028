use observer_common::drops::DropReason::{
    self, AcceptQueueFullAck, AcceptQueueFullSyn, Other, SynQueueFull, SynQueueLastQuarter,
};
use proptest::prelude::*;

use super::{Counters, Reasons, Share, Traces, alone, attribute, attribute_between};

fn reasons(pairs: &[(DropReason, u64)]) -> Reasons {
    let mut all = Reasons::default();
    pairs.iter().for_each(|(reason, count)| all[*reason as usize] = *count);
    all
}

/// A share that is known.
fn known(pairs: &[(DropReason, u64)]) -> Share {
    let total = pairs.iter().map(|(_, count)| count).sum();
    Share { least: total, most: total, reasons: Some(reasons(pairs)) }
}

/// A listener whose accept queue was full.
fn full(counter: u64, acks: Option<u64>) -> Traces {
    Traces { counter: Some(counter), acks, overflowed: true, ..Traces::default() }
}

/// One whose accept queue was never full.
fn never_full(counter: u64) -> Traces {
    Traces { overflowed: false, ..full(counter, Some(0)) }
}

fn overflows(count: u64) -> Counters {
    Counters { drops: count, overflows: count, ..Counters::default() }
}

#[test]
fn one_listener_has_all_that_its_namespace_counted() {
    let one = full(3 + 2 * 4, Some(4));
    let namespace = Counters { drops: 7, overflows: 6, syn_queue_full: 1, cookies: false };
    let expected = known(&[(AcceptQueueFullSyn, 2), (AcceptQueueFullAck, 4), (SynQueueFull, 1)]);
    assert_eq!(attribute(&[one], namespace), [expected]);
    // A kernel that does not tell of refused ACKs: the two counters do.
    assert_eq!(attribute(&[Traces { acks: None, ..one }], namespace), [expected]);
}

#[test]
fn a_queue_that_was_never_full_overflowed_for_nobody() {
    // 75 bare ACKs that were set aside, beside 99 overflows.
    let shares = attribute(&[never_full(75), full(99, Some(0))], overflows(99));
    assert_eq!(shares, [known(&[]), known(&[(AcceptQueueFullSyn, 99)])]);
    // Where the kernel does not tell of refused ACKs, they are not the neighbour's either.
    let deferring = Traces { acks: None, ..never_full(75) };
    let shares = attribute(&[deferring, full(99, None)], overflows(99));
    assert_eq!(shares, [known(&[]), known(&[(AcceptQueueFullSyn, 99)])]);
    // Nobody can have had them: a listener is missing.
    assert_eq!(attribute(&[never_full(75)], overflows(99)), [known(&[])]);
}

#[test]
fn several_that_overflowed_are_told_apart_by_their_own_counters() {
    let two = [full(5, Some(0)), full(7 + 2 * 3, Some(3))];
    let expected = [
        known(&[(AcceptQueueFullSyn, 5)]),
        known(&[(AcceptQueueFullSyn, 7), (AcceptQueueFullAck, 3)]),
    ];
    assert_eq!(attribute(&two, overflows(15)), expected);
}

#[test]
fn what_cannot_be_told_apart_has_bounds() {
    // Ten that one of them set aside, nobody knows which.
    let shares = attribute(&[full(8, Some(0)), full(100, Some(0))], overflows(98));
    assert_eq!((shares[0].least, shares[0].most), (0, 8));
    assert_eq!((shares[1].least, shares[1].most), (90, 98));
    // One that closed before its counter was read can have had them all.
    let gone = Traces { counter: None, ..full(0, None) };
    let shares = attribute(&[full(8, None), gone], overflows(6));
    assert_eq!((shares[0].least, shares[0].most), (0, 6));
    assert_eq!((shares[1].least, shares[1].most), (0, 6));
}

#[test]
fn of_a_namespace_that_is_gone_its_listeners_counters_are_left() {
    assert_eq!(alone(&full(0, Some(0))), known(&[]));
    let share = alone(&full(7, Some(2)));
    assert_eq!((share.least, share.most), (2, 7));
    assert_eq!(share.reasons, Some(reasons(&[(AcceptQueueFullAck, 2)])));
    assert_eq!(alone(&Traces::default()), Share { least: 0, most: u64::MAX, reasons: None });
}

#[test]
fn counters_that_grew_while_they_were_read_agree_with_the_sockets() {
    let (low, high) = (overflows(97), overflows(103));
    let shares = attribute_between(&[full(100, Some(0))], low, high);
    assert_eq!(shares, [known(&[(AcceptQueueFullSyn, 100)])]);
    let shares = attribute_between(&[full(20, Some(0)), full(80, Some(0))], low, high);
    assert_eq!(shares, [known(&[(AcceptQueueFullSyn, 20)]), known(&[(AcceptQueueFullSyn, 80)])]);
    // With packets among them that were no drops, the least is the least of both.
    let shares = attribute_between(&[full(22, Some(0)), full(90, Some(0))], low, high);
    assert_eq!((shares[0].least, shares[0].most), (7, 22));
    assert_eq!((shares[1].least, shares[1].most), (75, 90));
    // Counters that stood still are taken as they are.
    let (one, low) = (full(3, Some(0)), overflows(2));
    assert_eq!(attribute_between(&[one], low, low), [known(&[(AcceptQueueFullSyn, 2)])]);
}

#[test]
fn totals_can_be_known_where_reasons_are_not() {
    let namespace = Counters { drops: 10, syn_queue_full: 5, ..Counters::default() };
    let shares = attribute(&[never_full(5), never_full(5)], namespace);
    let unknown = Share { least: 5, most: 5, reasons: None };
    assert_eq!(shares, [unknown, unknown]);
}

#[test]
fn refused_acks_with_a_cookie_are_counted_once() {
    let namespace = Counters { cookies: true, ..overflows(6) };
    let shares = attribute(&[full(2 + 4, Some(4))], namespace);
    assert_eq!(shares, [known(&[(AcceptQueueFullSyn, 2), (AcceptQueueFullAck, 4)])]);
}

#[test]
fn what_no_counter_explains_is_the_last_quarter_where_the_syn_queue_came_there() {
    let namespace = Counters { drops: 2, ..Counters::default() };
    assert_eq!(attribute(&[never_full(3)], namespace), [known(&[(Other, 2)])]);
    let long = Traces { last_quarter: true, ..never_full(3) };
    assert_eq!(attribute(&[long], namespace), [known(&[(SynQueueLastQuarter, 2)])]);
    // What the namespace did not count was no drop.
    assert_eq!(attribute(&[long], Counters::default()), [known(&[])]);
}

/// Drops at the SYN for a full accept queue, at the final ACK, for a full SYN queue, for another reason;
/// and packets that were none.
type Truth = (u64, u64, u64, u64, u64);

proptest! {
    #[test]
    fn the_truth_is_within_the_bounds(
        truths in prop::collection::vec(
            (0..50_u64, 0..50_u64, 0..50_u64, 0..50_u64, prop_oneof![Just(0_u64), 0..50_u64]),
            1..6,
        ),
        sees_acks: bool,
        with_cookies: bool,
    ) {
        let sum = |of: fn(&Truth) -> u64| truths.iter().map(of).sum::<u64>();
        let namespace = Counters {
            drops: sum(|one| one.0 + one.1 + one.2 + one.3),
            overflows: sum(|one| one.0 + one.1),
            syn_queue_full: sum(|one| one.2),
            cookies: with_cookies,
        };
        let listeners: Vec<_> = truths
            .iter()
            .map(|(syns, acks, full, other, noise)| Traces {
                counter: Some(syns + 2 * acks + full + other + noise),
                acks: sees_acks.then_some(*acks),
                overflowed: syns + acks > 0,
                last_quarter: false,
            })
            .collect();
        let shares = attribute(&listeners, namespace);
        for (share, (syns, acks, full, other, _)) in shares.iter().zip(&truths) {
            let total = syns + acks + full + other;
            prop_assert!((share.least..=share.most).contains(&total), "{share:?} {total}");
            if let (Some(reasons), true) = (share.reasons, share.least == share.most) {
                let overflows = reasons[AcceptQueueFullSyn as usize] + reasons[AcceptQueueFullAck as usize];
                prop_assert_eq!(overflows, syns + acks);
                prop_assert_eq!(reasons[SynQueueFull as usize], *full);
                prop_assert_eq!(reasons[Other as usize], *other);
            }
        }
        let least: u64 = shares.iter().map(|share| share.least).sum();
        prop_assert!(least <= namespace.drops);
    }
}
