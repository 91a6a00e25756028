//! The commands that a newcomer types first, for which little has to be compiled: set-up, build and run.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;

use crate::{
    run,
    setup::{Goal, setup},
    workspace::Workspace,
};

/// One of these commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Set up.
    Setup,
    /// Set up and build.
    Build,
    /// Set up, build, and run with these arguments.
    Run(Vec<String>),
}

impl Start {
    /// The command that these words are, exactly; `None` for all others, for help and for what is misspelt.
    pub(crate) fn read(words: &[OsString]) -> Option<Self> {
        let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
        match words?.as_slice() {
            ["setup"] => Some(Self::Setup),
            ["build"] => Some(Self::Build),
            ["run"] => Some(Self::Run(Vec::new())),
            ["run", "--", arguments @ ..] => {
                Some(Self::Run(arguments.iter().map(|word| (*word).to_owned()).collect()))
            }
            _ => None,
        }
    }

    /// Does it. A run that began well does not return.
    pub(crate) fn perform(self, workspace: &Workspace) -> Result<ExitCode> {
        let ready = setup(workspace, Goal::Build)?;
        match self {
            Self::Setup => ready.lines().iter().for_each(|line| println!("setup: {line}")),
            Self::Build => println!("build: {}", run::build(workspace)?.display()),
            Self::Run(arguments) => return run::run(workspace, arguments),
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::Start;

    fn read(line: &str) -> Option<Start> {
        Start::read(&line.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_meant_exactly_is_read() {
        let run =
            |line: &str| Some(Start::Run(line.split_whitespace().map(str::to_owned).collect()));
        assert_eq!(read("setup"), Some(Start::Setup));
        assert_eq!(read("build"), Some(Start::Build));
        assert_eq!(read("run"), run(""));
        assert_eq!(read("run --"), run(""));
        assert_eq!(read("run -- demo --help"), run("demo --help"));
    }

    #[test]
    fn all_else_is_for_who_knows_it() {
        for line in
            ["", "--help", "test", "setup --help", "run --help", "run demo", "help run", "setup x"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
