//! The baseline: what was recorded before, and which numbers are worse now.

mod compare;
mod group;
mod terms;

use std::path::Path;

use anyhow::Result;
use observer::{Update, error::Failure, model::Report, recording::Reader};

use super::doubt::{Needs, refusal};
use crate::app::render::text;

pub use self::{compare::Comparison, terms::Terms};
use self::{
    compare::{COMPARED, accepted},
    group::Before,
};

/// What a recording of before says, as far as it is compared.
pub struct Baseline(Before);

impl Baseline {
    /// Reads the report of a whole window: the last line of a recording, or what `--report` wrote.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no recording, or has no such report.
    pub fn read(path: &Path) -> Result<Self> {
        let file = text::clean(&path.display().to_string());
        let mut reader = Reader::open(path)?;
        let mut total = None;
        while let Some(update) = reader.next()? {
            if let Update::Ended(ended) = update {
                total = Some(ended.total);
            }
        }
        match total {
            Some(report) => Ok(Self(Before::of(file, &report))),
            None => Err(Failure::failed(format!(
                "{file} has no report of a whole window at its end, as a recording that was cut off; make another \
                 with `observer record`, or with `observer check --report`"
            ))
            .into()),
        }
    }

    /// What is compared, as it is told, and what it needs of the hooks.
    pub fn needs(tolerance: f64) -> impl Iterator<Item = (String, Needs)> {
        let all = COMPARED.iter().map(move |one| (one.typed(tolerance), one.needs));
        all.chain([(accepted::TYPED.to_owned(), accepted::NEEDS)])
    }

    /// The failure where its own numbers decide nothing.
    pub fn refusal(&self, terms: Terms) -> Option<Failure> {
        let needs = Self::needs(terms.tolerance)
            .map(|(typed, needs)| (format!("in {}, {typed}", self.0.file), needs));
        refusal(needs, &self.0.providers, terms.allow_estimates)
    }

    /// Compares a report with it.
    pub fn compare(&self, report: &Report, terms: Terms) -> Comparison {
        compare::compare(&self.0, report, terms)
    }
}
