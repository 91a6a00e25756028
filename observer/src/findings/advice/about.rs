//! A listener that advice is given on, and what is known of its server.

use super::place::Place;
use crate::{
    findings::{
        servers::{self, Apply, Entry, Lines},
        words::sentence,
    },
    model::{Listener, Server},
};

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

/// What is known of a server that was recognised.
pub(super) fn entry(server: &Server) -> Option<&'static Entry> {
    servers::by_name(server.name.as_deref()?)
}

/// A listener, and what is known of its server.
pub(super) struct About<'a> {
    pub(super) listener: &'a Listener,
    pub(super) needed: Option<u64>,
    pub(super) server: Option<&'static Entry>,
    pub(super) place: Place<'a>,
}

impl<'a> About<'a> {
    pub(super) fn of(context: &Context<'a>) -> Self {
        let Context { listener, needed } = *context;
        let server = listener.server.as_ref();
        Self { listener, needed, server: server.and_then(entry), place: Place { server } }
    }

    /// The server's name, or what stands for it.
    pub(super) fn name(&self) -> &'static str {
        self.server.map_or("the server", |server| server.name)
    }

    /// The doubt about which server it is, as a further sentence.
    pub(super) fn doubt(&self) -> String {
        let doubt = self.listener.server.as_ref().and_then(|server| server.doubt.as_deref());
        match (self.server, doubt) {
            (Some(server), Some(doubt)) => format!(" Taken for {}: {doubt}.", server.name),
            _ => String::new(),
        }
    }

    /// Advice of one clause, where the table has one for this server.
    pub(super) fn of_server(&self, clause: impl Fn(&Entry) -> String) -> Advice {
        let Some(server) = self.server else { return Advice::default() };
        let clause = clause(server);
        let fix = (!clause.is_empty()).then(|| sentence(&clause));
        let source = fix.as_ref().map(|_| server.source.to_owned());
        Advice { fix, steps: Vec::new(), source }
    }

    /// Lines of configuration, after one that says where they belong.
    pub(super) fn lines(&self, set: &Lines, number: Option<u64>) -> Vec<String> {
        if set.lines.is_empty() {
            return Vec::new();
        }
        let half = number.map(|number| number.div_ceil(2).to_string()).unwrap_or_default();
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        let filled = set.lines.iter().map(|line| {
            line.replace("{endpoint}", &self.endpoint())
                .replace("{port}", &self.listener.port.to_string())
                .replace("{backlog}", &number)
                .replace("{half}", &half)
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
    pub(super) fn apply(&self, server: &Entry, changed: bool) -> Vec<String> {
        match server.backlog.apply {
            Apply::Reload { command } if changed => self.place.reload(command),
            _ => self.place.restart(),
        }
    }
}
