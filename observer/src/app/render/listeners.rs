//! The list of listeners for people: one line each, its holders beneath it where it has several.

use std::{cmp::Reverse, collections::BTreeMap};

use anstyle::Style;

use crate::app::render::{
    cell::{Cell, DIM},
    columns::{self, DROPS, HELD_BY, LEADING, LISTENER, NETNS, OF_DROPS, OF_QUEUE, QUEUE},
    doubts,
    findings::{self, FixesTold, Room},
    grid::{Grid, Heading, Row, Shown},
    labels,
    line::{Line, fitting, joined, painted, wrapped},
    table::TableOptions,
};
use observer::model::{Holder, ListedListener, Listener, ListenerList, Severity};

/// A listener as it was listed, and as the rules judge it.
struct Judged<'a> {
    listed: &'a ListedListener,
    judged: Listener,
}

/// A column, with what it says of a listener.
type Column = (Heading, fn(&Judged<'_>) -> Cell);

/// From left to right.
const COLUMNS: &[Column] = &[
    (LISTENER, |one| labels::address(&one.judged)),
    (NETNS, |one| columns::netns(&one.judged)),
    (Heading { rank: 7, floor: [12, 24, 40], ..HELD_BY }, |one| held_by(one.listed)),
    (QUEUE, |one| OF_QUEUE.styled(columns::queue(&one.judged), &one.judged)),
    (Heading::numbers("SYN", 5), |one| {
        one.listed.syn_queue.now.map_or_else(Cell::unknown, Cell::count)
    }),
    (Heading { estimated: true, ..DROPS }, |one| {
        OF_DROPS.styled(one.listed.drops.total.map_or_else(Cell::unknown, Cell::count), &one.judged)
    }),
    (Heading { shown: Shown::WhereSaid, ..Heading::words("OPTIONS", 9, [0; 3], 9) }, |one| {
        Cell::text(&options_of(one.listed).join(", "))
    }),
];

/// The list as text, each line ended by a line break and none wider than the options say.
pub fn render(list: &ListenerList, options: &TableOptions) -> String {
    let width = options.width;
    let (table, legend) = if list.listeners.is_empty() {
        (wrapped(&options.empty, Style::new(), width), Vec::new())
    } else {
        let grid = grid(list, options);
        (grid.lines(&grid.layout(width)), wrapped(LEGEND, DIM, width))
    };
    let lines =
        joined([vec![heading(list, width)], table, notes(list, options.as_root, width), legend]);
    painted(&lines, width, options.colour)
}

const LEGEND: &str = "QUEUE = connections waiting to be accepted, of the limit; SYN = handshakes waiting for \
                      the final ACK; ~DROPS = connection attempts dropped since the socket was \
                      opened, an estimate: the socket's counter takes some twice";

fn heading(list: &ListenerList, width: usize) -> Line {
    let tool = format!("{} {}", list.tool.name, list.tool.version);
    let host = format!("Linux {}", list.host.kernel);
    let listeners = counted(list.listeners.len(), "listener", "listeners");
    // They are sorted by them.
    let found = match list.listeners.chunk_by(|a, b| a.netns == b.netns).count() {
        0 | 1 => listeners,
        several => format!("{listeners} in {several} network namespaces"),
    };
    fitting([&[&tool, &host, &found], &[&tool, &found], &[&found]], width)
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn grid(list: &ListenerList, options: &TableOptions) -> Grid {
    let mut rows = Vec::new();
    let mut fixes = FixesTold::up_to(options.fixes);
    for members in groups(list) {
        if let [one] = &members[..] {
            rows.push(row(one, &mut fixes, options));
            rows.extend(holder_rows(one, options.workers));
            continue;
        }
        rows.push(sum(&members));
        let wrong = members.iter().filter(|one| !one.judged.findings.is_empty()).count();
        let (shown, rest) = members.split_at(wrong.max(options.workers).min(members.len()));
        rows.extend(shown.iter().map(|one| Row {
            label: Some(Cell::text(&format!("  {}", held_by(one.listed).whole()))),
            style: DIM,
            ..row(one, &mut fixes, options)
        }));
        if !rest.is_empty() && options.workers > 0 {
            let label = Cell::text(&format!("  … {} more members", rest.len()));
            rows.push(Row { label: Some(label), style: DIM, ..Row::default() });
        }
    }
    let headings = COLUMNS.iter().map(|(heading, _)| *heading).collect();
    Grid { headings, leading: LEADING, rows, ..Grid::default() }
}

/// The listeners as the rules judged them, those of one reuseport group together; the worst finding first, and
/// else in the order of the list.
fn groups(list: &ListenerList) -> Vec<Vec<Judged<'_>>> {
    let judged = list.unobserved().listeners.into_iter();
    let mut groups = Vec::<Vec<Judged>>::new();
    let mut places = BTreeMap::<(u64, u64), usize>::new();
    for (listed, mut judged) in list.listeners.iter().zip(judged) {
        judged.findings.clone_from(&listed.findings);
        let one = Judged { listed, judged };
        let group = one.judged.reuseport_group.map(|group| (listed.netns, group.id));
        match group.and_then(|group| places.get(&group)).and_then(|place| groups.get_mut(*place)) {
            Some(members) => members.push(one),
            None => {
                places.extend(group.map(|group| (group, groups.len())));
                groups.push(vec![one]);
            }
        }
    }
    for members in &mut groups {
        members.sort_by_key(|one| Reverse((worst(one), one.listed.accept_queue.now)));
    }
    groups.sort_by_key(|members| Reverse(members.iter().map(worst).max()));
    groups
}

fn worst(one: &Judged<'_>) -> Option<Severity> {
    one.judged.findings.iter().map(|finding| finding.severity).max()
}

fn row(one: &Judged<'_>, fixes: &mut FixesTold, options: &TableOptions) -> Row {
    Row {
        cells: COLUMNS.iter().map(|(_, says)| says(one)).collect(),
        beneath: findings::lines(&one.judged, fixes, Room::Steps, options.width),
        ..Row::default()
    }
}

/// The row of a group: how many members it has and who holds them, what is in all their SYN queues, what all have
/// dropped, and the fullest accept queue.
fn sum(members: &[Judged<'_>]) -> Row {
    let first = &members[0];
    let holders: Option<Vec<Holder>> = members
        .iter()
        .map(|one| one.listed.holders.clone())
        .collect::<Option<Vec<_>>>()
        .map(|all| all.concat());
    let add = |of: fn(&ListedListener) -> Option<u64>| {
        members
            .iter()
            .map(|one| of(one.listed))
            .try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?)))
    };
    let mut listed = first.listed.clone();
    listed.holders.clone_from(&holders);
    listed.syn_queue.now = add(|one| one.syn_queue.now);
    listed.drops.total = add(|one| one.drops.total);
    let mut judged = first.judged.clone();
    if let Some(fullest) = members.iter().max_by_key(|one| one.listed.accept_queue.now) {
        judged.accept_queue.clone_from(&fullest.judged.accept_queue);
        judged.backlog = fullest.judged.backlog;
    }
    judged.holders = holders;
    judged.findings = members.iter().flat_map(|one| one.judged.findings.clone()).collect();
    let all = Judged { listed: &listed, judged };
    let mut cells: Vec<Cell> = COLUMNS.iter().map(|(_, says)| says(&all)).collect();
    cells[0] = labels::address_and(&first.judged, &format!(" ×{}", members.len()));
    Row { cells, ..Row::default() }
}

/// The holders of a listener, where there are several.
fn holder_rows(one: &Judged<'_>, most: usize) -> Vec<Row> {
    let holders = one.listed.holders.as_deref().unwrap_or_default();
    if holders.len() < 2 || most == 0 {
        return Vec::new();
    }
    let (shown, rest) = holders.split_at(holders.len().min(most));
    let mut labels: Vec<Cell> = shown.iter().map(holder).collect();
    if !rest.is_empty() {
        labels.push(Cell::text(&format!("  … {} more", rest.len())));
    }
    let row = |label| Row { label: Some(label), style: DIM, ..Row::default() };
    labels.into_iter().map(row).collect()
}

/// `  nginx 4243 fd 6 epoll`.
fn holder(holder: &Holder) -> Cell {
    let id = format!(" {} fd {}", holder.pid, holder.fd);
    let wait = labels::wait(holder.wait);
    let name = format!("  {}", holder.comm);
    Cell::blank().or(&name, &format!("{id}{wait}")).or(&name, &id)
}

/// The one holder in full; of several, who they are and how they wait.
fn held_by(one: &ListedListener) -> Cell {
    match one.holders.as_deref() {
        Some([Holder { pid, comm, fd, wait }]) => {
            let wait = labels::wait(*wait);
            Cell::text(&format!("{comm} {pid} fd {fd}{wait}"))
                .or(comm, &format!(" {pid}{wait}"))
                .or(comm, wait)
        }
        // SO_REUSEPORT is among the options.
        holders => labels::holders(holders, false),
    }
}

/// What was asked for beyond the ordinary.
fn options_of(one: &ListedListener) -> Vec<String> {
    let mut told = Vec::new();
    match (one.reuseport, one.reuseport_group) {
        (Some(true), Some(group)) => told.push(format!("reuseport ×{}", group.size)),
        (Some(true), None) => told.push("reuseport".to_owned()),
        _ => {}
    }
    if let Some(seconds @ 1..) = one.defer_accept {
        told.push(format!("defer {seconds} s"));
    }
    if let Some(limit @ 1..) = one.fastopen {
        told.push(format!("fastopen {limit}"));
    }
    if one.v6only == Some(true) {
        told.push("v6only".to_owned());
    }
    if let Some(interface @ 1..) = one.interface {
        told.push(format!("interface {interface}"));
    }
    told
}

/// What is said beneath the table.
fn notes(list: &ListenerList, as_root: bool, width: usize) -> Vec<Line> {
    let mut told: Vec<(String, Style)> = Vec::new();
    let count = |wanted: &dyn Fn(&ListedListener) -> bool| {
        list.listeners.iter().filter(|one| wanted(one)).count()
    };
    let at = count(&|one| one.backlog.at_somaxconn == Some(true));
    if at > 0 {
        let noun = counted(at, "limit is", "limits are");
        told.push((
            format!(
                "{noun} at net.core.somaxconn: whether the program asked listen() for more \
                 cannot be seen; to raise it, raise somaxconn and restart the program"
            ),
            Style::new(),
        ));
    }
    let limits = list.listeners.iter().map(|one| &one.backlog);
    told.extend(doubts::sentence(limits).map(|note| (note, Style::new())));
    let deferring = count(&|one| one.defers() && one.drops.total.is_some_and(|drops| drops > 0));
    if deferring > 0 {
        let noun = counted(deferring, "listener defers", "listeners defer");
        let note = format!(
            "{noun} accept until data comes (TCP_DEFER_ACCEPT): ~DROPS also counts each bare ACK that is \
             set aside there, which is no loss"
        );
        told.push((note, Style::new()));
    }
    if !list.listeners.is_empty() && count(&|one| one.accept_queue.limit.is_some()) == 0 {
        let note = "this kernel has no inet_diag (modprobe tcp_diag): limits, SYN queues and \
                    drops cannot be seen";
        told.push((note.to_owned(), Style::new()));
    }
    told.extend(left_out(list, as_root).map(|note| (note, Style::new())));
    told.iter().flat_map(|(note, style)| wrapped(note, *style, width)).collect()
}

/// One line on what could not be looked at. Root has no more to gain.
fn left_out(list: &ListenerList, as_root: bool) -> Option<String> {
    let left = &list.left_out;
    let mut parts = Vec::new();
    let mut cure = if as_root { "" } else { "; it takes root" };
    if let Some(inode) = left.pid_namespace {
        parts.push(format!("the processes outside of PID namespace {inode}"));
        cure = "; it takes the host's PID namespace (--pid=host, or hostPID: true in Kubernetes)";
    } else if left.hidden_processes {
        parts.push("the processes of other users".to_owned());
    } else if left.processes > 0 {
        parts.push(counted(left.processes, "process", "processes"));
    }
    if !left.netns.is_empty() {
        parts.push(counted(left.netns.len(), "network namespace", "network namespaces"));
    }
    if parts.is_empty() {
        return None;
    }
    let unknown = list.listeners.iter().filter(|one| one.holders.is_none()).count();
    let so = match unknown {
        0 => String::new(),
        1 => ", so that who holds 1 listener is not known".to_owned(),
        _ => format!(", so that who holds {unknown} listeners is not known"),
    };
    Some(format!("{} could not be looked into{so}{cure}", parts.join(" and ")))
}

#[cfg(test)]
mod tests;
