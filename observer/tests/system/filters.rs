//! Which listeners are chosen.

use std::fs;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use crate::{
    Need, Outcome, Test, host,
    observer::{Observer, number, on_port},
    role::{Actor, connect},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("filters::pid_takes_descendants_born_later", Need::Kernel, later_child),
        Test::new("filters::several_pids_and_ports_are_alternatives", Need::Kernel, several),
        Test::new("filters::different_flags_must_all_hold", Need::Kernel, all_hold),
        Test::new("filters::comm_chooses_by_name", Need::Kernel, by_comm),
        Test::new("filters::cgroup_chooses_by_group", Need::Cgroup, by_cgroup),
        Test::new("filters::a_shared_listener_is_shown_whole", Need::Kernel, shown_whole),
        Test::new("filters::without_filters_every_namespace_is_shown", Need::Kernel, no_filter),
    ]
}

/// The ports of the listeners in a report, sorted.
fn ports(report: &serde_json::Value) -> anyhow::Result<Vec<u64>> {
    let listeners = report["listeners"].as_array().context("listeners")?;
    let mut ports =
        listeners.iter().map(|one| number(&one["port"])).collect::<Result<Vec<_>, _>>()?;
    ports.sort_unstable();
    Ok(ports)
}

fn sorted(mut ports: Vec<u16>) -> Vec<u64> {
    ports.sort_unstable();
    ports.into_iter().map(u64::from).collect()
}

fn later_child() -> Outcome {
    let mut actor = Actor::start("child-listens")?;
    let mut stranger = Actor::start("listen")?;
    stranger.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.next()?;
    let port = actor.port()?;
    connect(port)?;
    let report = observer.total()?;
    ensure!(ports(&report)? == [u64::from(port)], "{report}");
    ensure!(on_port(&report, port)[0]["accepted"] == 1, "{report}");
    // The child outlives its parent's end: end it by its own pid.
    let child = number(&on_port(&report, port)[0]["holders"][0]["pid"])?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child)?),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    Ok(())
}

fn several() -> Outcome {
    let mut actors = (0..3).map(|_| Actor::start("listen")).collect::<anyhow::Result<Vec<_>>>()?;
    let open = actors.iter_mut().map(Actor::port).collect::<anyhow::Result<Vec<_>>>()?;
    let pids: Vec<_> = actors.iter().map(|actor| actor.pid().to_string()).collect();
    let by_pid = Observer::json(&["--pid", &pids[0], "--pid", &pids[1]])?.total()?;
    ensure!(ports(&by_pid)? == sorted(vec![open[0], open[1]]), "{by_pid}");
    let flags: Vec<_> = open[1..].iter().map(ToString::to_string).collect();
    let by_port = Observer::json(&["--port", &flags[0], "--port", &flags[1]])?.total()?;
    ensure!(ports(&by_port)? == sorted(open[1..].to_vec()), "{by_port}");
    Ok(())
}

fn all_hold() -> Outcome {
    let (mut one, mut other) = (Actor::start("listen")?, Actor::start("listen")?);
    let (port, elsewhere) = (one.port()?, other.port()?);
    let pid = one.pid().to_string();
    let report = Observer::json(&["--pid", &pid, "--port", &elsewhere.to_string()])?.total()?;
    ensure!(ports(&report)?.is_empty(), "{report}");
    let report = Observer::json(&["--pid", &pid, "--port", &port.to_string()])?.total()?;
    ensure!(ports(&report)? == [u64::from(port)], "{report}");
    let report = Observer::json(&["--pid", &pid, "--comm", "nobody-has-it"])?.total()?;
    ensure!(ports(&report)?.is_empty(), "{report}");
    Ok(())
}

fn by_comm() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    let comm = fs::read_to_string(format!("/proc/{}/comm", actor.pid()))?;
    let report = Observer::json(&["--comm", comm.trim_end()])?.total()?;
    ensure!(on_port(&report, port).len() == 1, "{report}");
    let observer = Observer::json(&["--comm", "nobody-has-it"])?;
    observer.signal(Signal::SIGINT)?;
    let ended = observer.wait()?;
    ensure!(
        ended.stderr.contains("no listener matches --comm nobody-has-it yet"),
        "{}",
        ended.stderr
    );
    let report = Observer::json(&["--comm", "nobody-has-it"])?.total()?;
    ensure!(ports(&report)?.is_empty(), "{report}");
    Ok(())
}

fn by_cgroup() -> Outcome {
    let root = host::cgroup_root().context("a cgroup hierarchy")?;
    let observer = Observer::json(&["--cgroup", "no-such-group"])?;
    observer.signal(Signal::SIGINT)?;
    let ended = observer.wait()?;
    ensure!(ended.stderr.contains("there is no cgroup no-such-group now"), "{}", ended.stderr);
    let name = format!("observer-test-{}", std::process::id());
    let group = root.join(&name);
    fs::create_dir(&group)?;
    let result = (|| {
        let (mut inside, mut outside) = (Actor::start("listen")?, Actor::start("listen")?);
        let (port, elsewhere) = (inside.port()?, outside.port()?);
        fs::write(group.join("cgroup.procs"), inside.pid().to_string())?;
        let path = group.to_str().context("a path")?;
        for spelling in [format!("/{name}"), path.to_owned()] {
            let report = Observer::json(&["--cgroup", &spelling])?.total()?;
            ensure!(on_port(&report, port).len() == 1, "{spelling}: {report}");
            ensure!(on_port(&report, elsewhere).is_empty(), "{spelling}: {report}");
        }
        inside.kill()
    })();
    // Fails while a member is left, which the test's own failure explains better.
    let _busy = fs::remove_dir(&group);
    result
}

/// `--pid` of one worker shows the listener with all its workers.
fn shown_whole() -> Outcome {
    let mut workload = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "4"])?;
    let pid = workload.ready.pid;
    let workers = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let first = workers.split_whitespace().next().context("no worker")?;
    let observer = Observer::json(&["--pid", first])?;
    let tally = workload.round()?;
    let report = observer.total()?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let found = on_port(&report, port);
    ensure!(found.len() == 1, "{report}");
    ensure!(number(&found[0]["accepted"])? == tally.connections, "{}", found[0]);
    ensure!(found[0]["workers"].as_array().map(Vec::len) == Some(4), "{}", found[0]);
    workload.quit()
}

fn no_filter() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    let workload = Workload::start(&["--netns", "--strategy", "blocking", "--workers", "1"])?;
    let report = Observer::json(&["--duration", "200ms"])?.wait_total()?;
    ensure!(on_port(&report, port).len() == 1, "{report}");
    let namespaced = report["listeners"]
        .as_array()
        .context("listeners")?
        .iter()
        .filter(|one| one["netns"] == workload.ready.netns);
    ensure!(namespaced.count() == 1, "{report}");
    workload.quit()
}
