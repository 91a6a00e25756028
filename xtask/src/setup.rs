//! Set-up: what is here (`facts`), what to do about it (`plan`), doing it (`act`).

mod act;
mod apt_sources;
mod facts;
mod goal;
mod llvm;
pub(crate) mod needed;
mod nginx;
mod plan;
mod python;
mod servers;
mod services;
mod toolchain;
mod trace_engine;

use std::process::Command;

use anyhow::{Result, bail};

pub(crate) use self::{
    act::Missing,
    facts::{Core, LINKED, rustup_run},
    goal::Goal,
    nginx::NAME as POLLING_NGINX,
    python::NAME as PYTHON_PACKAGES,
    servers::NAME as SERVERS,
    trace_engine::NAME as TRACE_ENGINE,
};
use self::{
    facts::Facts,
    plan::{Extras, Plan, Way, indented},
};
use crate::{process, unfetched::is_unfetched, workspace::Workspace};

/// A toolchain that compiles the kernel programs.
#[derive(Debug)]
pub(crate) struct Ready {
    way: Way,
    facts: Facts,
    linker: String,
    missing: Vec<Missing>,
}

impl Ready {
    /// A program of that toolchain.
    pub(crate) fn command(&self, program: &str) -> Command {
        match &self.way {
            Way::Chosen(name) => rustup_run(name, program),
            Way::Linked => rustup_run(LINKED, program),
            Way::Nightly => rustup_run("nightly", program),
            Way::Current => Command::new(program),
        }
    }

    /// How it has `core`.
    pub(crate) fn core(&self) -> Core {
        match &self.way {
            Way::Chosen(_) => self.facts.chosen.as_ref().map_or(Core::Missing, |(_, core)| *core),
            Way::Linked => self.facts.linked,
            Way::Nightly => self.facts.nightly,
            Way::Current => self.facts.current,
        }
    }

    /// What tests want and could not be had.
    pub(crate) fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// What was found, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let rustc = process::ask(self.command("rustc").arg("--version")).unwrap_or_default();
        vec![
            format!("{}: {rustc}", plan::describe(&self.way)),
            format!("kernel programs are linked by {}", self.linker),
        ]
    }
}

/// Finds what `goal` needs, and installs or builds what is missing where that is allowed.
///
/// Says on standard error what it does, and nothing where all is there.
pub(crate) fn setup(workspace: &Workspace, goal: Goal) -> Result<Ready> {
    let mut facts = Facts::gather(workspace);
    let mut apt = act::Apt::default();
    if let Plan::Do(steps) = plan::plan(&facts) {
        for step in &steps {
            act::perform(workspace, &facts, step, &mut apt)?;
        }
        facts = Facts::gather(workspace);
    }
    let way = match plan::plan(&facts) {
        Plan::Ready(way) => way,
        Plan::Tell(reason, commands) => bail!("{}", advice(&reason, &commands)),
        Plan::Do(steps) => bail!(
            "set-up took its steps, and this is still to do: {steps:?}; the other way is\n{}",
            indented(&plan::by_hand(&facts))
        ),
    };
    let Extras { install, nginx, python, servers, trace_engine, without } =
        plan::extras(&facts, goal, &way);
    let mut missing = apt.install_each(&install);
    if nginx && let Err(error) = nginx::build(workspace) {
        let reason = format!("{error:#}");
        let unfetched = is_unfetched(&reason);
        missing.push(Missing { package: POLLING_NGINX, reason, unfetched });
    }
    if trace_engine && let Err(error) = trace_engine::fetch(workspace) {
        let reason = format!("{error:#}");
        let unfetched = is_unfetched(&reason);
        missing.push(Missing { package: TRACE_ENGINE, reason, unfetched });
    }
    if python && let Err(error) = python::make(workspace) {
        let reason = format!("{error:#}");
        let unfetched = is_unfetched(&reason);
        missing.push(Missing { package: PYTHON_PACKAGES, reason, unfetched });
    }
    for package in servers {
        apt.update();
        if let Err(error) = servers::unpack(workspace, package) {
            let reason = format!("{package}: {error:#}");
            let unfetched = is_unfetched(&reason);
            missing.push(Missing { package: SERVERS, reason, unfetched });
        }
    }
    for Missing { package, reason, .. } in &missing {
        eprintln!("setup: going on without {package}: {reason}");
    }
    without.iter().for_each(|line| eprintln!("setup: {line}"));
    let linker = if facts.own_linker {
        workspace.linker().display().to_string()
    } else {
        facts.path_linker.as_ref().map_or_else(String::new, |path| path.display().to_string())
    };
    Ok(Ready { way, facts, linker, missing })
}

fn advice(reason: &str, commands: &[String]) -> String {
    format!("{reason}; type\n{}", indented(commands))
}
