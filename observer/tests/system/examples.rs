//! Every example of README, docs and `--help`, run as it stands there.
//!
//! Only what an example cannot know is put in its place: process ids, times, and names of groups. What does not end
//! by itself is interrupted. What cannot be run at all is in [`NOT_RUN`], with the reason; any other command that is
//! not known fails the test, so that no example stands in a page that nobody has tried.

mod extract;
mod judge;
mod world;

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, bail, ensure};

use self::{
    extract::{Example, of_help, of_page},
    world::World,
};
use crate::{Need, Outcome, Test, observer::program};

/// Beginnings of commands that are not run here, and why.
const NOT_RUN: [(&str, &str); 16] = [
    ("cargo run", "what it makes has tests of its own"),
    ("cargo xtask", "builds, tests and packages the whole project"),
    ("cd ", "goes into what was fetched"),
    ("cp deploy", "installs"),
    ("curl", "asks a service of systemd, or the network"),
    ("docker", "needs a container engine"),
    ("git clone", "needs the network"),
    ("helm", "needs a cluster"),
    ("if [", "is about the line before it"),
    ("install ", "installs"),
    ("kubectl", "needs a cluster"),
    ("rpm", "installs"),
    ("sha256sum", "is about files that were fetched"),
    ("sudo apt", "installs"),
    ("sudo rpm", "installs"),
    ("systemctl", "needs systemd"),
];

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("examples::each_is_found", Need::Nothing, extract::check),
        Test::new("examples::of_help", Need::Also(no_pages), || run(&of_helps()?)),
        Test::new("examples::of_the_pages", Need::Also(no_pages), || run(&of_pages()?)),
    ]
}

/// The project's directory.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn no_pages() -> Option<String> {
    (!root().join("docs").is_dir()).then(|| "the pages are not here".to_owned())
}

/// Examples of README and of each page of docs.
fn of_pages() -> anyhow::Result<Vec<Example>> {
    let docs = fs::read_dir(root().join("docs"))?.map(|entry| Ok(entry?.path()));
    let mut pages = docs.collect::<anyhow::Result<Vec<_>>>()?;
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    pages.push(root().join("README.md"));
    pages.sort();
    let mut examples = Vec::new();
    for page in pages {
        let name = page.file_name().context("a name")?.to_string_lossy();
        examples.extend(of_page(&name, &fs::read_to_string(&page)?));
    }
    ensure!(examples.len() > 40, "only {} examples", examples.len());
    Ok(examples)
}

/// Examples of `--help` of each command, which are those of the manual pages.
fn of_helps() -> anyhow::Result<Vec<Example>> {
    let help = |command: &str| -> anyhow::Result<String> {
        let words = command.split_whitespace().chain(["--help"]);
        Ok(String::from_utf8(Command::new(program()).args(words).output()?.stdout)?)
    };
    let first = help("")?;
    let commands = first.split("Commands:\n").nth(1).context("commands")?;
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let mut examples = Vec::new();
    for command in commands.filter(|command| *command != "help").chain([""]) {
        examples.extend(of_help(&format!("observer {command} --help"), &help(command)?));
    }
    ensure!(!examples.is_empty(), "--help has no examples");
    Ok(examples)
}

/// Runs each, and tells of all that fail.
fn run(examples: &[Example]) -> Outcome {
    let world = World::new()?;
    let mut failures = Vec::new();
    let (mut ran, mut skipped) = (0, 0);
    for example in examples {
        let at = format!("{}:{}: {}", example.page, example.line, example.command);
        let command = example.command.strip_prefix("sudo ").unwrap_or(&example.command);
        let is = |beginning: &&(&str, &str)| {
            example.command.starts_with(beginning.0) || command.starts_with(beginning.0)
        };
        if NOT_RUN.iter().any(|beginning| is(&beginning)) {
            skipped += 1;
            continue;
        }
        if !example.command.split_whitespace().any(|word| word == "observer") {
            failures.push(format!("{at}: neither observer nor in the list of what is not run"));
            continue;
        }
        if let Some(lacking) = world.lacks(&example.command) {
            println!("skip: {at}: {lacking}");
            skipped += 1;
            continue;
        }
        match world.run(example).and_then(|done| judge::judge(example, &done)) {
            Ok(()) => ran += 1,
            Err(error) => failures.push(format!("{at}: {error:#}")),
        }
    }
    println!("examples: {ran} ran, {skipped} not run");
    if !failures.is_empty() {
        bail!("{} of {} fail:\n{}", failures.len(), examples.len(), failures.join("\n"));
    }
    Ok(())
}
