//! Why an accept queue was too short: whether accept was late, and what would have held the clients that came.

use super::{rule::Case, words::counted};
use crate::{model::Via, units};

/// Nanoseconds of accept wait from which on accept is late.
const LATE: u64 = 100_000_000;

/// Fewest seconds of a window of which it can be said that accepts are slower than arrivals: within less the
/// queue of a burst has had no time to drain.
const LONG_ENOUGH: f64 = 1.0;

/// So many times all that the queue holds has to be accepted in a window after which it is full still, for
/// accepts to be slower than arrivals: once is what a burst left there.
const TURNS: u64 = 2;

/// Why the queue was too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing was accepted while it filled.
    NothingAccepted,
    /// Connections come faster than they are accepted: so many came, where that is known, and so many were
    /// accepted.
    TooSlow { came: Option<u64>, accepted: u64 },
    /// The server drains it, but begins late: some connection waited for so many nanoseconds.
    Late { wait: u64 },
    /// Accept fails for want of descriptors.
    Failing,
    /// More came at once than it holds.
    Burst,
    /// Accepts were not observed, or not counted for want of room.
    Unknown,
}

/// Why the accept queue was too short in this window.
pub(super) fn cause(case: &Case<'_>) -> Cause {
    let listener = case.listener;
    if case.providers.accepts.via == Via::None {
        return Cause::Unknown;
    }
    let failed = |name| listener.accept_errors.get(name).is_some_and(|count| *count > 0);
    if failed("EMFILE") || failed("ENFILE") {
        return Cause::Failing;
    }
    let Some((accepted, queued)) = listener.accepted.zip(listener.queued) else {
        return Cause::Unknown;
    };
    if accepted == 0 {
        return Cause::NothingAccepted;
    }
    // A client that tries again is one that came.
    let came = known_clients(case).map(|clients| queued.saturating_add(clients));
    // Full still, though all that it holds was taken out of it more than once: no burst that is being worked
    // off, but what comes is more than what goes.
    let stays_full =
        case.fullest().zip(listener.accept_queue.now).is_some_and(|((_, limit), now)| {
            let turned_over = limit.saturating_add(1).saturating_mul(TURNS);
            now >= limit.max(1) && accepted >= turned_over
        });
    let dropped = listener.drops.total.is_some_and(|drops| drops > 0);
    if stays_full && dropped && case.window.seconds >= LONG_ENOUGH {
        return Cause::TooSlow { came, accepted };
    }
    let wait = &listener.accept_wait;
    match wait.max.or(wait.p99).max(wait.oldest).filter(|wait| *wait >= LATE) {
        Some(wait) => Cause::Late { wait },
        None => Cause::Burst,
    }
}

/// The cause in words; `None` where it is not known.
pub(super) fn because(case: &Case<'_>, cause: Cause) -> Option<String> {
    Some(match cause {
        Cause::NothingAccepted => "nothing was accepted meanwhile".to_owned(),
        Cause::TooSlow { came, accepted } => {
            let rate = |count| case.per_second(count).map_or_else(|| "-".to_owned(), rate);
            let came = came.map(|came| format!(" ({})", rate(came))).unwrap_or_default();
            format!("connections come faster{came} than they are accepted ({})", rate(accepted))
        }
        Cause::Late { wait } => {
            format!("accept came late, up to {} after the connection", units::time(wait))
        }
        Cause::Failing => "accept fails for want of descriptors".to_owned(),
        Cause::Burst => "a burst came".to_owned(),
        Cause::Unknown => return None,
    })
}

/// What would have held the clients: the queue held at most `most`, and who was dropped would have been in it
/// besides. That is enough for certain, and less may do: dropped clients need not have come at the same time.
/// `None` where nobody was dropped or nothing bounds their number.
pub(super) fn enough(case: &Case<'_>) -> Option<String> {
    let (most, backlog) = (case.fullest()?.0, needed(case)?);
    Some(match known_clients(case) {
        Some(clients) => format!(
            "a backlog of {backlog} would have held them all ({most} in the queue and {} dropped)",
            counted(clients, "client", "clients"),
        ),
        None => {
            let drops = case.listener.drops.total.unwrap_or(0);
            let about = most.saturating_add(drops.div_ceil(tries(case))).saturating_sub(1);
            format!(
                "a backlog of about {about}, and of {backlog} at most, would have held them all: a client \
                 that is dropped tries again each second or so, and each try counts as a drop"
            )
        }
    })
}

/// How often a client may have tried while the queue was full: at once, and each second from then on (Linux since
/// 6.5; older ones at growing intervals). It was full no longer than who waited longest, who came before it was.
fn tries(case: &Case<'_>) -> u64 {
    let wait = &case.listener.accept_wait;
    wait.max.max(wait.oldest).map_or(1, |wait| 1 + wait / 1_000_000_000)
}

/// The backlog that would have been enough for certain. `None` where nobody was dropped or nothing bounds their
/// number, and where none is enough for long, because nothing is accepted, or more slowly than connections come.
pub(super) fn needed(case: &Case<'_>) -> Option<u64> {
    if !matches!(cause(case), Cause::Late { .. } | Cause::Burst) {
        return None;
    }
    let (most, _) = case.fullest()?;
    let drops = &case.listener.drops;
    let dropped =
        known_clients(case).or(drops.at_most).or(drops.total).filter(|count| *count > 0)?;
    // A queue holds one more than its limit.
    Some(most.saturating_add(dropped).saturating_sub(1))
}

/// Clients among the drops, where all could be remembered.
fn known_clients(case: &Case<'_>) -> Option<u64> {
    let drops = &case.listener.drops;
    drops.clients.filter(|_| !drops.clients_overflowed)
}

/// A rate in words: `120/s`, `0.5/s`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 9.95 { format!("{per_second:.0}/s") } else { format!("{per_second:.1}/s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{drops, listener, with_case},
        model::{AcceptQueue, AcceptWait, Drops, Listener},
    };

    fn full(now: u64) -> Listener {
        let mut one = listener();
        one.accept_queue =
            AcceptQueue { now: Some(now), max: Some(9), limit: Some(8), ..AcceptQueue::default() };
        one.drops = Drops { clients: Some(20), ..drops(&[("accept_queue_full_syn", 60)]) };
        one
    }

    fn of(one: &Listener) -> (Cause, String) {
        with_case(one, true, |case| {
            let cause = cause(case);
            (cause, because(case, cause).unwrap_or_default())
        })
    }

    #[test]
    fn slow_late_and_burst_are_told_apart() {
        let mut one = full(0);
        assert_eq!(of(&one), (Cause::Burst, "a burst came".to_owned()));
        one.accept_wait = AcceptWait { max: Some(1_500_000_000), ..AcceptWait::default() };
        let late = "accept came late, up to 1.5 s after the connection";
        assert_eq!(of(&one), (Cause::Late { wait: 1_500_000_000 }, late.to_owned()));
        // Still full when the window ends.
        let mut one = full(9);
        one.queued = Some(509);
        one.accepted = Some(500);
        let (cause, words) = of(&one);
        assert_eq!(cause, Cause::TooSlow { came: Some(529), accepted: 500 });
        assert_eq!(words, "connections come faster (106/s) than they are accepted (100/s)");
        one.drops.clients = None;
        assert_eq!(of(&one).1, "connections come faster than they are accepted (100/s)");
        // What is in it may be the rest of a burst: it has not been emptied twice.
        one.accepted = Some(17);
        assert_eq!(of(&one).0, Cause::Burst);
        one.accepted = Some(18);
        assert!(matches!(of(&one).0, Cause::TooSlow { .. }));
        one.accepted = Some(0);
        assert_eq!(of(&one).0, Cause::NothingAccepted);
        assert_eq!(with_case(&one, true, needed), None);
        one.accept_errors.insert("EMFILE".to_owned(), 1);
        assert_eq!(of(&one).0, Cause::Failing);
    }

    #[test]
    fn a_short_window_says_nothing_of_rates() {
        let one = full(9);
        let cause = with_case(&one, true, |case| {
            let mut window = case.window.clone();
            window.seconds = 0.5;
            super::cause(&Case { window: &window, ..*case })
        });
        assert_eq!(cause, Cause::Burst);
    }

    #[test]
    fn what_would_have_held_the_burst_counts_clients_and_not_tries() {
        let enough = |drops: Drops| {
            let mut one = full(0);
            one.drops = drops;
            with_case(&one, true, enough)
        };
        let known = Drops { clients: Some(20), ..drops(&[("accept_queue_full_syn", 60)]) };
        let words = enough(known.clone()).expect("an estimate");
        // 29 fit into a queue with limit 28.
        assert!(words.starts_with("a backlog of 28 would have held them all"), "{words}");
        let unknown = Drops { clients: None, ..known.clone() };
        let words = enough(unknown.clone()).expect("an estimate");
        assert!(words.starts_with("a backlog of about 68, and of 68 at most, would"), "{words}");
        let too_many = Drops { clients_overflowed: true, ..known.clone() };
        assert_eq!(enough(too_many), enough(unknown.clone()));
        let least = enough(Drops { at_most: Some(70), ..unknown }).expect("an estimate");
        assert!(least.starts_with("a backlog of about 68, and of 78 at most"), "{least}");
        assert_eq!(enough(Drops { clients: Some(0), ..known }), None);
        assert_eq!(enough(Drops { total: Some(0), ..Drops::default() }), None);
        assert_eq!(enough(Drops::default()), None);
    }

    #[test]
    fn tries_are_no_clients() {
        let mut one = full(0);
        one.drops.clients = None;
        one.accept_wait.max = Some(2_500_000_000);
        // Each of twenty tried three times.
        let words = with_case(&one, true, enough).expect("an estimate");
        assert!(words.starts_with("a backlog of about 28, and of 68 at most"), "{words}");
        assert_eq!(with_case(&one, true, needed), Some(68));
    }

    #[test]
    fn rates_have_a_decimal_where_they_are_small() {
        assert_eq!(rate(0.5), "0.5/s");
        assert_eq!(rate(120.4), "120/s");
    }
}
