//! What each finding means: what happens in the kernel, how observer knows, what to do, and how to see that it
//! worked.
//!
//! The texts are Markdown of a simple kind, a file for each finding: a heading with its name, one line that says
//! what it is, sections, paragraphs that are a line each, lists, and blocks of commands.

use super::id;

/// The text on one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Name of the finding.
    pub id: &'static str,
    /// The text.
    pub text: &'static str,
}

/// All texts, in the order of [`super::RULES`].
pub const ALL: &[Explanation] = &[
    Explanation { id: id::FD_EXHAUSTED, text: include_str!("explain/fd-exhausted.md") },
    Explanation {
        id: id::ACCEPT_QUEUE_OVERFLOW,
        text: include_str!("explain/accept-queue-overflow.md"),
    },
    Explanation { id: id::SYN_QUEUE_OVERFLOW, text: include_str!("explain/syn-queue-overflow.md") },
    Explanation { id: id::SILENT_CLIENTS, text: include_str!("explain/silent-clients.md") },
    Explanation {
        id: id::ACCEPT_QUEUE_NEAR_LIMIT,
        text: include_str!("explain/accept-queue-near-limit.md"),
    },
    Explanation { id: id::SLOW_ACCEPT, text: include_str!("explain/slow-accept.md") },
    Explanation { id: id::THUNDERING_HERD, text: include_str!("explain/thundering-herd.md") },
    Explanation { id: id::BACKLOG_CLAMPED, text: include_str!("explain/backlog-clamped.md") },
    Explanation {
        id: id::ONE_WORKER_TAKES_ALL,
        text: include_str!("explain/one-worker-takes-all.md"),
    },
];

impl Explanation {
    /// The text on the finding of this name.
    #[must_use]
    pub fn of(id: &str) -> Option<&'static Self> {
        ALL.iter().find(|one| one.id == id)
    }

    /// The finding in one line.
    #[must_use]
    pub fn line(&self) -> &'static str {
        self.text.lines().nth(2).unwrap_or_default()
    }
}

/// All names.
pub fn ids() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|one| one.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::RULES;

    #[test]
    fn every_rule_is_explained_in_order() {
        let rules: Vec<_> = RULES.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids().collect::<Vec<_>>(), rules);
    }

    #[test]
    fn each_text_has_all_sections() {
        for one in ALL {
            assert!(one.text.starts_with(&format!("# {}\n\n", one.id)), "{}", one.id);
            assert!(one.line().ends_with('.') && !one.line().contains('#'), "{}", one.id);
            for section in
                ["What happens", "How observer knows", "How to fix it", "How to see that it worked"]
            {
                let heading = format!("\n## {section}\n");
                assert_eq!(one.text.matches(&heading).count(), 1, "{}: {section}", one.id);
            }
        }
    }

    #[test]
    fn tcp_max_syn_backlog_is_no_remedy_but_without_cookies() {
        let told =
            |id| Explanation::of(id).is_some_and(|one| one.text.contains("tcp_max_syn_backlog"));
        assert!(told(id::SYN_QUEUE_OVERFLOW) && told(id::ACCEPT_QUEUE_OVERFLOW));
        for one in ALL.iter().filter(|one| one.text.contains("tcp_max_syn_backlog")) {
            let lines = one.text.lines().filter(|line| line.contains("tcp_max_syn_backlog"));
            for line in lines {
                let says =
                    ["Not `", "only with", "only then"].iter().any(|word| line.contains(word));
                assert!(says, "{}: {line}", one.id);
            }
        }
    }
}
