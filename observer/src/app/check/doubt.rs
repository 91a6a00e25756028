//! Whether numbers decide about a limit: those that are estimates do only where that was allowed, and those that nobody
//! counts never do. Pure.

use observer::{
    error::Failure,
    model::{Audit, Providers, Via, Worth},
};

/// What a limit needs of the hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Signals that its number comes from.
    pub signals: &'static [&'static str],
    /// Whether they must be exact.
    pub exact: bool,
}

/// Why a limit cannot be decided, in one sentence; `None` where it can. `audit` is that of the window, where there was
/// one already.
pub fn doubt(
    needs: Needs,
    providers: &Providers,
    audit: Option<&Audit>,
    allow_estimates: bool,
) -> Option<String> {
    let signals = providers.signals();
    let of = |worth: Worth| {
        let needed = |name| needs.signals.contains(&name);
        let signals = signals.iter().filter(|(name, _, one)| needed(name) && *one == worth);
        signals.map(|(name, provider, _)| (*name, *provider)).collect::<Vec<_>>()
    };
    let unseen = of(Worth::Nothing);
    if !unseen.is_empty() {
        let names: Vec<&str> = unseen.iter().map(|(name, _)| *name).collect();
        return Some(format!("nothing observes {} on this kernel", names.join(" and ")));
    }
    if allow_estimates || !needs.exact {
        return None;
    }
    let estimates = of(Worth::Estimate);
    if estimates.is_empty() {
        return None;
    }
    let names: Vec<String> = estimates
        .iter()
        .map(|(name, provider)| match provider.via {
            Via::Fentry => format!("{name} by fentry"),
            Via::Kprobe => format!("{name} by kprobe"),
            Via::Tracepoint => format!("{name} by tracepoint"),
            Via::None => format!("{name} by kernel counters"),
        })
        .collect();
    let names = names.join(" and ");
    let inferred = estimates.iter().filter_map(|(_, one)| one.inferred.max(one.uncounted)).max();
    Some(match (audit, inferred) {
        (Some(audit), _) if audit.missed_runs > 0 => format!(
            "{names} are only estimates in this window, since {} runs of observer's programs were skipped",
            audit.missed_runs
        ),
        (Some(audit), _) if audit.incomplete > 0 => {
            format!(
                "{names} are only estimates in this window, since not all had room in the kernel maps"
            )
        }
        (_, Some(count)) => format!(
            "{names} are only estimates in this window, since it is not known for {count} of them which \
             listener they belong to"
        ),
        _ => format!("{names} are only estimates on this kernel"),
    })
}

/// Whether numbers that must be exact are estimates.
pub fn is_estimate(needs: Needs, providers: &Providers) -> bool {
    let signals = providers.signals().into_iter().filter(|(name, ..)| needs.signals.contains(name));
    needs.exact && signals.into_iter().any(|(.., worth)| worth == Worth::Estimate)
}

/// The failure where limits cannot be decided whatever comes; `None` where all can be. Each limit is given as it is
/// typed.
pub fn refusal(
    limits: impl IntoIterator<Item = (String, Needs)>,
    providers: &Providers,
    allow_estimates: bool,
) -> Option<Failure> {
    let doubts = limits.into_iter().filter_map(|(typed, needs)| {
        let doubt = doubt(needs, providers, None, allow_estimates)?;
        Some(format!("{typed} cannot be decided: {doubt}"))
    });
    refuse(doubts.collect(), allow_estimates)
}

/// The failure that these doubts make.
pub fn refuse(doubts: Vec<String>, allow_estimates: bool) -> Option<Failure> {
    if doubts.is_empty() {
        return None;
    }
    let cure = if allow_estimates {
        "leave it out, or see `observer doctor` for what this kernel lacks"
    } else {
        "add --allow-estimates to take them all the same, or see `observer doctor` for what this kernel lacks"
    };
    Some(Failure::not_possible(format!("{}; {cure}", doubts.join("; "))))
}

#[cfg(test)]
mod tests {
    use observer::model::{Audit, Provider, Providers, Via};

    use super::{Needs, doubt, refusal};

    fn providers(via: Via, exact: bool) -> Providers {
        let one = Provider { via, exact, inferred: None, uncounted: None };
        Providers {
            wakeups: one.clone(),
            accepts: one.clone(),
            handshakes: one.clone(),
            drops: one,
        }
    }

    const HERD: Needs = Needs { signals: &["wakeups", "accepts"], exact: true };
    const QUEUE: Needs = Needs { signals: &["handshakes"], exact: true };
    const DROPS: Needs = Needs { signals: &["drops"], exact: true };
    const ACCEPTED: Needs = Needs { signals: &["accepts"], exact: false };
    const NOTHING: Needs = Needs { signals: &[], exact: true };

    #[test]
    fn exact_numbers_decide() {
        for via in [Via::Fentry, Via::Kprobe] {
            assert_eq!(doubt(HERD, &providers(via, true), Some(&Audit::default()), false), None);
        }
    }

    #[test]
    fn estimates_decide_where_that_is_allowed() {
        let estimates = providers(Via::Tracepoint, false);
        let told = doubt(HERD, &estimates, None, false).expect("doubt");
        assert_eq!(
            told,
            "wakeups by tracepoint and accepts by tracepoint are only estimates on this kernel"
        );
        assert_eq!(doubt(HERD, &estimates, None, true), None);
        // A number that does not come from them is in no doubt.
        let mut one = providers(Via::Fentry, true);
        one.wakeups.exact = false;
        assert_eq!(doubt(QUEUE, &one, None, false), None);
        assert!(doubt(HERD, &one, None, false).is_some());
        assert_eq!(doubt(NOTHING, &one, None, false), None);
    }

    #[test]
    fn what_nobody_counts_never_decides() {
        let blind = providers(Via::None, false);
        for needs in [HERD, ACCEPTED] {
            let told = doubt(needs, &blind, None, true).expect("doubt");
            assert!(told.starts_with("nothing observes"), "{told}");
        }
        // The kernel counts drops by itself.
        assert_eq!(doubt(DROPS, &blind, None, true), None);
        assert!(doubt(DROPS, &blind, None, false).is_some());
    }

    #[test]
    fn the_fewest_accepted_need_not_be_exact() {
        assert_eq!(doubt(ACCEPTED, &providers(Via::Tracepoint, false), None, false), None);
    }

    #[test]
    fn the_reason_within_a_window_is_told() {
        let inexact = providers(Via::Fentry, false);
        let audit = Audit { missed_runs: 3, ..Audit::default() };
        let told = doubt(HERD, &inexact, Some(&audit), false).expect("doubt");
        assert!(told.contains("3 runs of observer's programs were skipped"), "{told}");
        let audit = Audit { incomplete: 1, ..Audit::default() };
        let told = doubt(HERD, &inexact, Some(&audit), false).expect("doubt");
        assert!(told.contains("room in the kernel maps"), "{told}");
        let mut inferred = inexact;
        inferred.wakeups.inferred = Some(12);
        let told = doubt(HERD, &inferred, Some(&Audit::default()), false).expect("doubt");
        assert!(told.contains("for 12 of them"), "{told}");
    }

    #[test]
    fn all_that_cannot_be_decided_is_one_sentence() {
        let limits =
            || [("--max-herd-ratio 2".to_owned(), HERD), ("--min-accepted 1".to_owned(), ACCEPTED)];
        let told = refusal(limits(), &providers(Via::Tracepoint, false), false).expect("a refusal");
        assert!(
            told.sentence.starts_with("--max-herd-ratio 2 cannot be decided: wakeups"),
            "{told}"
        );
        assert!(told.sentence.contains("--allow-estimates"), "{told}");
        assert!(!told.sentence.contains("--min-accepted"), "{told}");
        assert!(refusal(limits(), &providers(Via::Fentry, true), false).is_none());
    }
}
