//! How many connections were accepted, beside the baseline: a server that hangs has no bad numbers, but few. Pure.

use crate::app::check::{
    baseline::{group::Group, terms::FEWEST},
    doubt::Needs,
    limits::{Row, State},
    measure::{counted, float},
};

/// The limit in words.
pub const TYPED: &str = "--baseline: accepted connections -50%";

/// What it needs of the hooks, which may miss some, and see none that was not.
pub const NEEDS: Needs = Needs { signals: &["accepts"], exact: false };

/// Part of the connections of before from which on a run is a like one.
const ENOUGH: f64 = 0.5;

/// Holds what a group accepted, in so many seconds, against what it accepted before: neither so many nor so many each
/// second may be far fewer, so that the windows may differ in length. `fewer` where it was said how many are enough.
pub fn row(
    (now, seconds): (&Group, f64),
    (before, seconds_before): (&Group, f64),
    fewer: bool,
) -> Row {
    let judged = |shown: String, state| {
        let weight = match state {
            State::NotJudged => f64::NEG_INFINITY,
            _ => -float(now.accepted.unwrap_or(0)),
        };
        Row { subject: now.subject_beside(before), shown, state, weight }
    };
    let Some(was) = before.accepted else {
        return judged("not known in the baseline".to_owned(), State::NotJudged);
    };
    if was < FEWEST {
        let shown = format!("fewer than {FEWEST} connections in the baseline");
        return judged(shown, State::NotJudged);
    }
    let Some(accepted) = now.accepted else {
        return judged(format!("not known, was {was}"), State::Broken);
    };
    if accepted == 0 && now.attempts != Some(0) {
        let came = now.attempts.map_or_else(String::new, |attempts| {
            format!(", though {} came", counted(attempts, "connection", "connections"))
        });
        return judged(format!("nothing was accepted{came}, was {was}"), State::Broken);
    }
    let rate = |count: u64, seconds: f64| float(count) / seconds.max(f64::MIN_POSITIVE);
    let part = float(accepted) / float(was);
    let part = part.max(rate(accepted, seconds) / rate(was, seconds_before));
    if part < ENOUGH && !fewer {
        let shown = format!("{accepted}, was {was}: --min-accepted says how many are enough");
        return judged(shown, State::Broken);
    }
    judged(format!("{accepted}, was {was}"), State::Held)
}
