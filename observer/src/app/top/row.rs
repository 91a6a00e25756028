//! A row of the list: a listener, or a reuseport group.

use std::sync::Arc;

use super::{
    history::Sample,
    known::{self, Id, KnownListeners},
};
use crate::app::render::{cell::Cell, labels, table::group};
use observer::model::{Listener, Severity};

/// Identity of a row, which it keeps wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowId {
    /// A listener.
    One(Id),
    /// A reuseport group, by the inode number of its network namespace and its own number.
    Group(u64, u64),
}

/// A row: a listener, or a reuseport group.
#[derive(Clone, Debug)]
pub struct Row {
    /// Identity.
    pub id: RowId,
    /// Numbers: of a group, its sum.
    pub listener: Arc<Listener>,
    /// Members of a group, the worst first; empty for one listener.
    pub members: Vec<Arc<Listener>>,
    /// Which member is the least busy, where they are uneven.
    pub uneven: Option<String>,
}

impl Row {
    /// The listeners that it is about.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let own = self.members.is_empty().then_some(&self.listener);
        own.into_iter().chain(&self.members)
    }

    /// The worst of its findings.
    pub fn severity(&self) -> Option<Severity> {
        self.listener.findings.iter().map(|one| one.severity).max()
    }

    /// Address, with the number of members.
    pub fn address(&self) -> Cell {
        let more = match self.members.len() {
            0 => String::new(),
            members => format!(" ×{members}"),
        };
        labels::address_and(&self.listener, &more)
    }

    /// Samples of its listeners together.
    pub fn samples(&self, known: &KnownListeners, tick: u32, count: usize) -> Vec<Sample> {
        let all = self.listeners().filter_map(|one| known.get(known::id(one)));
        let mut all = all.map(|one| one.samples.last(tick, count));
        let first = all.next().unwrap_or_default();
        all.fold(first, |sum, more| sum.into_iter().zip(more).map(|(a, b)| a.and(b)).collect())
    }

    /// Whether it has the words that were typed: in its address, its holders, its findings or its server.
    pub fn has(&self, words: &str) -> bool {
        let text = || {
            let listener = &self.listener;
            let mut text = self.address().whole();
            for holder in listener.holders.iter().flatten() {
                text += &format!(" {} {}", holder.comm, holder.pid);
            }
            for finding in &listener.findings {
                text += &format!(" {}", finding.id);
            }
            if let Some(name) = listener.server.as_ref().and_then(|server| server.name.as_ref()) {
                text += &format!(" {name}");
            }
            text.to_lowercase()
        };
        words.is_empty() || {
            let text = text();
            words.to_lowercase().split_whitespace().all(|word| text.contains(word))
        }
    }
}

/// What a member of a group is called.
pub fn member(listener: &Listener) -> String {
    group::label(listener).whole().trim_start().to_owned()
}
