//! Workers as bars: who is woken, who accepts, and what each does now.

use std::cmp::Reverse;

use ratatui::{style::Style, text::Line};

use super::{
    gauge,
    part::{About, Part},
    style::field,
};
use crate::app::{
    render::{labels, text},
    top::columns::count_or_rate,
};
use observer::{
    findings::doing,
    model::{Listener, Worker},
    units,
};

/// Most workers that are told one by one.
const MOST: usize = 32;

/// The part; `None` where no task is known.
pub fn part(about: &About<'_>) -> Option<Part> {
    let mut workers: Vec<(&Listener, &Worker)> = about
        .row
        .listeners()
        .flat_map(|one| one.workers.iter().map(move |worker| (one.as_ref(), worker)))
        .collect();
    if workers.is_empty() {
        return None;
    }
    workers.sort_by_key(|(_, one)| {
        (Reverse(one.accepted), Reverse(one.wakeups.total), one.pid, one.tid)
    });
    let most_wakeups = workers.iter().map(|(_, one)| one.wakeups.total).max().unwrap_or(0);
    let most_accepted = workers.iter().map(|(_, one)| one.accepted).max().unwrap_or(0);
    let accepted: u64 = workers.iter().fold(0, |sum, (_, one)| sum.saturating_add(one.accepted));
    let names = workers.iter().take(MOST).map(|(_, one)| text::width(name(one).as_str()));
    let names = names.max().unwrap_or(0).min(24);
    // Name, two bars with a number each, the share, and what it does.
    let bars = about.width.saturating_sub(names + 2 + 2 * 9 + 7 + 18) / 2;
    let bars = bars.clamp(4, 18);
    let per = about.state.per();
    let of = |(listener, worker): &(&Listener, &Worker)| {
        let number = |count: u64| field(&count_or_rate(count, per).at(7), 7, true);
        let words = format!(
            "  {} {}{} {}{} {}  {}",
            field(&name(worker), names, false),
            bar(worker.wakeups.total, most_wakeups, bars),
            number(worker.wakeups.total),
            bar(worker.accepted, most_accepted, bars),
            number(worker.accepted),
            field(&units::share(worker.accepted, accepted), 4, true),
            does(listener, worker),
        );
        Line::styled(text::cut(words.trim_end(), about.width), Style::new())
    };
    let head = format!(
        "  {} {} {} {}  now",
        field("", names, false),
        field("wakeups", bars + 7, true),
        field("accepts", bars + 7, true),
        field("part", 4, true),
    );
    let mut lines = vec![Line::raw(text::cut(&head, about.width))];
    lines.extend(workers.iter().take(MOST).map(of));
    if let more @ 1.. = workers.len().saturating_sub(MOST) {
        lines.push(Line::raw(format!("  … {more} more")));
    }
    let fairness = match about.row.listener.fairness {
        Some(fairness) => format!("; fairness {} (1.00 is even)", units::ratio(Some(fairness))),
        None => String::new(),
    };
    let unit = if per.is_some() { "per second" } else { "since the start" };
    let vain = vain(about.row.listener.wasted_cpu, per);
    let beside = format!("{}, {unit}{fairness}{vain}", workers.len());
    Some(Part { name: "WORKERS", beside, lines })
}

/// What wakeups in vain cost, in words; nothing where it was not measured.
fn vain(cost: Option<u64>, per: Option<f64>) -> String {
    let Some(cost) = cost else { return String::new() };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time for people"
    )]
    let cost = match per {
        Some(seconds) if seconds > 0.0 => (cost as f64 / seconds) as u64,
        _ => cost,
    };
    format!("; {} of CPU for wakeups in vain", units::time(cost))
}

#[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
fn bar(value: u64, most: u64, width: usize) -> String {
    gauge::bar(value as f64, most as f64, width)
}

fn name(worker: &Worker) -> String {
    labels::worker(worker).whole().trim_start().to_owned()
}

/// What a task was doing when somebody looked, or how it waits for the listener; `-` where neither is known.
fn does(listener: &Listener, worker: &Worker) -> String {
    let states = listener.holder_states.iter().flatten();
    let mut own = states.filter(|state| Some(state.tid) == worker.tid);
    if let Some(state) = own.next() {
        return text::clean(&doing::in_words(state));
    }
    let holders = listener.holders.iter().flatten();
    let wait = holders.filter(|holder| Some(holder.pid) == worker.pid).find_map(|one| one.wait);
    match labels::wait(wait).trim_start() {
        "" => "-".to_owned(),
        way => format!("waits in {way}"),
    }
}
