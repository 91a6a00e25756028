//! Servers that are known: how each is recognised, and which fix fits it.
//!
//! A server is one row of a table in the files below. Each row was read in the source or the documentation
//! that it names; what is not known of a server is empty, and then the advice is for any.

mod databases;
mod entry;
mod python;
mod runtimes;
mod system;
#[cfg(test)]
mod tests;
mod web;

use crate::findings::identity::Identity;

pub use self::entry::{Apply, Backlog, By, Entry, Lines, Sharing, Sign};

/// All servers. Of two that fit equally well the earlier is taken.
const TABLES: &[&[Entry]] =
    &[web::TABLE, python::TABLE, runtimes::TABLE, databases::TABLE, system::TABLE];

/// A server that was recognised.
#[derive(Clone, Copy, Debug)]
pub struct Recognised {
    /// What is known of it.
    pub server: &'static Entry,
    /// Why it may be another; `None` where it is certain.
    pub doubt: Option<&'static str>,
}

/// All servers that are known.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().copied().flatten()
}

/// The server of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Entry> {
    all().find(|one| one.name == name)
}

/// Recognises a server by the surest sign that any has: executable, arguments, title, names of tasks, and the
/// language that it is written in last.
#[must_use]
pub fn recognise(identity: &Identity) -> Option<Recognised> {
    let own = by_signs(identity);
    let parent = identity.parent.as_deref().filter(|_| identity.is_spawned());
    parent.and_then(by_signs).or(own)
}

fn by_signs(identity: &Identity) -> Option<Recognised> {
    let fitting = all().flat_map(|server| server.signs.iter().map(move |sign| (server, sign)));
    let fitting = fitting.filter(|(_, sign)| sign.by.fits(identity));
    // Of equal ones the first.
    let (server, sign) = fitting.min_by_key(|(_, sign)| sign.by.rank())?;
    Some(Recognised { server, doubt: sign.doubt })
}
