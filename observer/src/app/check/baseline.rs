//! The baseline: what was recorded before, and which numbers are worse now.

mod compare;
mod group;

use std::path::Path;

use anyhow::{Context as _, Result};
use observer::{
    Update,
    error::Failure,
    model::{Providers, Report},
    recording,
};

use super::{doubt::Needs, limits::Judged};
use crate::app::render::text;

pub use self::compare::Comparison;
use self::{compare::COMPARED, group::Group};

/// What a recording of before says, as far as it is compared.
pub struct Baseline {
    /// Name of the file as it was typed, safe to print.
    file: String,
    groups: Vec<Group>,
    providers: Providers,
}

impl Baseline {
    /// Reads the report of a whole window: the last line of a recording, or what `--report` wrote.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or has no such report.
    pub fn read(path: &Path) -> Result<Self> {
        let file = text::clean(&path.display().to_string());
        let total = total(path).with_context(|| format!("cannot read the baseline {file}"))?;
        let Some(report) = total else {
            return Err(Failure::failed(format!(
                "{file} has no report of a whole window at its end, as a recording has that was cut off; make \
                 another with `observer record` or `observer check --report`"
            ))
            .into());
        };
        Ok(Self::of(file, &report))
    }

    /// What a report says, as far as it is compared.
    fn of(file: String, report: &Report) -> Self {
        Self { file, groups: group::groups(report), providers: report.providers.clone() }
    }

    /// What is compared, as it is told, and what it needs of the hooks.
    pub fn needs(tolerance: f64) -> impl Iterator<Item = (String, Needs)> {
        COMPARED.iter().map(move |one| (one.typed(tolerance), one.needs))
    }

    /// What its own numbers are worth.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Compares a report with it.
    pub fn compare(&self, report: &Report, tolerance: f64, allow_estimates: bool) -> Comparison {
        compare::compare(self, report, tolerance, allow_estimates)
    }
}

fn total(path: &Path) -> Result<Option<Report>> {
    let text = std::fs::read_to_string(path)?;
    let mut last = None;
    for line in text.lines() {
        if let Ok(Update::Ended(ended)) = recording::parse(line) {
            last = Some(*ended.total);
        }
    }
    Ok(last)
}
