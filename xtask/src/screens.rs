//! Observer's screens in README and docs.
//!
//! Pictures are made by showing recordings in a real terminal (tmux): the same recording gives the same picture on every
//! machine, so that `--check` can tell which are stale. Tables are text, taken of real servers in a virtual machine whose
//! kernel has all hooks (`machine` boots it, `scenes` and `server` are what runs inside) and kept as files, which
//! `blocks` puts into the pages.

mod ansi;
pub(crate) mod blocks;
mod machine;
pub(crate) mod scenes;
mod server;
mod svg;
mod terminal;

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::terminal::Terminal;
use crate::{process, workspace::Workspace};

/// Arguments of `cargo xtask screens`.
#[derive(Debug, Args)]
pub(crate) struct ScreensArgs {
    /// Write nothing, and fail where a picture is not what the screen shows, or a page has another text than its file
    #[arg(long)]
    check: bool,
    /// First take all texts anew in a virtual machine
    #[arg(long, conflicts_with = "check")]
    machine: bool,
}

/// A picture.
struct Picture {
    /// Name of the file below `docs/screens`, without its end.
    name: &'static str,
    /// What it shows, for those who cannot see it.
    title: &'static str,
    columns: u16,
    rows: u16,
    /// What observer is called with.
    arguments: &'static str,
    /// Words that are there when the first screen is drawn.
    ready: &'static str,
    /// Keys to press, as tmux calls them, each with words to wait for.
    keys: &'static [(&'static str, &'static str)],
}

/// A recording of a thundering herd, an overflowing accept queue and servers that are well.
const RECORDED: &str = "top --replay observer/tests/data/top.ndjson --speed 0";

/// All pictures.
const PICTURES: &[Picture] = &[
    Picture {
        name: "top-80x24",
        title: "observer top in a small terminal: listeners, the worst first, and beneath them what is wrong with \
                the chosen one and the fix",
        columns: 80,
        rows: 24,
        arguments: RECORDED,
        ready: "? help",
        keys: &[("Down", "── *:8080")],
    },
    Picture {
        name: "top-180x40",
        title: "observer top in a wide terminal: listeners with the history of each number, and beside them the \
                chosen one's finding, fix, workers, waits and limits",
        columns: 180,
        rows: 40,
        arguments: RECORDED,
        ready: "? help",
        keys: &[("Down", "── *:8080")],
    },
    Picture {
        name: "top-details",
        title: "observer top with the details of one listener on the whole screen",
        columns: 100,
        rows: 56,
        arguments: RECORDED,
        ready: "? help",
        keys: &[("Enter", "Esc back")],
    },
    Picture {
        name: "top-help",
        title: "the help of observer top",
        columns: 80,
        rows: 24,
        arguments: RECORDED,
        ready: "? help",
        keys: &[("?", "PgUp PgDn")],
    },
];

/// Makes all pictures and puts the texts into the pages, or compares them.
pub(crate) fn screens(workspace: &Workspace, args: &ScreensArgs) -> Result<ExitCode> {
    if args.machine {
        machine::take(workspace)?;
    }
    let pages = blocks::renew(workspace, !args.check)?;
    if process::ask(Command::new("tmux").arg("-V")).is_none() {
        bail!(
            "tmux is not here, in which the screens are shown; cargo xtask setup names its package"
        );
    }
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--quiet", "--package", "observer"]);
    process::quietly(cargo)?;
    let program = workspace.target().join("debug/observer");
    let directory = workspace.root().join("docs/screens");
    fs::create_dir_all(&directory).context("docs/screens cannot be made")?;
    let mut stale = Vec::new();
    for picture in PICTURES {
        let svg =
            taken(workspace, &program, picture).with_context(|| format!("no {}", picture.name))?;
        let path = directory.join(format!("{}.svg", picture.name));
        if fs::read_to_string(&path).is_ok_and(|before| before == svg) {
            continue;
        }
        stale.push(picture.name);
        if !args.check {
            fs::write(&path, svg)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    let stale: Vec<_> = stale.iter().map(ToString::to_string).chain(pages).collect();
    let names = stale.join(", ");
    Ok(match (stale.is_empty(), args.check) {
        (true, _) => {
            println!(
                "screens: {} pictures and the texts of all pages are what the screens show",
                PICTURES.len()
            );
            ExitCode::SUCCESS
        }
        (false, false) => {
            println!("screens: made {names}");
            ExitCode::SUCCESS
        }
        (false, true) => {
            println!("screens: stale: {names}; make them again with `cargo xtask screens`");
            ExitCode::FAILURE
        }
    })
}

/// Takes one picture.
fn taken(workspace: &Workspace, program: &Path, picture: &Picture) -> Result<String> {
    let command = format!("{} {}", program.display(), picture.arguments);
    let terminal = Terminal::open(workspace.root(), (picture.columns, picture.rows), &command)?;
    terminal.shows(picture.ready)?;
    for (key, words) in picture.keys {
        terminal.press(key)?;
        terminal.shows(words)?;
    }
    let lines = ansi::lines(&terminal.painted()?);
    Ok(svg::of(&lines, (picture.columns, picture.rows), picture.title))
}
