//! The arguments of this test program: those of libtest-mimic, and any number of filters as libtest takes them.

use libtest_mimic::{Arguments, Trial};

/// Options whose value is a word of its own.
const WITH_VALUE: [&str; 6] =
    ["--color", "--format", "--logfile", "--skip", "--test-threads", "-Z"];

/// Arguments, and what they choose.
pub struct Chosen {
    /// What the harness is run with. Where there are several filters it has none, and does not count what they leave out.
    pub harness: Arguments,
    /// Arguments with one filter each: a test is chosen that one of them chooses.
    each: Vec<Arguments>,
}

impl Chosen {
    /// Reads them, the program's name first. Those that there are not end the program.
    pub fn of(words: impl IntoIterator<Item = String>) -> Self {
        let (options, filters) = split(words);
        let with = |filter: Option<String>| Arguments { filter, ..Arguments::from_iter(&options) };
        let mut each: Vec<_> = filters.iter().cloned().map(|filter| with(Some(filter))).collect();
        if each.is_empty() {
            each.push(with(None));
        }
        let harness = match &each[..] {
            [one] => one.clone(),
            _ => with(None),
        };
        Self { harness, each }
    }

    /// Whether there is more than one filter, of which the harness knows nothing.
    pub fn has_several(&self) -> bool {
        self.each.len() > 1
    }

    /// Whether a test of this name is to run, or to be listed.
    pub fn is(&self, name: &str) -> bool {
        let trial = Trial::test(name, || Ok(()));
        self.each.iter().any(|arguments| !arguments.is_filtered_out(&trial))
    }
}

/// Options with their values, and filters.
fn split(words: impl IntoIterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let mut words = words.into_iter();
    let mut options: Vec<String> = words.next().into_iter().collect();
    let mut filters = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            filters.extend(words.by_ref());
        } else if word.starts_with('-') {
            let value = WITH_VALUE.contains(&word.as_str()).then(|| words.next()).flatten();
            options.extend([word].into_iter().chain(value));
        } else {
            filters.push(word);
        }
    }
    (options, filters)
}
