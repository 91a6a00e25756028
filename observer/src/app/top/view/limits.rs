//! Limits of the queues, how full they were, and where the limits come from.

use ratatui::{style::Style, text::Line};

use super::{
    gauge,
    part::{About, Part},
    style,
};
use observer::model::{Backlog, Listener};

/// The part.
pub fn part(about: &About<'_>) -> Option<Part> {
    let listener = &about.row.listener;
    let backlog = &listener.backlog;
    let limit = listener.accept_queue.limit.or(backlog.limit);
    let mut lines = queues(listener, limit, about.width);
    for words in [came_from(backlog), sysctls(backlog), descriptors(listener)].into_iter().flatten()
    {
        lines.extend(style::wrapped(&words, "  ", Style::new(), about.width));
    }
    let beside = match limit {
        Some(limit) => format!("{limit} connections in each queue"),
        None => "not known".to_owned(),
    };
    Some(Part { name: "LIMITS", beside, lines })
}

fn queues(listener: &Listener, limit: Option<u64>, width: usize) -> Vec<Line<'static>> {
    let bars = width.saturating_sub(40).clamp(6, 30);
    let queue = |name: &str, most: Option<u64>, now: Option<u64>| {
        let known = most.max(now)?;
        let told =
            |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        #[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
        let gauge = match limit {
            Some(limit) => gauge::gauge(known as f64, limit.max(1) as f64, bars),
            None => String::new(),
        };
        Some(Line::raw(format!(
            "  {name} {gauge} {} at most, {} now",
            told(most.max(now)),
            told(now)
        )))
    };
    let (accept, syn) = (&listener.accept_queue, &listener.syn_queue);
    let lines =
        [queue("accept queue", accept.max, accept.now), queue("SYN queue   ", syn.max, syn.now)];
    lines.into_iter().flatten().collect()
}

fn came_from(backlog: &Backlog) -> Option<String> {
    let limit = backlog.limit?;
    let mut words = match backlog.requested {
        Some(requested) if backlog.clamped == Some(true) => {
            format!("listen() asked for {requested} and was cut down to net.core.somaxconn")
        }
        Some(requested) => format!("listen() asked for {requested}"),
        None if backlog.at_somaxconn == Some(true) => {
            format!(
                "{limit} is net.core.somaxconn; what listen() asked for was before observing began"
            )
        }
        None => format!("{limit} is what listen() asked for, before observing began"),
    };
    if backlog.maybe_clamped {
        words += "; it may have been cut down to an earlier somaxconn";
    }
    if backlog.stale == Some(true) {
        words += "; somaxconn was raised since, so that a restart gets more";
    }
    Some(words)
}

fn sysctls(backlog: &Backlog) -> Option<String> {
    let all = [
        ("net.core.somaxconn", backlog.somaxconn),
        ("tcp_max_syn_backlog", backlog.tcp_max_syn_backlog),
        ("tcp_syncookies", backlog.syncookies),
        ("tcp_abort_on_overflow", backlog.abort_on_overflow),
    ];
    let told: Vec<String> =
        all.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The process that has the least descriptors left.
fn descriptors(listener: &Listener) -> Option<String> {
    let states = listener.holder_states.iter().flatten();
    let known = states.filter_map(|one| Some((one, one.descriptors?, one.descriptor_limit?)));
    let (one, open, limit) = known.min_by_key(|(_, open, limit)| limit.saturating_sub(*open))?;
    Some(format!("{} {} has {open} of {limit} descriptors open", one.comm, one.pid))
}
