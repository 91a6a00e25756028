//! What to do about a finding: the setting of the server that it is about, the sysctl of the listener's own
//! network namespace, and what makes both take effect.
//!
//! A rule says what fits any server; this says more where the server was recognised
//! ([`crate::findings::servers`]) or where it runs is known.

mod backlog;
mod files;
mod place;
#[cfg(test)]
mod tests;

use crate::{
    findings::{
        id,
        servers::{self, Apply, Entry, Lines},
        slow_accept::{FEWEST, SLOW},
        words::sentence,
    },
    model::{Listener, Server},
};

use self::place::Place;

/// What is known when advice is given.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The listener, with its server and its limits.
    pub listener: &'a Listener,
    /// Backlog that would have held the most connections that came together; `None` where that is not known.
    pub needed: Option<u64>,
}

/// What to do about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// A sentence in place of the rule's; `None` where that one is as good.
    pub fix: Option<String>,
    /// Lines of configuration and commands, in their order. Those that begin with `#` say where the next
    /// belongs.
    pub steps: Vec<String>,
    /// Where it comes from; `None` where the rule's source has it all.
    pub source: Option<String>,
}

/// The advice on the finding of this name.
#[must_use]
pub fn for_finding(id: &str, context: &Context<'_>) -> Advice {
    let about = About::of(context);
    let Advice { fix, steps, source } = match id {
        id::ACCEPT_QUEUE_OVERFLOW | id::ACCEPT_QUEUE_NEAR_LIMIT => backlog::overflow(&about),
        id::SYN_QUEUE_OVERFLOW => backlog::syn_queue(&about),
        id::BACKLOG_CLAMPED => backlog::clamped(&about),
        id::FD_EXHAUSTED => files::exhausted(&about),
        id::THUNDERING_HERD => about.herd(),
        id::ONE_WORKER_TAKES_ALL => about.of_server(|server| server.sharing.uneven.to_owned()),
        id::SLOW_ACCEPT if about.is_slow() => about.of_server(|server| server.slow.to_owned()),
        id::SILENT_CLIENTS => backlog::silent(&about),
        _ => Advice::default(),
    };
    let fix = fix.map(|fix| fix + &about.doubt());
    Advice { fix, steps, source }
}

/// Whether a finding is none with this server, which is meant to be so.
#[must_use]
pub fn is_by_design(id: &str, listener: &Listener) -> bool {
    let server = listener.server.as_ref().and_then(entry);
    id == id::ONE_WORKER_TAKES_ALL && server.is_some_and(|server| server.one_acceptor)
}

/// What is known of a server that was recognised.
fn entry(server: &Server) -> Option<&'static Entry> {
    servers::by_name(server.name.as_deref()?)
}

/// A listener, and what is known of its server.
struct About<'a> {
    listener: &'a Listener,
    needed: Option<u64>,
    server: Option<&'static Entry>,
    place: Place<'a>,
}

impl<'a> About<'a> {
    fn of(context: &Context<'a>) -> Self {
        let Context { listener, needed } = *context;
        let server = listener.server.as_ref();
        Self { listener, needed, server: server.and_then(entry), place: Place { server } }
    }

    /// The server's name, or what stands for it.
    fn name(&self) -> &'static str {
        self.server.map_or("the server", |server| server.name)
    }

    /// The doubt about which server it is, as a further sentence.
    fn doubt(&self) -> String {
        let doubt = self.listener.server.as_ref().and_then(|server| server.doubt.as_deref());
        match (self.server, doubt) {
            (Some(server), Some(doubt)) => format!(" Taken for {}: {doubt}.", server.name),
            _ => String::new(),
        }
    }

    /// Whether connections waited long, rather than that tasks are held up.
    fn is_slow(&self) -> bool {
        let wait = &self.listener.accept_wait;
        wait.count >= FEWEST && wait.p99.is_some_and(|wait| wait >= SLOW)
    }

    /// Advice of one clause, where the table has one for this server.
    fn of_server(&self, clause: impl Fn(&Entry) -> String) -> Advice {
        let Some(server) = self.server else { return Advice::default() };
        let clause = clause(server);
        let fix = (!clause.is_empty()).then(|| sentence(&clause));
        let source = fix.as_ref().map(|_| server.source.to_owned());
        Advice { fix, steps: Vec::new(), source }
    }

    fn herd(&self) -> Advice {
        let advice = self.of_server(|server| match (server.sharing.fix, server.sharing.price) {
            (fix, "") => fix.to_owned(),
            (fix, price) => format!("{fix}; the price: {price}"),
        });
        let Some(server) = self.server.filter(|_| advice.fix.is_some()) else { return advice };
        let mut steps = self.lines(&server.sharing.set, None);
        if !steps.is_empty() {
            steps.extend(self.apply(server, true));
        }
        Advice { steps, ..advice }
    }

    /// Lines of configuration, after one that says where they belong.
    fn lines(&self, set: &Lines, number: Option<u64>) -> Vec<String> {
        if set.lines.is_empty() {
            return Vec::new();
        }
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        let filled = set.lines.iter().map(|line| {
            line.replace("{endpoint}", &self.endpoint())
                .replace("{port}", &self.listener.port.to_string())
                .replace("{backlog}", &number)
                .replace("{files}", &number)
        });
        std::iter::once(format!("# in {}:", set.place)).chain(filled).collect()
    }

    /// Address and port, as configurations write them.
    fn endpoint(&self) -> String {
        let Listener { address, port, .. } = self.listener;
        if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    }

    /// The commands that apply a change; a reload where the server's own setting is `changed` and that is
    /// enough.
    fn apply(&self, server: &Entry, changed: bool) -> Vec<String> {
        match server.backlog.apply {
            Apply::Reload { command } if changed => self.place.reload(command),
            _ => self.place.restart(),
        }
    }
}
