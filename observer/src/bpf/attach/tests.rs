use super::{Attached, Link, Trial, Verdict};
use crate::probes::{Provider, Signal};

fn attached(provider: Provider, programs: &[&'static str]) -> Attached {
    let link = |program: &&'static str| (*program, Box::new(()) as Link);
    Attached {
        links: programs.iter().map(link).collect(),
        trials: vec![Trial { signal: Signal::Drops, provider, verdict: Verdict::Attached }],
    }
}

#[test]
fn drops_of_ipv6_are_seen_only_by_its_own_functions() {
    let fentry = attached(Provider::Fentry, &["syn_recv_v4", "syn_recv_v6"]);
    assert!(fentry.sees_drops(true) && fentry.sees_drops(false));
    let kprobe = attached(Provider::Kprobe, &["k_syn_recv_v4", "k_syn_recv_v6"]);
    assert!(kprobe.sees_drops(true) && kprobe.sees_drops(false));
    for (provider, program) in
        [(Provider::Fentry, "syn_recv_v4"), (Provider::Kprobe, "k_syn_recv_v4")]
    {
        let without = attached(provider, &[program]);
        assert!(!without.sees_drops(true), "{}", provider.name());
        assert!(without.sees_drops(false), "{}", provider.name());
    }
    assert!(!attached(Provider::Tracepoint, &[]).sees_drops(false));
}
