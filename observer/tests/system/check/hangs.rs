//! What must not pass because there is nothing to be seen of it: servers that hang, wakeups for nothing, and listeners
//! that had no room.

use anyhow::Context;

use super::{Check, well};
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("check_limits::connections_that_wait_count", Need::Kernel, waits),
        Test::new("check_limits::a_server_that_hangs_breaks_a_baseline", Need::Kernel, baseline),
        Test::new("check_limits::wakeups_for_nothing_are_no_good_ratio", Need::Kernel, wakeups),
        Test::new("check_limits::what_had_no_room_does_not_pass", Need::Kernel, no_room),
    ]
}

fn waits() -> Outcome {
    let limit = ["--max-accept-wait-p99", "200ms"];
    let run =
        |role: &str, more: &[&str]| Check::new(&[&limit[..], more].concat())?.of_role(role)?.run();
    run("check-connects-60", &[])?.is(0, &["ok --max-accept-wait-p99 200ms: "])?;
    // Its listener closed with them.
    run("check-hangs", &[])?.is(
        3,
        &[
            "broken --max-accept-wait-p99 200ms: ",
            "3 connections were never accepted",
            "ok --min-accepted 1: 60",
        ],
    )?;
    run("check-hangs-on", &["--duration", "1500ms"])?
        .is(
            3,
            &[
                "broken --max-accept-wait-p99 200ms: ",
                "(3 connections still wait)",
                "ok --min-accepted 1: 60",
            ],
        )
        .map(well)?
}

fn baseline() -> Outcome {
    let before = Check::new(&["--min-accepted", "60"])?.of_role("check-connects-60")?.run()?;
    let before = before.is(0, &[])?;
    let file = before.directory.path().join("report.json");
    let file = file.to_str().context("a path")?;
    let against = ["--baseline", file];
    let stays = ["--duration", "1500ms"];
    Check::new(&against)?
        .of_role("check-connects-60")?
        .run()?
        .is(0, &["ok --baseline: herd ratio"])?;
    let told = [
        "broken --baseline: accepted connections -50%: nothing was accepted, though 3 connections came, was 60",
    ];
    Check::new(&[against, stays].concat())?.of_role("check-hangs-at-once")?.run()?.is(3, &told)?;
    // Whatever is enough: this is no server that had less to do.
    Check::new(&[against, stays, ["--min-accepted", "0"]].concat())?
        .of_role("check-hangs-at-once")?
        .run()?
        .is(3, &told)
        .map(well)?
}

fn wakeups() -> Outcome {
    let limit = ["--max-herd-ratio", "100", "--min-accepted", "0"];
    Check::new(&limit)?
        .of_role("check-wakes")?
        .run()?
        .is(3, &["broken --max-herd-ratio 100: ", "4 wakeups, and nothing was accepted"])
        .map(well)?
}

fn no_room() -> Outcome {
    let limit = ["--max-accept-errors", "1000", "--min-accepted", "0"];
    Check::new(&limit)?.of_role("check-many")?.run()?.is(0, &["check passed"])?;
    let little = ["--max-listeners", "1"];
    let done = Check::new(&[&limit[..], &little].concat())?.of_role("check-many")?.run()?;
    done.is(3, &["not known: the listener's counts had no room", "note", "found no room"])
        .map(well)?
}
