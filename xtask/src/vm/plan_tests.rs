//! Which machines run, and what each leaves out.

use super::*;

fn names(kernels: &[&str], providers: &[Provider]) -> Vec<String> {
    let kernels: Vec<_> = kernels.iter().map(|name| (*name).to_owned()).collect();
    machines(&kernels, providers)
        .expect("known kernels")
        .iter()
        .map(|machine| format!("{} {}", machine.series.name, machine.provider))
        .collect()
}

#[test]
fn without_names_all_that_must_work_runs() {
    let all = names(&[], &[]);
    let of_x86 = SERIES.iter().filter(|series| series.arch == Arch::X86_64);
    assert_eq!(all.len(), of_x86.map(|series| series.providers.len()).sum::<usize>());
    assert!(all.contains(&"6.1 auto".to_owned()));
    assert!(!all.contains(&"5.10 tracepoint".to_owned()), "it came with 6.3");
}

#[test]
fn every_kernel_runs_what_depends_on_it() {
    let of = |kernels: &[&str], scope: Scope| -> Vec<_> {
        let kernels: Vec<_> = kernels.iter().map(|name| (*name).to_owned()).collect();
        let machines = machines(&kernels, &[]).expect("known kernels");
        let machines = machines.iter().filter(|one| one.scope == scope);
        machines.map(|one| format!("{} {}", one.series.name, one.provider)).collect()
    };
    assert_eq!(of(&[], Scope::Whole), ["5.10 fentry"]);
    assert_eq!(of(&[], Scope::Kernel), ["6.1 auto", "6.12 fentry", "6.18 fentry", "7.2 fentry"]);
    assert_eq!(of(&[], Scope::Provider), ["5.10 kprobe", "7.2 kprobe"]);
    assert_eq!(of(&["6.12"], Scope::Whole), ["6.12 fentry"]);
}

#[test]
fn every_machine_counts() {
    for scope in [Scope::Whole, Scope::Kernel, Scope::Provider, Scope::Counts, Scope::Variant] {
        let left_out = scope.leaves_out();
        let only = scope.only();
        for name in
            ["truth::spaced::epoll::ipv4", "overflow::ack::ipv4", "waits::a", "trace::equals_the"]
        {
            let runs = only.is_empty() || only.iter().any(|part| name.starts_with(part));
            let of_all = name.starts_with("truth::") || name.starts_with("overflow::");
            assert_eq!(runs, scope != Scope::Variant || of_all, "{scope:?} {name}");
            // Of drops, `trace` tells where there are counts only.
            let is_left_out = left_out.iter().any(|part| name.contains(part));
            let may_be = scope == Scope::Counts && name.starts_with("overflow::");
            assert_eq!(is_left_out, may_be, "{scope:?} {name}");
        }
    }
}

#[test]
fn what_is_bounded_runs_where_there_could_be_many_cpus() {
    for scope in [Scope::Whole, Scope::Possible] {
        assert!(!scope.leaves_out().iter().any(|part| "bounds::maps_keep".starts_with(part)));
    }
    assert!(Scope::Possible.only().contains(&"bounds::"));
}

#[test]
fn servers_that_spin_are_where_cpus_disturb_each_other() {
    for scope in [Scope::Whole, Scope::Kernel, Scope::Provider, Scope::Counts, Scope::Variant] {
        let runs = |name: &str| {
            let begins = |part: &&str| name.starts_with(*part);
            let only = scope.only();
            !scope.leaves_out().iter().any(begins) && (only.is_empty() || only.iter().any(begins))
        };
        assert_eq!(runs("harmless::servers_that_spin"), scope == Scope::Variant, "{scope:?}");
        assert!(!runs("harmless::holders_of_short_life"), "{scope:?}");
    }
}

#[test]
fn a_kernel_is_chosen_by_its_series_and_not_by_a_beginning() {
    assert_eq!(names(&["6.1"], &[]), ["6.1 auto", "6.1 kprobe"]);
}

#[test]
fn what_fails_everywhere_is_not_run_again() {
    let failed: Vec<_> = (0..=AGAIN).map(|number| number.to_string()).collect();
    assert!(to_run_again(&failed).is_empty());
    assert_eq!(to_run_again(&failed[1..]), &failed[1..]);
    assert!(to_run_again(&[]).is_empty());
}

#[test]
fn variants_run_what_they_are_for() {
    let scope = |name: &str| machines(&[name.to_owned()], &[]).expect("known")[0].scope;
    assert_eq!(scope("6.12-rt"), Scope::Variant);
    assert_eq!(scope("6.12-smp"), Scope::Variant);
    assert_eq!(scope("6.1-255"), Scope::Possible);
    assert_eq!(scope("6.12-arm64"), Scope::Variant);
    assert_eq!(scope("6.12"), Scope::Whole);
    let with = ["6.1", "6.12", "6.12-rt", "6.12-smp"].map(str::to_owned);
    let machines = machines(&with, &[]).expect("known");
    let of = |name: &str, provider: Provider| {
        machines.iter().find(|one| one.series.name == name && one.provider == provider)
    };
    let newest = of("6.12", Provider::Kprobe).expect("it runs");
    assert_eq!(newest.scope, Scope::Provider, "a variant is not the newest kernel");
}

#[test]
fn a_named_provider_runs_wherever_it_is_asked_for() {
    assert_eq!(names(&["5.10"], &[Provider::Tracepoint]), ["5.10 tracepoint"]);
}

#[test]
fn an_unknown_kernel_is_an_error_that_names_the_known() {
    let error = machines(&["4.19".to_owned()], &[]).expect_err("unknown");
    assert!(
        error.contains("4.19")
            && error.contains(
                "5.10, 6.1, 6.1-255, 6.12, 6.12-rt, 6.12-smp, 6.1-arm64, 6.12-arm64, 6.18, 7.2"
            ),
        "{error}"
    );
}
