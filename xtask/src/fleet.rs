//! `cargo xtask fleet`: what docs/fleet.md and the files of `deploy/` are made with.
//!
//! `cost` measures what a node costs that is scraped; `draw` makes a picture of what the dashboard's queries answered.

mod cost;
mod draw;

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    setup::{Goal, setup},
    workspace::Workspace,
};

/// The command's arguments.
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// Measure what a node costs, and print the tables of docs/fleet.md (a quarter of an hour, as root)
    #[arg(long, required_unless_present_any = ["scene", "draw"])]
    cost: bool,
    /// Scrape servers in trouble for so many seconds, and renew the series in deploy/prometheus/tests and the picture of
    /// the dashboard (as root; 1200 is what the repository has)
    #[arg(long, value_name = "SECONDS")]
    scene: Option<u64>,
    /// Draw the picture of the dashboard again, from what the last scene left
    #[arg(long, conflicts_with = "scene")]
    draw: bool,
}

/// Runs it.
pub(crate) fn fleet(workspace: &Workspace, args: &FleetArgs) -> Result<ExitCode> {
    setup(workspace, if args.scene.is_some() { Goal::Test } else { Goal::Build })?;
    if let Some(seconds) = args.scene {
        scene(workspace, seconds)?;
    }
    if args.scene.is_some() || args.draw {
        picture(workspace)?;
    }
    if args.cost {
        print!("{}", cost::measure(workspace)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the system test keeps of its scene (`observer/tests/system/deploy/dashboard.rs`).
fn scene(workspace: &Workspace, seconds: u64) -> Result<()> {
    let keep = workspace.target().join("fleet");
    fs::create_dir_all(&keep).with_context(|| format!("{} cannot be made", keep.display()))?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "observer", "--test", "system", "--", "--exact"]);
    cargo.arg("deploy::panels_and_alerts_of_servers_in_trouble");
    cargo.env("OBSERVER_TEST_DEPLOY_SECONDS", seconds.to_string());
    cargo.env("OBSERVER_TEST_DEPLOY_KEEP", &keep);
    if !cargo.status()?.success() {
        bail!("the scene failed: the test's messages above say why");
    }
    let series = keep.join("recorded.yml");
    fs::copy(&series, workspace.root().join("deploy/prometheus/tests/recorded.yml"))
        .with_context(|| format!("no {}: was the test skipped?", series.display()))?;
    Ok(())
}

/// Draws what the scene left.
fn picture(workspace: &Workspace) -> Result<()> {
    let (root, keep) = (workspace.root(), workspace.target().join("fleet"));
    let dashboard = read(&root.join("deploy/grafana/observer.json"))?;
    let picture = draw::picture(&dashboard, &read(&keep.join("answers.json"))?)?;
    fs::write(root.join("docs/dashboard.svg"), picture).context("the picture cannot be written")
}

fn read(path: &std::path::Path) -> Result<serde_json::Value> {
    let text = fs::read_to_string(path).with_context(|| format!("no {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}
