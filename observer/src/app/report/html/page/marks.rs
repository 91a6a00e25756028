//! Marks of estimates, and rates.

use crate::app::report::against::words;
use observer::model::{Report, Worth};

/// Marks of estimates: `~`, or nothing where a number is right.
pub struct Marks {
    worth: Vec<(&'static str, Worth)>,
}

impl Marks {
    pub fn of(report: &Report) -> Self {
        let signals = report.providers.signals().into_iter();
        Self { worth: signals.map(|(name, _, worth)| (name, worth)).collect() }
    }

    /// A number of these signals: marked where it is an estimate, `-` where nothing observes it.
    pub fn number(&self, signals: &[&str], text: &str) -> String {
        if self.is(signals, Worth::Nothing) {
            return "-".to_owned();
        }
        format!("{}{text}", self.mark(signals))
    }

    /// `~` where numbers of these signals are estimates.
    pub fn mark(&self, signals: &[&str]) -> &'static str {
        if self.is(signals, Worth::Estimate) { "~" } else { "" }
    }

    /// Whether nothing observes one of these signals.
    pub fn is_blind(&self, signals: &[&str]) -> bool {
        self.is(signals, Worth::Nothing)
    }

    fn is(&self, signals: &[&str], worth: Worth) -> bool {
        self.worth.iter().any(|(name, one)| signals.contains(name) && *one == worth)
    }
}

/// A count for a second, in the words of the page.
pub fn rate(count: u64, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits of a count")]
    let rate = count as f64 / seconds;
    words::value("accepted_per_second", Some(rate))
}
