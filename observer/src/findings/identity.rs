//! What is known of a process that holds a listener, for recognising which server it is.

/// Facts about one process. What could not be read is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Last component of the executable's path (`/proc/PID/exe`), without ` (deleted)`.
    pub exe: Option<String>,
    /// Arguments (`/proc/PID/cmdline`), the first of which is the title where the program sets one.
    pub argv: Option<Vec<String>>,
    /// Name of the process, at most 15 bytes (`/proc/PID/comm`).
    pub comm: Option<String>,
    /// Names of its tasks that accept or wait, at most 15 bytes each.
    pub tasks: Vec<String>,
    /// Whether it is known that the program was built by Go.
    pub go: bool,
    /// The process that started it, or that has adopted it since.
    pub parent: Option<Box<Identity>>,
}

impl Identity {
    /// Its title: what the program, or whoever started it, made of its first argument.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.argv.as_deref()?.first().map(String::as_str)
    }

    /// The program that it runs: the executable, or where that may not be seen the first argument, unless that is
    /// a title.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        let path = || self.title().filter(|title| !title.contains(' ')).map(base);
        self.exe.as_deref().or_else(path)
    }

    /// Whether its program's name begins so.
    #[must_use]
    pub fn runs(&self, prefix: &str) -> bool {
        self.program().is_some_and(|program| program.starts_with(prefix))
    }

    /// Whether one of its arguments is this word, or a path that ends in it.
    #[must_use]
    pub fn has_argument(&self, word: &str) -> bool {
        let arguments = self.argv.as_deref().unwrap_or_default().iter().skip(1);
        arguments.map(|argument| base(argument)).any(|argument| argument == word)
    }

    /// Whether Python started it for another process of the same program (`multiprocessing`), whose
    /// arguments say what it is.
    #[must_use]
    pub fn is_spawned(&self) -> bool {
        let mut arguments = self.argv.as_deref().unwrap_or_default().iter();
        self.runs("python") && arguments.any(|one| one.starts_with("from multiprocessing."))
    }
}

/// The last component of a path.
#[must_use]
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
