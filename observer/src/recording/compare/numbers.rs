//! Numbers of a listener before and after, and in which direction they moved.

use super::place::Place;
use crate::{
    model::{ComparedNumber, Course, Providers, Worth},
    report::{counts::jain, waits::Histogram},
};

/// What is less than this part of the greater value is no move: what two runs of one server differ by.
const NOISE: f64 = 0.1;

/// One number: one row.
struct Number {
    name: &'static str,
    /// Signals that it comes from.
    signals: &'static [&'static str],
    good: Good,
    /// Difference that is next to nothing, whatever part it is.
    least: f64,
    of: fn(&Place<'_>) -> Option<f64>,
}

/// Which direction is good.
#[derive(Clone, Copy)]
enum Good {
    Less,
    More,
    /// How much there was to do is no merit.
    Neither,
}

const NUMBERS: [Number; 13] = [
    Number {
        name: "accepted_per_second",
        signals: &["accepts"],
        good: Good::Neither,
        least: 0.5,
        of: |place| per_second(place, place.sum(|one| one.accepted)),
    },
    Number {
        name: "herd_ratio",
        signals: &["wakeups", "accepts"],
        good: Good::Less,
        least: 0.1,
        of: |place| {
            let accepted = place.sum(|one| one.accepted).filter(|accepted| *accepted > 0)?;
            Some(float(place.wakeups()?.total) / float(accepted))
        },
    },
    Number {
        name: "wasted_wakeups_percent",
        signals: &["wakeups"],
        good: Good::Less,
        least: 5.0,
        of: |place| {
            let all = place.wakeups().filter(|all| all.total > 0)?;
            let wasted = all.lost.saturating_add(all.failed).saturating_add(all.silent);
            Some(100.0 * float(wasted) / float(all.total))
        },
    },
    Number {
        name: "wakeups_per_second",
        signals: &["wakeups"],
        good: Good::Neither,
        least: 0.5,
        of: |place| per_second(place, place.wakeups().map(|all| all.total)),
    },
    Number {
        name: "wasted_cpu_per_second",
        signals: &["wakeups"],
        good: Good::Less,
        least: 1e6,
        of: |place| per_second(place, place.sum(|one| one.wasted_cpu)),
    },
    Number {
        name: "accept_queue_used_percent",
        signals: &["handshakes"],
        good: Good::Less,
        least: 5.0,
        of: |place| {
            let used = place.listeners.iter().filter_map(|one| one.accept_queue.used_percent);
            used.reduce(f64::max)
        },
    },
    Number {
        name: "accept_wait_p50",
        signals: &["accepts", "handshakes"],
        good: Good::Less,
        least: LEAST_WAIT,
        of: |place| waits(place).percentile(0.5).map(float),
    },
    Number {
        name: "accept_wait_p99",
        signals: &["accepts", "handshakes"],
        good: Good::Less,
        least: LEAST_WAIT,
        of: |place| {
            // The middle of the last bucket may lie beyond the longest wait.
            waits(place).percentile(0.99).map(float).zip(longest(place)).map(|(a, b)| a.min(b))
        },
    },
    Number {
        name: "accept_wait_max",
        signals: &["accepts", "handshakes"],
        good: Good::Neither,
        least: LEAST_WAIT,
        of: longest,
    },
    Number {
        name: "drops_per_second",
        signals: &["drops"],
        good: Good::Less,
        least: 0.0,
        of: |place| per_second(place, place.sum(|one| one.drops.total)),
    },
    Number {
        name: "discarded",
        signals: &["handshakes"],
        good: Good::Less,
        least: 0.0,
        of: |place| place.sum(|one| one.discarded).map(float),
    },
    Number {
        name: "accept_errors_per_second",
        signals: &["accepts"],
        good: Good::Less,
        least: 0.0,
        of: |place| {
            let errors = place.listeners.iter().flat_map(|one| &one.accept_errors);
            let errors = errors.filter(|(name, _)| *name != "EAGAIN").map(|(_, count)| *count);
            per_second(place, Some(errors.fold(0, u64::saturating_add)))
        },
    },
    Number { name: "fairness", signals: &["accepts"], good: Good::More, least: 0.05, of: fairness },
];

/// Waits that differ by less are alike to any client: a quarter of a millisecond.
const LEAST_WAIT: f64 = 250_000.0;

/// Those that one of both has.
pub(super) fn numbers(
    before: Option<&Place<'_>>,
    after: Option<&Place<'_>>,
    providers: &[Providers; 2],
) -> Vec<ComparedNumber> {
    let number = |number: &Number| {
        let of = |place: Option<&Place<'_>>, providers: &Providers| {
            place.filter(|_| worst(number, providers) != Some(Worth::Nothing)).and_then(number.of)
        };
        let (was, is) = (of(before, &providers[0]), of(after, &providers[1]));
        let estimate = [(was, &providers[0]), (is, &providers[1])]
            .into_iter()
            .any(|(value, all)| value.is_some() && worst(number, all) == Some(Worth::Estimate));
        (was.is_some() || is.is_some()).then(|| ComparedNumber {
            name: number.name.to_owned(),
            before: was,
            after: is,
            estimate,
            course: course(number, was, is),
        })
    };
    NUMBERS.iter().filter_map(number).collect()
}

/// The least that its signals are worth.
fn worst(number: &Number, providers: &Providers) -> Option<Worth> {
    let signals = providers.signals().into_iter();
    let worth = signals.filter(|(name, ..)| number.signals.contains(name)).map(|(.., worth)| worth);
    worth.max_by_key(|worth| match worth {
        Worth::Exact => 0,
        Worth::Estimate => 1,
        Worth::Nothing => 2,
    })
}

fn course(number: &Number, before: Option<f64>, after: Option<f64>) -> Course {
    let Some((before, after)) = before.zip(after) else { return Course::Unknown };
    let moved = (after - before).abs();
    if !moved.is_finite() {
        return Course::Unknown;
    }
    if moved <= number.least || moved <= NOISE * before.abs().max(after.abs()) {
        return Course::Same;
    }
    match (number.good, after < before) {
        (Good::Neither, _) => Course::Moved,
        (Good::Less, true) | (Good::More, false) => Course::Better,
        (Good::Less, false) | (Good::More, true) => Course::Worse,
    }
}

fn waits(place: &Place<'_>) -> Histogram {
    let mut all = Histogram::default();
    place.listeners.iter().for_each(|one| all.add(&one.accept_wait.histogram));
    all
}

fn longest(place: &Place<'_>) -> Option<f64> {
    place.listeners.iter().filter_map(|one| one.accept_wait.max).max().map(float)
}

/// That of one listener, or over the workers of all.
fn fairness(place: &Place<'_>) -> Option<f64> {
    if let [one] = place.listeners[..] {
        return one.fairness;
    }
    let workers = place.workers();
    if workers.keys().any(|(_, tid)| tid.is_none()) {
        return None;
    }
    jain(&workers.into_values().collect::<Vec<_>>())
}

fn per_second(place: &Place<'_>, count: Option<u64>) -> Option<f64> {
    count.filter(|_| place.seconds > 0.0).map(|count| float(count) / place.seconds)
}

#[expect(clippy::cast_precision_loss, reason = "to compare, 52 bits are enough")]
fn float(count: u64) -> f64 {
    count as f64
}
