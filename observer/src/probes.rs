//! The probes, as data: one row per kernel program.

mod accepts;
mod drops;
mod handshakes;
mod life;
mod probe;
mod wakeups;

pub use self::probe::{Kind, Probe, Provider, Signal, When};

/// Every probe, in the order of attaching within a signal.
pub fn probes() -> impl Iterator<Item = &'static Probe> {
    [life::PROBES, handshakes::PROBES, accepts::PROBES, wakeups::PROBES, drops::PROBES]
        .into_iter()
        .flatten()
}

/// The tracepoints that the table names.
#[must_use]
pub fn tracepoints() -> Vec<&'static str> {
    hooks(|kind| kind == Kind::BtfTracepoint)
}

/// The functions that the table names.
#[must_use]
pub fn functions() -> Vec<&'static str> {
    hooks(|kind| kind != Kind::BtfTracepoint)
}

fn hooks(wanted: impl Fn(Kind) -> bool) -> Vec<&'static str> {
    let probes = probes().filter(|probe| wanted(probe.kind));
    probes.flat_map(|probe| probe.hooks).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Provider, Signal, probes};

    #[test]
    fn every_provider_of_every_signal_has_a_probe() {
        for signal in Signal::ALL {
            for provider in Provider::ALL {
                let any = probes().any(|probe| probe.is_for(signal, provider));
                assert!(any, "{} by {}", signal.name(), provider.name());
            }
        }
    }

    #[test]
    fn programs_are_named_once_and_have_a_hook() {
        let names: BTreeSet<_> = probes().map(|probe| probe.program).collect();
        assert_eq!(names.len(), probes().count());
        assert!(probes().all(|probe| !probe.hooks.is_empty() && !probe.serves.is_empty()));
    }
}
