//! Numbers of a listener that limits are about: one row each. Pure.

use std::time::Duration;

use observer::{
    findings::id,
    model::{Listener, Window},
    units,
};

use super::waits::{Slowest, slowest};

/// A number of a listener that must not be above a limit.
pub struct Measure {
    /// Flag that sets the limit.
    pub flag: &'static str,
    /// Signals that the number comes from.
    pub signals: &'static [&'static str],
    /// The number itself, in this window.
    pub value: fn(&Listener, &Window) -> Value,
    /// How people read it.
    pub show: fn(f64) -> String,
    /// How it is told where [`Self::show`] makes it the same as its limit.
    pub show_precisely: fn(f64) -> String,
    /// Finding whose explanation tells what the number means.
    pub explained_by: &'static str,
}

/// What is known of a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The number.
    Is(f64),
    /// The number, and what it is of.
    Of(f64, String),
    /// Greater than any limit, in these words.
    Endless(String),
    /// The least that it can be, with what it can be at most.
    AtLeast(f64, f64),
    /// There is none, for this reason: nothing happened that it would be about.
    None(&'static str),
    /// There is one, and it is not known, for this reason.
    Unknown(&'static str),
}

/// Reason for what had no room in the kernel maps.
const NO_ROOM: &str = "the listener's counts had no room in the kernel maps; see --map-memory";
const NOTHING_ACCEPTED: &str = "nothing was accepted";

/// Wakeups for each accepted connection.
pub const HERD_RATIO: Measure = Measure {
    flag: "--max-herd-ratio",
    signals: &["wakeups", "accepts"],
    value: |listener, _| herd_ratio(listener),
    show: |ratio| units::ratio(Some(ratio)),
    show_precisely: |ratio| format!("{ratio:.6}"),
    explained_by: id::THUNDERING_HERD,
};

/// Dropped connection attempts.
pub const DROPS: Measure = Measure {
    flag: "--max-drops",
    signals: &["drops"],
    value: |listener, _| drops(listener),
    show: whole,
    show_precisely: whole,
    explained_by: id::ACCEPT_QUEUE_OVERFLOW,
};

/// 99th percentile of the accept waits, in nanoseconds.
pub const ACCEPT_WAIT: Measure = Measure {
    flag: "--max-accept-wait-p99",
    signals: &["accepts", "handshakes"],
    value: accept_wait,
    show: |time| units::time(count_of(time)),
    show_precisely: |time| format!("{time:.0} ns"),
    explained_by: id::SLOW_ACCEPT,
};

/// Greatest use of the accept queue, in percent.
pub const QUEUE_USED: Measure = Measure {
    flag: "--max-queue-used",
    signals: &["handshakes"],
    value: |listener, _| queue_used(listener),
    show: percent,
    show_precisely: percent,
    explained_by: id::ACCEPT_QUEUE_NEAR_LIMIT,
};

/// Accept calls that failed otherwise than with EAGAIN.
pub const ACCEPT_ERRORS: Measure = Measure {
    flag: "--max-accept-errors",
    signals: &["accepts"],
    value: |listener, _| accept_errors(listener),
    show: whole,
    show_precisely: whole,
    explained_by: id::FD_EXHAUSTED,
};

fn herd_ratio(listener: &Listener) -> Value {
    match (listener.accepted, listener.herd_ratio) {
        (_, Some(ratio)) => Value::Is(ratio),
        (Some(0), None) => nothing_accepted(listener),
        (_, None) => Value::Unknown(NO_ROOM),
    }
}

/// The herd ratio where nothing was accepted: greater than any, where tasks were woken all the same. One task for each
/// connection that has just come is about to accept it.
fn nothing_accepted(listener: &Listener) -> Value {
    let Some(wakeups) = listener.wakeups.filter(|wakeups| wakeups.total > 0) else {
        return Value::None(NOTHING_ACCEPTED);
    };
    if wakeups.pending == wakeups.total && wakeups.total <= listener.queued.unwrap_or(0) {
        return Value::None(NOTHING_ACCEPTED);
    }
    let woken = counted(wakeups.total, "wakeup", "wakeups");
    Value::Endless(format!("{woken}, and {NOTHING_ACCEPTED}"))
}

fn drops(listener: &Listener) -> Value {
    let drops = &listener.drops;
    match (drops.total, drops.at_most) {
        (total, Some(most)) if most > total.unwrap_or(0) => {
            Value::AtLeast(float(total.unwrap_or(0)), float(most))
        }
        (Some(total), _) => Value::Is(float(total)),
        (None, Some(_)) => Value::Is(0.0),
        (None, None) => Value::Unknown("nothing tells how many there were"),
    }
}

/// The percentile of those that were accepted, and of those that nobody has accepted.
fn accept_wait(listener: &Listener, window: &Window) -> Value {
    match slowest(listener, length(window)) {
        Slowest::Accepted(wait) => Value::Is(float(wait)),
        Slowest::Waiting { connections, nanoseconds } => {
            let wait = if connections == 1 { "still waits" } else { "still wait" };
            let told = format!("{} {wait}", counted(connections, "connection", "connections"));
            Value::Of(float(nanoseconds), told)
        }
        Slowest::Never(connections) => Value::Endless(format!(
            "{} never accepted",
            counted(connections, "connection was", "connections were")
        )),
        Slowest::Nothing => Value::None(NOTHING_ACCEPTED),
        Slowest::Unknown => Value::Unknown(NO_ROOM),
    }
}

/// Length of a window, in nanoseconds.
pub fn length(window: &Window) -> u64 {
    let length = Duration::try_from_secs_f64(window.seconds).unwrap_or_default();
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

/// A count with its noun.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

fn queue_used(listener: &Listener) -> Value {
    let queue = &listener.accept_queue;
    match (queue.used_percent, queue.max.max(queue.now), queue.limit.or(listener.backlog.limit)) {
        (Some(percent), ..) => Value::Is(percent),
        (None, Some(0), _) => Value::Is(0.0),
        // It holds one more than its limit: whoever is in it fills it.
        (None, Some(_), Some(0)) => Value::Is(f64::INFINITY),
        (None, None, _) => Value::Unknown(NO_ROOM),
        (None, ..) => Value::Unknown("the limit of its accept queue is not known"),
    }
}

fn accept_errors(listener: &Listener) -> Value {
    if listener.accepted.is_none() {
        return Value::Unknown(NO_ROOM);
    }
    Value::Is(float(other_errors(listener)))
}

/// Accept calls of a listener that failed otherwise than with EAGAIN.
pub fn other_errors(listener: &Listener) -> u64 {
    let errors = listener.accept_errors.iter().filter(|(name, _)| *name != "EAGAIN");
    errors.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// A count as what is compared.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, beyond which no limit is meant")]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn count_of(value: f64) -> u64 {
    value.round() as u64
}

fn whole(count: f64) -> String {
    format!("{count:.0}")
}

/// A percentage with as many decimals as there are, one at most.
pub fn percent(percent: f64) -> String {
    if percent.is_infinite() {
        return "full, with a limit of 0".to_owned();
    }
    let text = format!("{percent:.1}");
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

/// A time as people type it.
pub fn typed(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use observer::model::Wakeups;

    use super::*;
    use crate::app::render::table::fixtures;

    fn with(change: impl FnOnce(&mut Listener)) -> Listener {
        let mut one = fixtures::listener("127.0.0.1", 80);
        change(&mut one);
        one
    }

    #[test]
    fn what_is_not_known_is_not_taken_for_nothing() {
        let idle = with(|_| ());
        assert_eq!(herd_ratio(&idle), Value::None(NOTHING_ACCEPTED));
        assert_eq!(herd_ratio(&with(|one| one.accepted = None)), Value::Unknown(NO_ROOM));
        assert_eq!(herd_ratio(&with(|one| one.herd_ratio = Some(1.5))), Value::Is(1.5));
        assert_eq!(accept_errors(&with(|one| one.accepted = None)), Value::Unknown(NO_ROOM));
        assert!(matches!(drops(&with(|one| one.drops.total = None)), Value::Unknown(_)));
        let waited = |count, p99| {
            let one = with(|one| (one.accept_wait.count, one.accept_wait.p99) = (count, p99));
            accept_wait(&one, &fixtures::herd(1).window)
        };
        assert_eq!(waited(Some(0), None), Value::None(NOTHING_ACCEPTED));
        assert_eq!(waited(None, None), Value::Unknown(NO_ROOM));
        assert_eq!(waited(Some(3), None), Value::Unknown(NO_ROOM));
        assert_eq!(waited(Some(3), Some(9)), Value::Is(9.0));
    }

    #[test]
    fn wakeups_for_nothing_are_more_than_any_ratio() {
        let woken = |total, pending, queued| {
            herd_ratio(&with(|one| {
                let silent = total - pending;
                one.wakeups = Some(Wakeups { total, pending, silent, ..Wakeups::default() });
                one.queued = Some(queued);
            }))
        };
        let endless = |words: &str| Value::Endless(words.to_owned());
        assert_eq!(woken(8, 0, 1), endless("8 wakeups, and nothing was accepted"));
        assert_eq!(woken(1, 0, 1), endless("1 wakeup, and nothing was accepted"));
        // A herd that has not come to accept yet is one.
        assert_eq!(woken(8, 8, 1), endless("8 wakeups, and nothing was accepted"));
        assert_eq!(woken(2, 2, 2), Value::None(NOTHING_ACCEPTED));
        assert_eq!(woken(0, 0, 2), Value::None(NOTHING_ACCEPTED));
    }

    #[test]
    fn those_that_nobody_accepted_have_waited_too() {
        let window = fixtures::herd(1).window;
        let mut one = with(|one| (one.queued, one.accept_queue.now) = (Some(2), Some(2)));
        (one.accept_wait.count, one.accept_wait.oldest) = (Some(0), Some(7));
        let told = Value::Of(7.0, "2 connections still wait".to_owned());
        assert_eq!(accept_wait(&one, &window), told);
        (one.accept_queue.now, one.discarded) = (None, Some(1));
        let told = Value::Endless("1 connection was never accepted".to_owned());
        assert_eq!(accept_wait(&one, &window), told);
    }

    #[test]
    fn a_choice_between_listeners_is_kept() {
        let of =
            |total, most| drops(&with(|one| (one.drops.total, one.drops.at_most) = (total, most)));
        assert_eq!(of(Some(3), None), Value::Is(3.0));
        assert_eq!(of(Some(3), Some(3)), Value::Is(3.0));
        assert_eq!(of(Some(0), Some(5)), Value::AtLeast(0.0, 5.0));
        assert_eq!(of(None, Some(5)), Value::AtLeast(0.0, 5.0));
        assert_eq!(of(None, Some(0)), Value::Is(0.0));
    }

    #[test]
    fn a_queue_without_a_limit_is_full_with_one() {
        let used = |max, limit| {
            queue_used(&with(|one| {
                (one.accept_queue.max, one.accept_queue.now) = (max, Some(0));
                (one.accept_queue.limit, one.backlog.limit) = (limit, limit);
            }))
        };
        assert_eq!(used(Some(0), Some(0)), Value::Is(0.0));
        assert_eq!(used(Some(1), Some(0)), Value::Is(f64::INFINITY));
        assert!(matches!(used(Some(1), None), Value::Unknown(_)));
        assert_eq!(
            queue_used(&with(|one| one.accept_queue.used_percent = Some(12.5))),
            Value::Is(12.5)
        );
    }

    #[test]
    fn eagain_is_no_error() {
        let one = with(|one| {
            let errors = [("EAGAIN", 120), ("EMFILE", 3), ("ECONNABORTED", 2)];
            one.accept_errors = errors.map(|(name, count)| (name.to_owned(), count)).into();
        });
        assert_eq!(accept_errors(&one), Value::Is(5.0));
    }

    #[test]
    fn percentages() {
        assert_eq!(percent(80.0), "80%");
        assert_eq!(percent(12.5), "12.5%");
        assert_eq!(percent(100.2), "100.2%");
    }
}
