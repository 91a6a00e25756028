use super::{BUDGET, Needs, sizes};
use crate::plan::{
    bytes::{MapBytes, table, total},
    sizes::Sizes,
};

const MIB: u64 = 1024 * 1024;

const NEEDS: Needs = Needs {
    cpus: 2,
    listeners: 10,
    max_listeners: None,
    pid_filter: false,
    cost: true,
    tells_accepts: false,
    mutes: false,
    least: false,
    budget: BUDGET as u64 * MIB,
};

fn all(sizes: &Sizes) -> [u32; 13] {
    let Sizes { listeners, quiet, workers, tasks, enqueued, waits, tree, in_flight, .. } = *sizes;
    let Sizes { interrupted, errors, clients, unrecognised, woken, .. } = *sizes;
    [
        listeners,
        quiet,
        workers,
        tasks,
        enqueued,
        waits,
        tree,
        in_flight,
        interrupted,
        errors,
        clients,
        unrecognised,
        woken,
    ]
}

/// The numbers of possible CPUs at which something may break: all small ones, and those around powers of two.
fn cpus() -> impl Iterator<Item = usize> {
    (1..=64).chain((7..=12).flat_map(|power| {
        let round = 1_usize << power;
        [round - 1, round, (round + 1).min(4_096), (round * 5 / 4).min(4_096)]
    }))
}

#[test]
fn every_host_stays_within_the_budget_and_every_map_has_its_least() {
    for cpus in cpus() {
        for listeners in [0, 1, 10, 100, 1_000, 10_000, 100_000] {
            for (pid_filter, tells_accepts) in [(false, false), (true, true)] {
                let needs = Needs { cpus, listeners, pid_filter, tells_accepts, ..NEEDS };
                let sizes = sizes(needs).expect("sizes");
                let bytes = total(&sizes, cpus);
                assert!(bytes <= NEEDS.budget, "{cpus} CPUs, {listeners} listeners: {bytes}");
                let least = all(&sizes).into_iter().zip(all(&Sizes::LEAST));
                assert!(least.clone().all(|(size, least)| size >= least), "{cpus}: {sizes:?}");
            }
        }
    }
}

#[test]
fn a_usual_machine_has_room_for_what_comes() {
    for cpus in [1, 2, 4, 8, 16] {
        let sizes = sizes(Needs { cpus, pid_filter: true, ..NEEDS }).expect("sizes");
        assert_eq!(sizes.listeners, 1_044, "{cpus}");
        assert_eq!((sizes.tree, sizes.in_flight), (32_768, 16_384), "{cpus}");
        assert_eq!((sizes.workers, sizes.tasks), (1_044 + 32_768, 32_768), "{cpus}");
        assert_eq!((sizes.clients, sizes.errors, sizes.quiet), (16_384, 4_096, 8_192), "{cpus}");
    }
    let sizes = sizes(Needs { listeners: 10_000, ..NEEDS }).expect("sizes");
    assert_eq!(sizes.listeners, 21_024);
}

#[test]
fn what_exists_has_room_before_what_may_come() {
    // An emulated machine that says that it could have 255 CPUs.
    let of = |listeners| sizes(Needs { cpus: 255, listeners, ..NEEDS }).expect("sizes");
    let (few, many) = (of(10), of(10_000));
    assert!(few.listeners >= 300 && few.tasks >= 8_192 && few.in_flight == 16_384, "{few:?}");
    assert!(many.listeners >= 400 && many.listeners < 10_000, "{many:?}");
    assert!(many.listeners >= few.listeners, "{few:?} {many:?}");
}

#[test]
fn a_budget_is_the_users() {
    let small = Needs { budget: 6 * MIB, pid_filter: true, ..NEEDS };
    let sizes = super::sizes(small).expect("sizes");
    assert!(total(&sizes, 2) <= small.budget, "{sizes:?}");
    let none = Needs { budget: MIB, ..NEEDS };
    assert!(super::sizes(none).expect_err("a refusal").sentence.contains("--map-memory"));
}

#[test]
fn so_many_listeners_as_were_asked_for_or_a_refusal() {
    let of = |max, cpus| sizes(Needs { max_listeners: Some(max), cpus, ..NEEDS });
    for max in [1, 10, 1_000, 20_000] {
        assert_eq!(of(max, 2).expect("sizes").listeners, max);
    }
    let refusal = of(10_000, 256).expect_err("a refusal").sentence;
    assert!(refusal.contains("10000 listeners at 256 possible CPUs"), "{refusal}");
    assert!(refusal.contains("--map-memory"), "{refusal}");
}

#[test]
fn a_map_takes_what_the_kernel_says() {
    // `memlock` of /proc/PID/fdinfo on Linux 6.12 with two possible CPUs, less what an allocation wastes.
    let sizes = Sizes { tasks: 32_768, ..Sizes::LEAST };
    let found = table(&sizes, 2).into_iter().find(|one| one.map == "TASKS");
    let MapBytes { entries, bytes, .. } = found.expect("it is there");
    assert_eq!(entries, 32_768);
    // 48 and 8 and 112 bytes of each, one more for each CPU, and 16 of each bucket.
    let elements = 168 * (32_768 + 2) + 16 * 32_768;
    assert!(bytes >= elements && bytes < elements + 4_096, "{bytes}");
}
