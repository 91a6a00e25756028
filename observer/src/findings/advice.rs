//! What to do about a finding: the setting of the server that it is about, the sysctl of the listener's own
//! network namespace, and what makes both take effect.
//!
//! A rule says what fits any server; this says more where the server was recognised
//! ([`crate::findings::servers`]) or where it runs is known.

mod about;
mod backlog;
mod files;
mod place;
mod sharing;
#[cfg(test)]
mod tests;

use crate::{findings::id, model::Listener};

use self::about::About;
pub use self::about::{Advice, Context};

/// The advice on the finding of this name.
#[must_use]
pub fn for_finding(id: &str, context: &Context<'_>) -> Advice {
    let about = About::of(context);
    let Advice { fix, steps, source } = match id {
        id::ACCEPT_QUEUE_OVERFLOW | id::ACCEPT_QUEUE_NEAR_LIMIT => backlog::overflow(&about),
        id::SYN_QUEUE_OVERFLOW => backlog::syn_queue(&about),
        id::BACKLOG_CLAMPED => backlog::clamped(&about),
        id::FD_EXHAUSTED => files::exhausted(&about),
        id::THUNDERING_HERD => sharing::herd(&about),
        id::ONE_WORKER_TAKES_ALL => about.of_server(|server| server.sharing.uneven.to_owned()),
        id::SLOW_ACCEPT if sharing::is_slow(&about) => {
            about.of_server(|server| server.slow.to_owned())
        }
        id::SILENT_CLIENTS => backlog::silent(&about),
        _ => Advice::default(),
    };
    let fix = fix.map(|fix| fix + &about.doubt());
    Advice { fix, steps, source }
}

/// Whether a finding is none with this server, which is meant to be so.
#[must_use]
pub fn is_by_design(id: &str, listener: &Listener) -> bool {
    let server = listener.server.as_ref().and_then(about::entry);
    id == id::ONE_WORKER_TAKES_ALL && server.is_some_and(|server| server.one_acceptor)
}
