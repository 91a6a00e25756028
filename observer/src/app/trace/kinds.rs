//! Kinds of events by their names, and how many there were of each.

use std::collections::BTreeMap;

use observer::model::What;

/// Number of events of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Adds events of a kind.
    pub fn add(&mut self, kind: &'static str, count: u64) {
        if count != 0 {
            *self.0.entry(kind).or_insert(0) += count;
        }
    }

    /// Adds all of another.
    pub fn add_all(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            self.add(kind, *count);
        }
    }

    /// Number of all events.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// As an event tells them.
    pub fn to_map(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
    }

    /// In words, the most first: `1600 woken, 200 queued`.
    pub fn words(&self) -> String {
        words(self.0.iter().map(|(kind, count)| (*kind, *count)))
    }
}

/// How many there are of each, the most first: `1600 woken, 200 queued`.
pub fn words<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let each: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    each.join(", ")
}

/// The name of an event's kind, as in JSON.
pub fn name(what: &What) -> &'static str {
    match what {
        What::Queued { .. } => "queued",
        What::Woken { .. } => "woken",
        What::Accepted { .. } => "accepted",
        What::AcceptError { .. } => "accept_error",
        What::Silent { .. } => "silent",
        What::Dropped { .. } => "dropped",
        What::Listening { .. } => "listening",
        What::Closed { .. } => "closed",
        What::Lost { .. } => "lost",
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn the_most_comes_first() {
        let mut counts = Counts::default();
        for (kind, count) in [("queued", 200), ("woken", 1_599), ("silent", 0), ("woken", 1)] {
            counts.add(kind, count);
        }
        assert_eq!(counts.words(), "1600 woken, 200 queued");
        assert_eq!(counts.total(), 1_800);
    }
}
