//! What a limit is held against: a listener, or all of them together. Pure.

use observer::{
    model::{Listener, Report},
    recording::matching::program,
};

use crate::app::render::{labels, text};

/// What a limit is held against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Index of the listener in the report; `None` for what is about several or none.
    pub listener: Option<usize>,
    /// Address and port, or words for several listeners. Safe to print.
    pub at: String,
    /// Who holds the listener; empty where that is not known. Safe to print.
    pub who: String,
}

impl Subject {
    /// All listeners of the window together.
    pub fn all() -> Self {
        Self { at: "all listeners".to_owned(), ..Self::default() }
    }

    /// Every listener of a report, in its order.
    pub fn each(report: &Report) -> Vec<Self> {
        let first = report.listeners.first().map(|one| one.netns);
        let several = report.listeners.iter().any(|one| Some(one.netns) != first);
        let subject = |(index, one): (usize, &Listener)| {
            let mut at = labels::address(one).whole();
            if several {
                at += &format!(" in netns {}", one.netns);
            }
            Self { listener: Some(index), at, who: who(one) }
        };
        report.listeners.iter().enumerate().map(subject).collect()
    }

    /// In a sentence: `127.0.0.1:8080 (nginx ×8 epoll)`.
    pub fn words(&self) -> String {
        if self.who.is_empty() { self.at.clone() } else { format!("{} ({})", self.at, self.who) }
    }
}

/// Who holds a listener, or held it while it was there.
fn who(listener: &Listener) -> String {
    match listener.holders.as_deref() {
        Some([_, ..]) => labels::held_by(listener).whole(),
        _ => text::clean(program(&[listener]).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures;

    #[test]
    fn a_listener_is_told_by_address_and_who_holds_it() {
        let told = |report: &Report| Subject::each(report)[0].words();
        let mut report = fixtures::herd(8);
        assert_eq!(told(&report), "127.0.0.1:8080 (nginx ×8 epoll)");
        report.listeners[0].closed = true;
        report.listeners[0].holders = Some(Vec::new());
        assert_eq!(told(&report), "127.0.0.1:8080 closed (nginx)");
        report.listeners[0].workers.clear();
        assert_eq!(told(&report), "127.0.0.1:8080 closed");
        assert!(Subject::each(&fixtures::many(4))[1].at.contains(" in netns 4026"));
    }

    #[test]
    fn names_cannot_harm_a_terminal() {
        for subject in Subject::each(&fixtures::hostile()) {
            let words = subject.words();
            assert!(!words.chars().any(char::is_control), "{words:?}");
        }
    }
}
