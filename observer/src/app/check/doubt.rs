//! Whether numbers decide about a limit: those that are estimates do only where that was allowed, and those that nobody
//! counts never do. Pure.

use observer::{
    error::Failure,
    model::{Audit, NetnsAudit, Providers, Report, Via, Worth},
};

use super::measure::counted;

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

/// Why a limit cannot be decided by the numbers of a window, in one sentence; `None` where it can.
pub fn doubt_of(needs: Needs, report: &Report, allow_estimates: bool) -> Option<String> {
    let Report { providers, audit, .. } = report;
    doubt(needs, providers, Some(audit), allow_estimates)
        .or_else(|| missing(needs, audit))
        .or_else(|| if allow_estimates { None } else { disagreement(needs, audit) })
}

/// Listeners that were not judged, because nothing is known of them. The fewest that must be accepted were all the same
/// where that many are known.
fn missing(needs: Needs, audit: &Audit) -> Option<String> {
    if !needs.exact {
        return None;
    }
    let told = |count: u64, one: &str, several: &str| {
        (count > 0).then(|| format!("{}; see --map-memory", counted(count, one, several)))
    };
    let room = &audit.no_room;
    told(
        room.processes,
        "process that was started had no room in the kernel maps, so that its listeners are missing",
        "processes that were started had no room in the kernel maps, so that their listeners are missing",
    )
    .or_else(|| {
        told(
            room.closed,
            "listener that closed had no room, so that it is missing",
            "listeners that closed had no room, so that they are missing",
        )
    })
    .or_else(|| {
        // Where a shown one is among them, its numbers are no exact ones.
        told(
            if audit.incomplete == 0 { room.listeners } else { 0 },
            "event was of a listener that had no room in the kernel maps",
            "events were of listeners that had no room in the kernel maps",
        )
    })
}

/// Counters of the kernel that tell of drops.
const OF_DROPS: [&str; 3] = ["ListenDrops", "ListenOverflows", "TCPReqQFullDrop"];

/// Where the kernel counted other drops than observer saw, in one sentence.
fn disagreement(needs: Needs, audit: &Audit) -> Option<String> {
    if !needs.signals.contains(&"drops") {
        return None;
    }
    let differs = |one: &NetnsAudit| {
        OF_DROPS.iter().find_map(|name| {
            let (kernel, observed) = one.counters.get(*name).and_then(|it| it.kernel.zip(it.observed))?;
            (kernel != observed).then(|| {
                format!(
                    "the kernel counted {kernel} {name} in network namespace {}, and observer {observed}",
                    one.netns
                )
            })
        })
    };
    audit.netns.iter().find_map(differs)
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
    let doubts: Vec<String> = doubts.collect();
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
    use observer::model::{Audit, AuditCounter, NetnsAudit, Provider, Providers, Via};

    use super::{Needs, disagreement, doubt, doubt_of, missing, refusal};
    use crate::app::render::table::fixtures;

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
    fn what_is_missing_decides_nothing_whatever_is_allowed() {
        let mut audit = Audit::default();
        assert_eq!(missing(HERD, &audit), None);
        audit.no_room.processes = 2;
        let told = missing(HERD, &audit).expect("doubt");
        assert!(told.starts_with("2 processes that were started had no room"), "{told}");
        assert_eq!(missing(ACCEPTED, &audit), None);
        (audit.no_room.processes, audit.no_room.closed) = (0, 1);
        let told = missing(NOTHING, &audit).expect("doubt");
        assert!(told.starts_with("1 listener that closed had no room"), "{told}");
        (audit.no_room.closed, audit.no_room.listeners) = (0, 7);
        assert!(missing(HERD, &audit).is_some());
        // That one is shown, and its numbers say so.
        audit.incomplete = 1;
        assert_eq!(missing(HERD, &audit), None);
        let mut report = fixtures::herd(8);
        report.providers = providers(Via::Fentry, true);
        report.audit.no_room.closed = 3;
        assert!(doubt_of(HERD, &report, true).is_some());
    }

    #[test]
    fn drops_that_the_kernel_counted_and_observer_did_not_are_doubts() {
        let counter = |kernel, observed| AuditCounter { kernel, observed };
        let audit = |name: &str, one| Audit {
            netns: vec![NetnsAudit {
                netns: 7,
                counters: [(name.to_owned(), one)].into(),
                unattributed: None,
            }],
            ..Audit::default()
        };
        let differ = audit("ListenDrops", counter(Some(500), Some(0)));
        assert_eq!(
            disagreement(DROPS, &differ).expect("doubt"),
            "the kernel counted 500 ListenDrops in network namespace 7, and observer 0"
        );
        assert_eq!(disagreement(HERD, &differ), None);
        let agree = [
            audit("ListenDrops", counter(Some(5), Some(5))),
            audit("ListenDrops", counter(Some(5), None)),
            audit("TCPReqQFullDoCookies", counter(Some(5), Some(0))),
        ];
        for one in agree {
            assert_eq!(disagreement(DROPS, &one), None);
        }
        let mut report = fixtures::herd(8);
        (report.providers, report.audit) = (providers(Via::Fentry, true), differ);
        assert!(doubt_of(DROPS, &report, false).is_some());
        assert_eq!(doubt_of(DROPS, &report, true), None);
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
