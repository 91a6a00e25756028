//! The first line: who observed what, for how long, and through which hooks.

use crate::app::render::line::{Line, fitting};
use observer::{
    model::{Provider, Providers, Report, Via, WindowKind, Worth},
    units,
};

/// Where the live table says that there is more.
const TOP: &str = "more: observer top";

/// The first line, with less in it where there is less room; `live` says that the window is still open.
pub(super) fn line(report: &Report, live: bool, width: usize) -> Line {
    let tool = format!("{} {}", report.tool.name, report.tool.version);
    let host = format!("Linux {}", report.host.kernel);
    let length = units::seconds(report.window.seconds);
    let window = match report.window.kind {
        WindowKind::Interval => format!("interval of {length}"),
        WindowKind::Total if live => format!("{length} so far"),
        WindowKind::Total => format!("total of {length}"),
    };
    let hooks = hooks(&report.providers);
    let start = format!("from {}", report.window.start);
    let clock = clock(&report.window.start).map(|clock| format!("from {clock}"));
    // A live table is of now.
    if live {
        return now([&tool, &host, &window], &hooks, width);
    }
    let Some(clock) = clock else {
        return without_clock(&tool, &host, &window, &hooks, width);
    };
    fitting(
        [
            &[&tool, &host, &window, &start, &hooks.0],
            &[&tool, &host, &window, &clock, &hooks.0],
            &[&tool, &host, &window, &clock, &hooks.1],
            &[&tool, &window, &clock, &hooks.1],
            &[&window, &clock, &hooks.1],
            &[&window, &clock],
            &[&window],
        ],
        width,
    )
}

/// Of a live table, which says where there is more.
fn now(
    [tool, host, window]: [&str; 3],
    (hooks, brief_hooks): &(String, String),
    width: usize,
) -> Line {
    fitting(
        [
            &[tool, host, window, hooks, TOP],
            &[tool, window, hooks, TOP],
            &[tool, window, brief_hooks, TOP],
            &[window, brief_hooks, TOP],
            &[window, TOP],
            &[window, brief_hooks],
            &[window],
        ],
        width,
    )
}

fn without_clock(
    tool: &str,
    host: &str,
    window: &str,
    (hooks, brief_hooks): &(String, String),
    width: usize,
) -> Line {
    fitting(
        [
            &[tool, host, window, hooks],
            &[tool, host, window, brief_hooks],
            &[tool, window, brief_hooks],
            &[window, brief_hooks],
            &[tool, window],
            &[window],
        ],
        width,
    )
}

/// `03:04:05Z` of `2026-01-02T03:04:05.678Z`; `None` where it is no such time.
fn clock(start: &str) -> Option<String> {
    let time = start.split_once('T')?.1.get(..8)?;
    let is_time = time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    is_time.then(|| format!("{time}Z"))
}

/// The hooks in full (`wakeups, accepts by fentry, drops by kernel counters`) and in short.
pub fn hooks(providers: &Providers) -> (String, String) {
    let signals = providers.signals();
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (signal, provider, worth) in signals {
        let way = way(provider, worth);
        match groups.iter_mut().find(|group| group.0 == way) {
            Some(group) => group.1.push(signal),
            None => groups.push((way, vec![signal])),
        }
    }
    let full: Vec<String> =
        groups.iter().map(|(way, signals)| format!("{} {way}", signals.join(", "))).collect();
    let brief: Vec<&str> = signals.iter().filter_map(|(_, provider, _)| name(provider.via)).fold(
        Vec::new(),
        |mut names, name| {
            if !names.contains(&name) {
                names.push(name);
            }
            names
        },
    );
    let brief =
        if brief.is_empty() { "no hooks".into() } else { format!("by {}", brief.join(", ")) };
    (full.join("; "), brief)
}

fn way(provider: &Provider, worth: Worth) -> String {
    match (name(provider.via), worth) {
        (Some(name), _) => format!("by {name}"),
        // Nothing was attached: the kernel counts it by itself, or nobody does.
        (None, Worth::Nothing) => "not observed".to_owned(),
        (None, _) => "by kernel counters".to_owned(),
    }
}

fn name(via: Via) -> Option<&'static str> {
    match via {
        Via::Fentry => Some("fentry"),
        Via::Kprobe => Some("kprobe"),
        Via::Tracepoint => Some("tracepoint"),
        Via::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures;

    #[test]
    fn says_less_where_there_is_less_room() {
        let report = fixtures::herd(8);
        let text = |width| line(&report, false, width).paint(width, false);
        assert_eq!(
            text(200),
            "observer 0.1.0 · Linux 6.18.44 · total of 5.0 s · from 2026-01-02T03:04:05Z · \
             wakeups, accepts, handshakes by tracepoint; drops by kernel counters"
        );
        assert_eq!(
            text(120),
            "observer 0.1.0 · Linux 6.18.44 · total of 5.0 s · from 03:04:05Z · by tracepoint"
        );
        assert_eq!(text(80), text(120));
        assert_eq!(text(70), "observer 0.1.0 · total of 5.0 s · from 03:04:05Z · by tracepoint");
        assert_eq!(text(60), "total of 5.0 s · from 03:04:05Z · by tracepoint");
        assert_eq!(text(40), "total of 5.0 s · from 03:04:05Z");
        assert_eq!(text(20), "total of 5.0 s");
        assert_eq!(text(4), "tot…");
    }

    #[test]
    fn tells_intervals_and_missing_hooks() {
        let mut report = fixtures::herd(8);
        report.window.kind = WindowKind::Interval;
        report.window.seconds = 1.0;
        report.providers.wakeups.via = Via::Fentry;
        report.providers.drops.exact = false;
        report.host.kernel = "6.1\u{1b}[2J".into();
        assert_eq!(
            line(&report, false, 150).paint(150, false),
            "observer 0.1.0 · Linux 6.1?[2J · interval of 1.0 s · from 03:04:05Z · wakeups by fentry; \
             accepts, handshakes by tracepoint; drops by kernel counters"
        );
        // A live table is of now; and what is no time is not told as one.
        assert!(!line(&report, true, 150).paint(150, false).contains("from"));
        report.window.start = "T\u{1b}[2J\u{1b}[2J".into();
        assert!(!line(&report, false, 90).paint(90, false).contains("from"));
        assert!(line(&report, false, 80).paint(80, false).ends_with("by fentry, tracepoint"));
    }
}
