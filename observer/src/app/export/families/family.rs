//! A row of the table of metrics.

use prometheus_client::{metrics::MetricType, registry::Unit};

use super::sample::{Of, Sample};
use crate::app::export::state::State;

/// A metric.
pub struct Family {
    /// Name, without the unit and without `_total` or `_info`, which the formats add.
    pub name: &'static str,
    /// Unit, which the name ends with.
    pub unit: Option<Unit>,
    /// Type.
    pub kind: MetricType,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What each of its series is about.
    pub of: Of,
    /// Labels beside those.
    pub labels: &'static [&'static str],
    /// Field of the report that it comes from, or in words what else; and how exact it is.
    pub from: &'static str,
    /// The series there are.
    pub samples: for<'a> fn(&'a State, &mut Vec<Sample<'a>>),
}

impl Family {
    /// The name that is asked for in queries.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        format!("{}{}{suffix}", self.name, unit.unwrap_or_default())
    }
}
