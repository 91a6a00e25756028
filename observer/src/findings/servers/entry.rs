//! What a row of the tables says.

use crate::findings::identity::Identity;

/// A server: how it is recognised, and what is known of how it accepts.
///
/// Lines are templates: `{endpoint}` stands for the listener's address and port, `{port}` for the port,
/// `{backlog}` for the wanted backlog, `{half}` for half of it, `{files}` for the wanted limit on open files.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name, as findings give it.
    pub name: &'static str,
    /// What it is recognised by.
    pub signs: &'static [Sign],
    /// Whether one task accepts by design, so that it is no fault that one takes all.
    pub one_acceptor: bool,
    /// Its backlog.
    pub backlog: Backlog,
    /// How its workers share a listener.
    pub sharing: Sharing,
    /// What it does when accept fails for want of a descriptor, as a clause without its name; empty where
    /// that is not known.
    pub exhausted: &'static str,
    /// Where its limit on open files is set, beside those of systemd and containers.
    pub files: Lines,
    /// What to do where it accepts slowly, as an imperative clause; empty for any server's.
    pub slow: &'static str,
    /// Where this was read.
    pub source: &'static str,
}

/// Something that a server is recognised by.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// The sign.
    pub by: By,
    /// Why it may be another server all the same.
    pub doubt: Option<&'static str>,
}

/// Kind of sign, with what it looks for.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// An executable of this name whose parent, or the parent's parent, has that one.
    Below(&'static str, &'static str),
    /// An executable of this name.
    Exe(&'static str),
    /// An executable whose name begins so.
    ExePrefix(&'static str),
    /// An executable whose name begins so, with this argument.
    Argument(&'static str, &'static str),
    /// A title that begins so.
    Title(&'static str),
    /// A task whose name begins so.
    Task(&'static str),
    /// An executable whose name begins so, which runs programs of others.
    Runtime(&'static str),
    /// A program that was built by Go.
    Go,
}

impl By {
    /// Whether a process has the sign.
    #[must_use]
    pub fn fits(self, identity: &Identity) -> bool {
        match self {
            Self::Below(exe, above) => {
                let parent = identity.parent.as_deref();
                let further = parent.and_then(|parent| parent.parent.as_deref());
                let is_above = |one: Option<&Identity>| {
                    one.is_some_and(|one| one.exe.as_deref() == Some(above))
                };
                identity.program() == Some(exe) && (is_above(parent) || is_above(further))
            }
            Self::Go => identity.go,
            Self::Exe(exe) => identity.program() == Some(exe),
            Self::ExePrefix(prefix) | Self::Runtime(prefix) => identity.runs(prefix),
            Self::Argument(exe, word) => identity.runs(exe) && identity.has_argument(word),
            Self::Title(prefix) => identity.title().is_some_and(|title| title.starts_with(prefix)),
            Self::Task(prefix) => {
                identity.tasks.iter().chain(&identity.comm).any(|task| task.starts_with(prefix))
            }
        }
    }

    /// How sure the sign is, the surest first.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Below(..) => 0,
            Self::Exe(_) | Self::ExePrefix(_) => 1,
            Self::Argument(..) => 2,
            Self::Title(_) => 3,
            Self::Task(_) => 4,
            Self::Runtime(_) | Self::Go => 5,
        }
    }
}

/// Lines to write somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// Where they belong, such as `nginx.conf, main context`; empty where there are no lines.
    pub place: &'static str,
    /// The lines.
    pub lines: &'static [&'static str],
}

/// A server's backlog.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Its default in words, such as `511`; empty where it is not known.
    pub default: &'static str,
    /// Where it is set.
    pub set: Lines,
    /// Whether it asks for somaxconn, so that there is nothing to set.
    pub asks_somaxconn: bool,
    /// What applies another one.
    pub apply: Apply,
    /// More to know, as a sentence.
    pub note: &'static str,
    /// What a limit of 0 means, as a sentence, where it is a symptom.
    pub zero: &'static str,
}

/// What makes a server call `listen()` with another backlog. Only that changes a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// A reload where the number was changed; a restart where only somaxconn was.
    Reload {
        /// The command where no unit of systemd is known.
        command: &'static str,
    },
    /// A restart. The clause says which reload is not enough; empty where none is known of.
    Restart(&'static str),
}

/// How workers share a listener.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// What ends a herd, as an imperative clause; empty for any server's.
    pub fix: &'static str,
    /// The lines that do.
    pub set: Lines,
    /// What that costs, as a clause.
    pub price: &'static str,
    /// What to do where one of several workers takes all, as an imperative clause; empty for any server's.
    pub uneven: &'static str,
}

impl Sign {
    /// A sign that no other server has.
    pub(super) const fn sure(by: By) -> Self {
        Self { by, doubt: None }
    }

    /// A sign that others may have.
    pub(super) const fn doubtful(by: By, doubt: &'static str) -> Self {
        Self { by, doubt: Some(doubt) }
    }
}

impl Lines {
    /// Nothing to write.
    pub(super) const NONE: Self = Self { place: "", lines: &[] };

    pub(super) const fn new(place: &'static str, lines: &'static [&'static str]) -> Self {
        Self { place, lines }
    }
}

impl Backlog {
    /// Nothing is known of it.
    pub(super) const UNKNOWN: Self = Self {
        default: "",
        set: Lines::NONE,
        asks_somaxconn: false,
        apply: Apply::Restart(""),
        note: "",
        zero: "",
    };

    /// One with a default and a setting, applied by a restart.
    pub(super) const fn new(default: &'static str, set: Lines) -> Self {
        Self { default, set, ..Self::UNKNOWN }
    }

    /// As much as somaxconn allows.
    pub(super) const SOMAXCONN: Self =
        Self { default: "net.core.somaxconn", asks_somaxconn: true, ..Self::UNKNOWN };
}

impl Sharing {
    /// Nothing is known of it.
    pub(super) const UNKNOWN: Self = Self { fix: "", set: Lines::NONE, price: "", uneven: "" };
}

impl Entry {
    /// Of which nothing is known.
    pub(super) const UNKNOWN: Self = Self {
        name: "",
        signs: &[],
        one_acceptor: false,
        backlog: Backlog::UNKNOWN,
        sharing: Sharing::UNKNOWN,
        exhausted: "",
        files: Lines::NONE,
        slow: "",
        source: "",
    };
}
