//! What a guest has to do: written into its first root by the host, read by its init.

/// Where it stands in the guest.
pub(crate) const PATH: &str = "job";

/// A guest's work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// A shell for a person instead of tests.
    pub(crate) shell: bool,
    /// Arguments of `observer doctor`, where it is to run before the tests.
    pub(crate) doctor: Vec<String>,
    /// Files of modules to load, in their order.
    pub(crate) modules: Vec<String>,
    /// What the tests find in their environment.
    pub(crate) variables: Vec<(String, String)>,
    /// The test program's arguments.
    pub(crate) arguments: Vec<String>,
}

impl Job {
    /// One line each; neither names nor arguments have line ends in them.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if self.shell {
            lines.push("shell".to_owned());
        }
        lines.extend(self.doctor.iter().map(|argument| format!("doctor {argument}")));
        lines.extend(self.modules.iter().map(|file| format!("module {file}")));
        lines.extend(self.variables.iter().map(|(name, value)| format!("set {name} {value}")));
        lines.extend(self.arguments.iter().map(|argument| format!("argument {argument}")));
        lines.join("\n") + "\n"
    }

    /// Reads it back; what is not understood is left out.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut job = Self::default();
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("shell", _) => job.shell = true,
                ("doctor", argument) => job.doctor.push(argument.to_owned()),
                ("module", file) => job.modules.push(file.to_owned()),
                ("set", variable) => {
                    let (name, value) = variable.split_once(' ').unwrap_or((variable, ""));
                    job.variables.push((name.to_owned(), value.to_owned()));
                }
                ("argument", argument) => job.arguments.push(argument.to_owned()),
                _ => {}
            }
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use super::Job;

    #[test]
    fn what_is_written_is_read() {
        let job = Job {
            shell: true,
            doctor: vec!["--format".to_owned(), "json".to_owned()],
            modules: vec!["modules/a.ko".to_owned()],
            variables: vec![("A".to_owned(), "b c".to_owned()), ("E".to_owned(), String::new())],
            arguments: vec!["truth".to_owned(), "--exact".to_owned(), "two words".to_owned()],
        };
        assert_eq!(Job::from_text(&job.to_text()), job);
        assert_eq!(Job::from_text(&Job::default().to_text()), Job::default());
    }
}
