use super::*;
use crate::app::{
    check::{
        command::outcome::End,
        verdict::tests::{ended, verdict, with},
    },
    render::{table::fixtures, text as safe},
};

#[test]
fn broken_limits_are_told_with_listener_value_and_fix() {
    let told = text(&verdict(2.0, ended(End::Exited(0), None)), 100, false);
    assert!(told.starts_with("observer: check failed: 1 of 3 limits is broken; 5.0 s,"), "{told}");
    assert!(told.contains("  command  ./server exited with status 0\n"), "{told}");
    let broken = "  broken   --max-herd-ratio 2: 8.00 at 127.0.0.1:8080 (nginx ×8 epoll)\n";
    assert!(told.contains(broken), "{told}");
    assert!(told.contains("  ok       --max-drops 0: 0 at 127.0.0.1:8080"), "{told}");
    assert!(told.contains("  ok       --min-accepted 1: 200\n"), "{told}");
    assert!(told.contains("fix: ") && told.contains("observer explain thundering-herd"), "{told}");
}

#[test]
fn what_holds_is_short() {
    let told = text(&verdict(9.0, None), 100, false);
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(!told.contains("fix:"), "{told}");
}

#[test]
fn many_listeners_are_a_few_lines() {
    let told = text(&with(fixtures::many(600), 0.5, None), 80, false);
    assert!(told.contains("--max-herd-ratio 0.5: 50 more listeners"), "{told}");
    assert!(told.lines().count() < 40, "{told}");
    let told = text(&with(fixtures::many(600), 9.0, None), 80, false);
    assert!(told.contains("on 60 listeners, the worst 1.00 at"), "{told}");
}

#[test]
fn what_could_not_be_started_is_one_sentence() {
    let told = text(&verdict(2.0, ended(End::NotStarted(2), None)), 80, false);
    assert_eq!(
        told,
        "observer: check failed: ./server cannot be started: No such file or directory\n"
    );
}

#[test]
fn it_fits_every_width_and_harms_no_terminal() {
    for report in fixtures::all() {
        let verdict = with(report, 2.0, ended(End::Exited(1), None));
        for width in [40, 60, 80, 132] {
            let told = text(&verdict, width, false);
            let copied = |line: &str| line.starts_with("      ");
            for line in told.lines().filter(|line| !copied(line)) {
                assert!(safe::width(line) <= width, "{width}: {line}");
            }
            assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
        }
    }
}
