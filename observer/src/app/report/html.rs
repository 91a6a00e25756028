//! A recording as one page, which needs nothing else: no network, no script, no other file.
//!
//! Everything in it is escaped by the template engine, and a policy in the page forbids the browser to load or run
//! anything. How much it shows is bounded, and what is left out is counted.

mod page;
mod plot;
pub mod series;

use anyhow::{Context as _, Result};
use minijinja::{Environment, syntax::SyntaxConfig, value::Serde};

use crate::app::{render::table::group::Block, report::load::Recording};
use observer::model::Comparison;
use series::{Members, PLOTTED, Series};

/// Makes the page.
///
/// # Errors
///
/// None that is expected: the template is part of the program.
pub fn render(
    recording: &Recording,
    notes: &[String],
    series: Option<&Series>,
    comparison: Option<&Comparison>,
) -> Result<String> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.context("the template's blocks cannot be trimmed")?);
    // Names that end in .html are escaped.
    for (name, text) in [
        ("page.html", include_str!("html/page.html.jinja")),
        ("comparison.html", include_str!("html/comparison.html.jinja")),
        ("listener.html", include_str!("html/listener.html.jinja")),
        ("plot.html", include_str!("html/plot.html.jinja")),
    ] {
        environment.add_template(name, text).context("cannot read the template of the page")?;
    }
    let page = page::page(recording, notes, series, comparison);
    let template = environment.get_template("page.html").context("there is no template")?;
    template.render(Serde(page)).context("cannot make the page; please report this")
}

/// Listeners that get plots: the worst first.
pub fn plotted(recording: &Recording) -> Vec<Members> {
    let blocks = Block::of_all(recording.report.listeners.iter());
    let busy = blocks.iter().filter(|block| !block.is_idle()).take(PLOTTED);
    busy.map(|block| block.members.iter().map(|one| (one.netns, one.inode)).collect()).collect()
}
