//! The story of a connection in words. Pure.

use anstyle::Style;
use observer::{
    model::{AcceptedBy, Connection, Unfinished, WakeupOutcome, WokenTask},
    units,
};

use super::names;
use crate::app::render::{
    cell::{BAD, CAUTION, DIM, STRONG},
    line::{Line, indented},
};

/// Most woken tasks that are named; the others are only counted.
const NAMED: usize = 32;

/// Columns of the times.
const TIME: usize = 11;

/// The block of one connection, which entered the queue at `at`, nanoseconds since the window opened.
pub fn block(story: &Connection, at: u64, width: usize) -> Vec<Line> {
    let mut lines = vec![title(story)];
    if story.connection.is_none() {
        let woken = story.woken.first();
        lines.extend(woken.map(|woken| step(&names::seconds(at), task(woken, None), style(woken))));
        return lines;
    }
    if let (Some(depth), Some(limit)) = (story.depth, story.limit) {
        let queued = format!("queued at depth {depth} of {limit}");
        lines.push(step(&names::seconds(at), queued, Style::new()));
    }
    let accepted = story.accepted.as_ref();
    let mut is_told = false;
    for woken in story.woken.iter().take(NAMED) {
        // In the order in which it happened.
        let before = accepted.and_then(|by| by.wait).zip(woken.after);
        if let (Some(by), Some(true), false) =
            (accepted, before.map(|(wait, after)| wait < after), is_told)
        {
            lines.push(accepted_by(by));
            is_told = true;
        }
        let time = woken.after.map_or_else(String::new, names::since);
        lines.push(step(&time, task(woken, story.connection), style(woken)));
    }
    let more = story.woken.len().saturating_sub(NAMED) as u64 + story.woken_more;
    if more != 0 {
        lines.push(step("", format!("woke {more} more"), DIM));
    }
    if let Some(by) = accepted.filter(|_| !is_told) {
        lines.push(accepted_by(by));
    }
    lines.extend(indented(&moral(story), "  ", STRONG, width));
    if let Some(why) = story.unfinished {
        lines.extend(indented(missing(why), "  ", CAUTION, width));
    }
    lines
}

fn title(story: &Connection) -> Line {
    let listener = names::listener(story.address.as_deref(), story.port);
    let title = match story.connection {
        Some(number) => {
            let client = names::client(story.client.as_deref());
            format!("#{number} {listener} from {client}")
        }
        None => format!("#? {listener}, connection not known"),
    };
    Line::new(title, STRONG)
}

fn step(time: &str, what: String, style: Style) -> Line {
    let mut line = Line::new(format!("{time:>TIME$}  "), DIM);
    line.push(what, style);
    line
}

/// What a woken task did; `of` is the connection that it was woken for, if that is known.
fn task(woken: &WokenTask, of: Option<u64>) -> String {
    let after = woken.outcome_after.map(units::time);
    let later = after.map_or_else(String::new, |after| format!(", {after} later"));
    let what = match (woken.outcome, woken.accepted) {
        (Some(WakeupOutcome::Won), Some(number)) if Some(number) == of => {
            format!("accepted it{later}")
        }
        (Some(WakeupOutcome::Won), Some(number)) if of.is_some() => {
            format!("accepted #{number} instead{later}")
        }
        (Some(WakeupOutcome::Won), Some(number)) => format!("accepted #{number}{later}"),
        (Some(WakeupOutcome::Won), None) => format!("accepted another{later}"),
        (Some(WakeupOutcome::Lost), _) => format!("EAGAIN, came in vain{later}"),
        (Some(WakeupOutcome::Failed), _) => {
            let errno = woken.errno.as_deref().unwrap_or("an error");
            format!("accept failed, {errno}{later}")
        }
        (Some(WakeupOutcome::Silent), _) => "slept again unseen, without accept".to_owned(),
        (None, _) => "no outcome yet".to_owned(),
    };
    format!("woke {}: {what}", names::task(&woken.task))
}

fn style(woken: &WokenTask) -> Style {
    match woken.outcome {
        Some(WakeupOutcome::Won) => STRONG,
        Some(WakeupOutcome::Lost) => CAUTION,
        Some(WakeupOutcome::Failed) => BAD,
        Some(WakeupOutcome::Silent) | None => DIM,
    }
}

fn accepted_by(by: &AcceptedBy) -> Line {
    let time = by.wait.map_or_else(String::new, names::since);
    let after = match by.since_wakeup {
        Some(since) => format!(", {} after its wakeup", units::time(since)),
        None => ", which was awake already".to_owned(),
    };
    step(&time, format!("accepted by {}{after}", names::task(&by.task)), STRONG)
}

/// What it comes to: whom it woke for what, and how long it waited.
fn moral(story: &Connection) -> String {
    let woken = story.woken.len() as u64 + story.woken_more;
    let of = |outcome| story.count(outcome);
    let its_own = |one: &&WokenTask| one.accepted.is_some() && one.accepted == story.connection;
    let won = story.woken.iter().filter(its_own).count() as u64;
    let parts = [
        (won, "accepted it"),
        (of(Some(WakeupOutcome::Won)) - won, "accepted another"),
        (of(Some(WakeupOutcome::Lost)), "came in vain (EAGAIN)"),
        (of(Some(WakeupOutcome::Failed)), "failed"),
        (of(Some(WakeupOutcome::Silent)), "slept again unseen"),
        (of(None) + story.woken_more, "with no outcome yet"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let woke = match woken {
        0 => "woke nobody".to_owned(),
        1 => format!("woke 1 task: {}", parts.join(", ")),
        _ => format!("woke {woken} tasks: {}", parts.join(", ")),
    };
    match &story.accepted {
        Some(AcceptedBy { wait: Some(wait), .. }) => {
            format!("{woke}; waited {}", units::time(*wait))
        }
        Some(_) => woke,
        None => format!("{woke}; not accepted"),
    }
}

fn missing(why: Unfinished) -> &'static str {
    match why {
        Unfinished::NoOutcome => {
            "told after 2 s: who did nothing since sleeps again, or is busy elsewhere"
        }
        Unfinished::NoRoom => "told early: too many connections are open at once",
        Unfinished::EventsLost => "events were lost meanwhile, so something is missing here",
        Unfinished::ListenerClosed => "the listener closed with it in the queue",
        Unfinished::WindowEnded => "the window ended before this was over",
    }
}

#[cfg(test)]
mod tests;
