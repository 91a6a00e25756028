//! The still picture for people: one line per listener, its holders beneath it where it has several.

use anstyle::Style;

use super::backlog;
use super::cell::{BAD, Cell, DIM, Line};
use super::layout::{Align, Grid, ROOMY, Row, Shape};
use super::{notes, words};
use crate::app::cli::FilterArgs;
use crate::app::render::terminal::Screen;
use crate::app::render::{human, text};
use observer::findings;
use observer::model::Holder;
use observer::report::still::{Still, StillListener};

/// How to show it.
#[derive(Clone, Debug)]
pub struct StillOptions {
    /// Columns of the screen: no line is wider.
    pub width: usize,
    /// Whether to colour.
    pub colour: bool,
    /// The most holder lines of a listener; the others are counted in one line.
    pub holders: usize,
    /// What to say when there is no listener.
    pub empty: String,
}

impl StillOptions {
    /// The usual options for a screen.
    pub fn new(screen: &Screen, holders: usize, filters: &FilterArgs) -> Self {
        let empty = words::empty_of(filters, "now");
        Self { width: screen.columns(), colour: screen.colour, holders, empty }
    }
}

/// A column, from left to right; labels run across the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Listener,
    Netns,
    HeldBy,
    Queue,
    Syn,
    Drops,
    Options,
}

const COLUMNS: [Column; 7] = [
    Column::Listener,
    Column::Netns,
    Column::HeldBy,
    Column::Queue,
    Column::Syn,
    Column::Drops,
    Column::Options,
];

/// The picture as text, each line ended by a line break and none wider than the options say.
pub fn render(still: &Still, options: &StillOptions) -> String {
    let mut parts = vec![vec![heading(still, options.width)]];
    if still.listeners.is_empty() {
        parts.push(notes::styled(&options.empty, Style::new(), options.width));
        parts.push(beneath(still, options.width));
    } else {
        let grid = grid(still, options);
        let layout = grid.layout(options.width);
        parts.push(grid.lines(&layout));
        parts.push(beneath(still, options.width));
        parts.push(notes::styled(LEGEND, DIM, options.width));
    }
    let mut out = String::new();
    for (number, part) in parts.iter().filter(|part| !part.is_empty()).enumerate() {
        if number > 0 {
            out.push('\n');
        }
        for line in part {
            out.push_str(&line.paint(options.width, options.colour));
            out.push('\n');
        }
    }
    out
}

const LEGEND: &str = "QUEUE = connections that wait for accept/limit; SYN = requests that wait for \
                      their final ACK; ~DROPS = refused since the socket was opened, an estimate: \
                      its counter takes some twice, and what was no refusal";

fn heading(still: &Still, width: usize) -> Line {
    let tool = format!("{} {}", still.tool.name, still.tool.version);
    let host = format!("Linux {}", still.host.kernel);
    let listeners = counted(still.listeners.len(), "listener", "listeners");
    let found = match namespaces(still) {
        0 | 1 => listeners,
        several => format!("{listeners} in {several} network namespaces"),
    };
    let forms: [&[&str]; 3] = [&[&tool, &host, &found], &[&tool, &found], &[&found]];
    let forms = forms.map(|parts| text::clean(&parts.join(" · ")));
    let fitting = forms.iter().find(|form| text::width(form) <= width);
    Line::new(fitting.or(forms.last()).cloned().unwrap_or_default(), Style::new())
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// How many network namespaces the listeners are in; they are sorted by them.
fn namespaces(still: &Still) -> usize {
    still.listeners.chunk_by(|a, b| a.netns == b.netns).count()
}

fn grid(still: &Still, options: &StillOptions) -> Grid {
    let shows = |column: &Column| match column {
        Column::Netns => namespaces(still) > 1,
        Column::Options => still.listeners.iter().any(|one| !told(one).is_empty()),
        _ => true,
    };
    let columns: Vec<Column> = COLUMNS.into_iter().filter(shows).collect();
    let row = |label: Option<Cell>, cells: Vec<Cell>, style| Row {
        label,
        cells,
        style,
        beneath: Vec::new(),
    };
    let mut rows = Vec::new();
    for one in &still.listeners {
        let cells = columns.iter().map(|column| column.of(one)).collect();
        rows.push(row(None, cells, Style::new()));
        let holders = one.holders.as_deref().unwrap_or_default();
        if holders.len() < 2 || options.holders == 0 {
            continue;
        }
        let (shown, rest) = holders.split_at(holders.len().min(options.holders));
        let mut labels: Vec<Cell> = shown.iter().map(holder).collect();
        if !rest.is_empty() {
            labels.push(Cell::text(&format!("  … {} more", rest.len())));
        }
        let blank = || columns.iter().map(|_| Cell::blank()).collect();
        rows.extend(labels.into_iter().map(|label| row(Some(label), blank(), DIM)));
    }
    Grid {
        shapes: columns.iter().map(|column| column.shape(options.width)).collect(),
        leading: columns.iter().filter(|column| column.leads()).count(),
        rows,
    }
}

/// `  nginx 4243 fd 6 epoll`.
fn holder(holder: &Holder) -> Cell {
    let id = format!(" {} fd {}", holder.pid, holder.fd);
    let wait = words::wait(holder.wait);
    let name = format!("  {}", holder.comm);
    Cell::blank().or(&name, &format!("{id}{wait}")).or(&name, &id)
}

impl Column {
    fn leads(self) -> bool {
        matches!(self, Self::Listener | Self::Netns | Self::HeldBy)
    }

    fn shape(self, width: usize) -> Shape {
        let (word, rank, floor, cut) = match self {
            Self::Listener => ("LISTENER", 0, if width < 60 { 14 } else { 21 }, Some(8)),
            Self::Queue => ("QUEUE", 1, 0, None),
            Self::Drops => ("~DROPS", 2, 0, None),
            Self::Syn => ("SYN", 3, 0, None),
            Self::Netns => ("NETNS", 4, 0, None),
            Self::HeldBy => ("HELD BY", 5, if width < ROOMY { 24 } else { 40 }, Some(11)),
            Self::Options => ("OPTIONS", 6, 0, Some(9)),
        };
        let align = if self.leads() || self == Self::Options { Align::Left } else { Align::Right };
        Shape { header: Cell::text(word), rank, align, floor, cut }
    }

    fn of(self, one: &StillListener) -> Cell {
        match self {
            Self::Listener => words::address_of(one.family, &one.address, one.port, ""),
            Self::Netns => Cell::text(&one.netns.to_string()),
            Self::HeldBy => held_by(one),
            Self::Queue => queue(one),
            Self::Syn => one.syn_queue.now.map_or_else(unknown, Cell::count),
            Self::Drops => match one.drops.total {
                // Most of them may be what is set aside.
                Some(drops @ 1..) if !defers(one) => Cell::count(drops).styled(BAD),
                Some(drops) => Cell::count(drops),
                None => unknown(),
            },
            Self::Options => Cell::text(&told(one).join(", ")),
        }
    }
}

fn unknown() -> Cell {
    Cell::text("-").styled(DIM)
}

/// The one holder in full; of several, who they are and how they wait.
fn held_by(one: &StillListener) -> Cell {
    match one.holders.as_deref() {
        Some([only]) => {
            let Holder { pid, comm, fd, wait } = only;
            let wait = words::wait(*wait);
            Cell::text(&format!("{comm} {pid} fd {fd}{wait}"))
                .or(comm, &format!(" {pid}{wait}"))
                .or(comm, wait)
        }
        Some(several @ [_, ..]) => words::held_by_these(several, false),
        Some([]) => Cell::text("none seen").styled(DIM),
        None => unknown(),
    }
}

fn queue(one: &StillListener) -> Cell {
    let queue = &one.accept_queue;
    let of = |count: fn(u64) -> String| {
        format!("{}/{}", count(queue.now), queue.limit.map_or_else(|| "-".to_owned(), count))
    };
    let cell = Cell::text(&of(human::count)).or(&of(human::short_count), "");
    if is_full(one) { cell.styled(BAD) } else { cell }
}

fn is_full(one: &StillListener) -> bool {
    let queue = &one.accept_queue;
    queue.limit.is_some_and(|limit| findings::is_full(queue.now, limit))
}

/// What was asked for beyond the ordinary.
fn told(one: &StillListener) -> Vec<String> {
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
fn beneath(still: &Still, width: usize) -> Vec<Line> {
    let mut told: Vec<(String, Style)> = Vec::new();
    let count = |wanted: &dyn Fn(&StillListener) -> bool| {
        still.listeners.iter().filter(|one| wanted(one)).count()
    };
    let full = count(&is_full);
    if full > 0 {
        let noun = counted(full, "accept queue is full", "accept queues are full");
        told.push((format!("{noun}: new connections are dropped there"), BAD));
    }
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
    let limits = still.listeners.iter().map(|one| &one.backlog);
    told.extend(backlog::doubts(limits).map(|note| (note, Style::new())));
    let deferring = count(&|one| defers(one) && one.drops.total.is_some_and(|drops| drops > 0));
    if deferring > 0 {
        let noun = counted(deferring, "listener defers", "listeners defer");
        let note = format!(
            "{noun} accept until data comes (TCP_DEFER_ACCEPT): ~DROPS also counts each bare ACK that is \
             set aside there, which is no loss"
        );
        told.push((note, Style::new()));
    }
    if !still.listeners.is_empty() && count(&|one| one.accept_queue.limit.is_some()) == 0 {
        let note = "this kernel has no inet_diag (modprobe tcp_diag): limits, SYN queues and \
                    drops cannot be seen";
        told.push((note.to_owned(), Style::new()));
    }
    told.extend(left_out(still).map(|note| (note, Style::new())));
    told.iter().flat_map(|(note, style)| notes::styled(note, *style, width)).collect()
}

/// Whether a listener has TCP_DEFER_ACCEPT.
fn defers(one: &StillListener) -> bool {
    one.defer_accept.is_some_and(|seconds| seconds > 0)
}

/// One line on what could not be looked at.
fn left_out(still: &Still) -> Option<String> {
    let left = &still.left_out;
    let mut parts = Vec::new();
    let mut cure = "it takes root";
    if let Some(inode) = left.pid_namespace {
        parts.push(format!("the processes outside of PID namespace {inode}"));
        cure = "it takes the host's PID namespace (--pid=host, or hostPID: true in Kubernetes)";
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
    let unknown = still.listeners.iter().filter(|one| one.holders.is_none()).count();
    let so = match unknown {
        0 => String::new(),
        1 => ", so that who holds 1 listener is not known".to_owned(),
        _ => format!(", so that who holds {unknown} listeners is not known"),
    };
    Some(format!("{} could not be looked into{so}; {cure}", parts.join(" and ")))
}

#[cfg(test)]
mod tests;
