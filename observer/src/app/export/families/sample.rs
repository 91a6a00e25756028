//! One series of a metric.

use std::borrow::Cow;

use crate::app::export::{
    histogram::{Histogram, Scale},
    place::Place,
};

/// What a series is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The listeners of one place.
    Listener,
    /// A task at one place.
    Worker,
    /// All of the host, or observer itself.
    Host,
}

/// One series of a metric, with its value.
pub struct Sample<'a> {
    /// The place that it is about.
    pub place: Option<&'a Place>,
    /// Further labels.
    pub labels: Vec<(&'static str, Cow<'a, str>)>,
    /// The value.
    pub value: Value<'a>,
}

/// Value of a series.
pub enum Value<'a> {
    /// A count, of a counter or a gauge.
    Count(u64),
    /// A number.
    Number(f64),
    /// A histogram, with how its values are put into buckets.
    Histogram(&'a Histogram, &'static Scale),
    /// Labels alone.
    Info,
}

impl<'a> Sample<'a> {
    /// Of the host.
    pub fn host(value: Value<'a>) -> Self {
        Self { place: None, labels: Vec::new(), value }
    }

    /// Of a place.
    pub fn at(place: &'a Place, value: Value<'a>) -> Self {
        Self { place: Some(place), labels: Vec::new(), value }
    }

    /// With another label.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}
