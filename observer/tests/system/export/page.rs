//! A page of metrics, as this test reads the text.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use crate::Outcome;

/// A page.
pub struct Page {
    /// As it came.
    pub text: String,
    samples: Vec<Sample>,
    counters: Vec<String>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Page {
    /// Reads a page.
    pub fn parse(text: String) -> anyhow::Result<Self> {
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines().map(parse).collect::<anyhow::Result<_>>()?;
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let counters =
            kinds.filter_map(|line| line.strip_suffix(" counter")).map(str::to_owned).collect();
        Ok(Self { samples, counters, text })
    }

    fn of<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            let has = |(key, value): &(&str, &str)| {
                sample.labels.get(*key).is_some_and(|one| one == value)
            };
            sample.name == name && labels.iter().all(has)
        })
    }

    /// Sum over the series that have these labels among theirs.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).map(|sample| sample.value).sum()
    }

    /// Number of these series.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.of(name, labels).count()
    }

    /// Whether there is one of them.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.count(name, labels) > 0
    }

    /// Labels of the series of a port.
    pub fn labels_of(&self, name: &str, port: u16) -> anyhow::Result<&BTreeMap<String, String>> {
        let port = port.to_string();
        let found = self
            .samples
            .iter()
            .find(|one| one.name == name && one.labels.get("port") == Some(&port));
        found.map(|sample| &sample.labels).with_context(|| format!("no {name} of {port}"))
    }

    /// Number of series with a label.
    pub fn samples_with_label(&self, label: &str) -> usize {
        self.samples.iter().filter(|sample| sample.labels.contains_key(label)).count()
    }

    /// No counter is below what it was, nor gone.
    pub fn never_falls(&self, before: &Self) -> Outcome {
        let counters = before.samples.iter().filter(|sample| {
            let name = &sample.name;
            let is_part = name.ends_with("_bucket") || name.ends_with("_count");
            is_part || before.counters.contains(name)
        });
        let mut count = 0;
        for sample in counters {
            let same = |one: &&Sample| one.name == sample.name && one.labels == sample.labels;
            let now = self.samples.iter().find(same);
            let now =
                now.with_context(|| format!("{} {:?} is gone", sample.name, sample.labels))?;
            let (now, then) = (now.value, sample.value);
            ensure!(now >= then, "{} {:?} fell from {then} to {now}", sample.name, sample.labels);
            count += 1;
        }
        ensure!(count > 0, "there was no counter");
        Ok(())
    }
}

/// A line: `name{key="value",…} number`. No value of these tests has a quote.
fn parse(line: &str) -> anyhow::Result<Sample> {
    let wrong = || format!("no sample: {line}");
    let (series, value) = line.rsplit_once(' ').with_context(wrong)?;
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').with_context(wrong)?),
    };
    let of = |label: &str| {
        let (key, value) = label.split_once("=\"")?;
        Some((key.to_owned(), value.strip_suffix('"')?.to_owned()))
    };
    let labels = labels.split(',').filter(|label| !label.is_empty());
    let labels =
        labels.map(|label| of(label).with_context(wrong)).collect::<anyhow::Result<_>>()?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().with_context(wrong)? };
    Ok(Sample { name: name.to_owned(), labels, value })
}
