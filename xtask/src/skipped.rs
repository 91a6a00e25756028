//! Tests that were skipped: each is told once, with its reasons and where that was. Pure.

use std::collections::BTreeMap;

/// Where a test was skipped: on this machine, which comes first, or on a virtual one.
pub(crate) const HERE: &str = "";

/// Skipped tests: by name and by reason the machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped(BTreeMap<String, BTreeMap<String, Vec<String>>>);

impl Skipped {
    /// Takes one that was skipped on a machine.
    pub(crate) fn take(&mut self, machine: &str, test: &str, reason: Option<&str>) {
        let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or("no reason given");
        let of_test = self.0.entry(test.to_owned()).or_default();
        of_test.entry(reason.to_owned()).or_default().push(machine.to_owned());
    }

    /// Takes those of another run too.
    pub(crate) fn extend(&mut self, other: Self) {
        for (test, reasons) in other.0 {
            let of_test = self.0.entry(test).or_default();
            for (reason, machines) in reasons {
                of_test.entry(reason).or_default().extend(machines);
            }
        }
    }

    /// A line for each test.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(test, reasons): (&String, &BTreeMap<String, Vec<String>>)| {
            let told: Vec<_> = reasons.iter().map(|(reason, on)| of_reason(reason, on)).collect();
            format!("{test}: {}", told.join("; "))
        };
        self.0.iter().map(line).collect()
    }
}

/// `needs root`, or `no fexit programs (here, 6.12 kprobe)`.
fn of_reason(reason: &str, machines: &[String]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for machine in machines {
        let name = if machine == HERE { "here" } else { machine };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names == ["here"] { reason.to_owned() } else { format!("{reason} ({})", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_told_once_wherever_it_was_skipped() {
        let mut here = Skipped::default();
        here.take(HERE, "b", Some("needs root"));
        here.take(HERE, "a", None);
        here.take(HERE, "a", None);
        let mut machines = Skipped::default();
        machines.take("6.12 kprobe", "a", Some(""));
        machines.take("6.1 auto", "a", Some("no group"));
        machines.take("6.12 kprobe", "c", Some("no group"));
        here.extend(machines);
        assert_eq!(
            here.lines(),
            [
                "a: no group (6.1 auto); no reason given (here, 6.12 kprobe)",
                "b: needs root",
                "c: no group (6.12 kprobe)",
            ]
        );
    }
}
