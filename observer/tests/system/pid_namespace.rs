//! PID namespaces: observer in one of its own, as in a container without the host's processes, and servers
//! in theirs.

use std::{
    collections::HashMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl::set_pdeathsig,
        signal::{SigSet, Signal, kill},
    },
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    compare::{compare, compare_spaced},
    observer::{Observer, number, only_on_port, program},
    role::{Actor, ROLE, as_role, connect},
    schema::parse_listeners,
    workload::{Tally, Workload},
};

pub fn tests() -> Vec<Test> {
    let test = |name: &str, run: fn() -> Outcome| {
        Test::new(format!("pid_namespace::{name}"), Need::Kernel, run)
    };
    vec![
        test("a_server_beside_observer_is_whole::epoll", || beside("epoll")),
        test("a_server_beside_observer_is_whole::blocking", || beside("blocking")),
        test("a_server_outside_is_counted_without_names", outside),
        test("pid_takes_descendants_born_later", later_child),
        test("pid_chooses_a_server_further_within", further_within),
        test("holders_outside_are_not_known", pictured),
    ]
}

/// The process whose namespaces are entered, where they are not new.
const BESIDE: &str = "OBSERVER_TEST_BESIDE";
/// The role that the process within plays, where it is this program.
const INNER_ROLE: &str = "OBSERVER_TEST_INNER_ROLE";

/// A command that runs in a PID namespace of its own, or in that of a process; its first argument is the
/// program.
fn within(beside: Option<u32>, program: impl AsRef<OsStr>) -> anyhow::Result<Command> {
    let mut command = as_role("pid-namespace")?;
    if let Some(pid) = beside {
        command.env(BESIDE, pid.to_string());
    }
    command.arg(program);
    Ok(command)
}

/// Runs a program in a PID namespace, with a /proc of that; it ends with this process, and gets its
/// signals.
pub fn play() -> Outcome {
    let beside = env::var(BESIDE).ok();
    if let Some(pid) = &beside {
        let open = |kind| File::open(format!("/proc/{pid}/ns/{kind}"));
        let (pids, mounts) = (open("pid")?, open("mnt")?);
        setns(pids, CloneFlags::CLONE_NEWPID)?;
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
    } else {
        unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)?;
        // Nothing that is mounted here may show outside.
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    }
    let mut arguments = env::args_os().skip(1);
    let mut command = Command::new(arguments.next().context("no program")?);
    command.args(arguments).env_remove(ROLE);
    if let Ok(role) = env::var(INNER_ROLE) {
        command.env(ROLE, role);
    }
    let is_new = beside.is_none();
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
    let begin = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        signals.thread_unblock()?;
        if is_new {
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)?;
        }
        Ok(())
    };
    // SAFETY: system calls alone, which a forked child may make.
    unsafe { command.pre_exec(begin) };
    signals.thread_block()?;
    let mut child = command.spawn()?;
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(status) = child.try_wait()? {
                    std::process::exit(status.code().unwrap_or(1));
                }
            }
            signal => kill(Pid::from_raw(i32::try_from(child.id())?), signal)?,
        }
    }
}

/// The process that such a command runs, by the number that this process knows it by.
fn inner(wrapper: u32) -> anyhow::Result<u32> {
    let children = fs::read_to_string(format!("/proc/{wrapper}/task/{wrapper}/children"))?;
    Ok(children.trim().parse()?)
}

/// A workload in a PID namespace of its own, and its first process's number outside.
fn workload(arguments: &[&str]) -> anyhow::Result<(Workload, u32)> {
    let mut command = within(None, program())?;
    command.arg("workload").args(arguments);
    let workload = Workload::spawn(command)?;
    let pid = inner(workload.id())?;
    Ok((workload, pid))
}

/// Observer in the PID namespace of a process, or in one of its own.
fn observer(beside: Option<u32>, arguments: &[&str]) -> anyhow::Result<Observer> {
    let mut command = within(beside, program())?;
    command.args(["--format", "json"]).args(arguments);
    Observer::spawn(command)
}

/// The total of an observer that has ended: it does not outlive the first process of its namespace.
fn total(observer: Observer) -> anyhow::Result<Value> {
    observer.signal(Signal::SIGINT)?;
    observer.wait()?.total()
}

/// Whether a report says that it is of a PID namespace of its own.
fn is_marked(report: &Value) -> Outcome {
    let providers = &report["providers"];
    ensure!(providers["wakeups"]["exact"] == false, "wakeups are called exact: {providers}");
    ensure!(providers["accepts"]["exact"] == false, "accepts are called exact: {providers}");
    Ok(())
}

/// Jain's index.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn fairness(taken: &[u64]) -> f64 {
    let sum: u64 = taken.iter().sum();
    let squares: u64 = taken.iter().map(|one| one * one).sum();
    (sum * sum) as f64 / (taken.len() as f64 * squares as f64)
}

fn workers(listener: &Value) -> anyhow::Result<&[Value]> {
    Ok(listener["workers"].as_array().context("workers")?.as_slice())
}

/// Takes the rows of other programs out of a report by tracepoints. An interrupt within a notification may wake
/// their tasks out of a poll, and observer cannot tell in a PID namespace of its own that they hold nothing.
fn without_strangers(mut report: Value) -> anyhow::Result<Value> {
    if report["providers"]["wakeups"]["via"] != "tracepoint" {
        return Ok(report);
    }
    for listener in report["listeners"].as_array_mut().context("listeners")? {
        let rows = listener["workers"].as_array_mut().context("workers")?;
        // All of a server's own have one name.
        let first = rows.iter().find(|row| row["accepted"] != 0).context("nobody accepts")?;
        let own = first["comm"].clone();
        let strange = |row: &Value| row["pid"].is_null() && row["comm"] != own;
        let strangers: Vec<_> = rows.extract_if(.., |row| strange(row)).collect();
        for (name, count) in strangers.iter().flat_map(|row| row["wakeups"].as_object()).flatten() {
            let all = number(&listener["wakeups"][name])?;
            listener["wakeups"][name] = (all - number(count)?).into();
        }
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let ratio =
            number(&listener["wakeups"]["total"])? as f64 / number(&listener["accepted"])? as f64;
        listener["herd_ratio"] = ratio.into();
        // How much a stranger is a worker that accepts nothing is not known.
        ensure!(strangers.is_empty() || listener["fairness"].is_null(), "{listener}");
        listener["strangers"] = strangers.len().into();
    }
    Ok(report)
}

/// Every worker once, by its own number, with all that it did; and its process as a holder.
fn beside(strategy: &str) -> Outcome {
    let (mut workload, pid) = workload(&["--netns", "--strategy", strategy, "--workers", "8"])?;
    let first = workload.ready.pid;
    ensure!(first == 1, "the workload is process {first} of its namespace");
    let observer = observer(Some(pid), &["--pid", "1"])?;
    let tally = workload.round()?;
    let report = without_strangers(total(observer)?)?;
    workload.ready.pid = pid;
    compare(&report, &workload, &tally)?;
    compare_spaced(&report, &workload, &tally)?;
    is_marked(&report)?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let listener = only_on_port(&report, port)?;
    let rows = workers(listener)?;
    ensure!(rows.len() == tally.workers.len(), "{} workers: {listener}", rows.len());
    let taken: Vec<_> = tally.workers.iter().map(|one| one.accepted).collect();
    let (seen, expected) = (listener["fairness"].as_f64(), fairness(&taken));
    ensure!(
        seen.map_or(listener["strangers"].as_u64() > Some(0), |seen| (seen - expected).abs()
            < 1e-9),
        "fairness is {seen:?} and not {expected}"
    );
    let holders = listener["holders"].as_array().context("holders")?;
    for row in rows {
        let holds = holders.iter().any(|holder| holder["pid"] == row["pid"]);
        ensure!(holds, "{row} is no holder: {holders:?}");
    }
    workload.quit()
}

/// Every wakeup and every accept counts, of tasks that cannot be named; who holds the listener is not
/// known, and that is said.
fn outside() -> Outcome {
    let mut workload = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "8"])?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let observer = observer(None, &["--port", &port.to_string()])?;
    let tally = workload.round()?;
    observer.signal(Signal::SIGINT)?;
    let ended = observer.wait()?;
    for words in ["PID namespace", "--pid=host", "hostPID"] {
        ensure!(ended.stderr.contains(words), "nothing of {words}: {}", ended.stderr);
    }
    let report = without_strangers(ended.total()?.clone())?;
    let listener = only_on_port(&report, port)?;
    is_marked(&report)?;
    ensure!(listener["holders"].is_null(), "holders are known: {}", listener["holders"]);
    ensure!(listener["fairness"].is_null(), "fairness is known: {}", listener["fairness"]);
    let mut seen = Vec::new();
    for row in workers(listener)? {
        ensure!(row["pid"].is_null() && row["tid"].is_null(), "a number of its own: {row}");
        ensure!(row["comm"].as_str().is_some_and(|comm| !comm.is_empty()), "no name: {row}");
        seen.push((number(&row["accepted"])?, number(&row["wakeups"]["total"])?));
    }
    let mut expected: Vec<_> =
        tally.workers.iter().map(|one| (one.accepted, one.wakeups())).collect();
    seen.sort_unstable();
    expected.sort_unstable();
    ensure!(seen == expected, "saw {seen:?} accepted and woken, not {expected:?}");
    workload.quit()
}

fn later_child() -> Outcome {
    let mut command = within(None, env::current_exe()?)?;
    command.env(INNER_ROLE, "child-listens");
    let mut actor = Actor::spawn(command)?;
    // Its /proc is mounted once it has come to its program.
    let pid = loop {
        match inner(actor.pid()) {
            Ok(pid) if has_begun(pid, "child-listens") => break pid,
            _ => thread::sleep(Duration::from_millis(1)),
        }
    };
    let observer = observer(Some(pid), &["--pid", "1"])?;
    actor.next()?;
    let port = actor.port()?;
    connect(port)?;
    let report = total(observer)?;
    let listener = only_on_port(&report, port)?;
    ensure!(listener["accepted"] == 1, "{listener}");
    ensure!(report["listeners"].as_array().map(Vec::len) == Some(1), "others too: {report}");
    Ok(())
}

/// Whether a process plays a role by now.
fn has_begun(pid: u32, role: &str) -> bool {
    let role = format!("{ROLE}={role}");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == role.as_bytes())
}

/// Observer names a server in a PID namespace below its own by the numbers of its own.
fn further_within() -> Outcome {
    let (mut workload, pid) = workload(&["--netns", "--strategy", "epoll", "--workers", "4"])?;
    let observer = Observer::json(&["--pid", &pid.to_string()])?;
    let Tally { connections, workers: counted } = workload.round()?;
    let outer = numbers_below(pid)?;
    let rename = |mut one: crate::workload::WorkerTally| -> anyhow::Result<_> {
        one.tid = *outer.get(&one.tid).context("a worker is gone")?;
        Ok(one)
    };
    let counted = counted.into_iter().map(rename).collect::<anyhow::Result<_>>()?;
    let tally = Tally { connections, workers: counted };
    let report = observer.total()?;
    workload.ready.pid = pid;
    compare(&report, &workload, &tally)?;
    compare_spaced(&report, &workload, &tally)?;
    workload.quit()
}

/// The processes below one in a PID namespace: the outer number by the innermost.
fn numbers_below(pid: u32) -> anyhow::Result<HashMap<u32, u32>> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let mut numbers = HashMap::new();
    for child in children.split_whitespace() {
        let status = fs::read_to_string(format!("/proc/{child}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).context("NSpid")?;
        let innermost = line.split_whitespace().last().context("a number")?;
        numbers.insert(innermost.parse()?, child.parse()?);
    }
    Ok(numbers)
}

/// `observer listeners` does not say that nobody holds what somebody outside holds.
fn pictured() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?.to_string();
    let mut command = within(None, program())?;
    let output = command.args(["listeners", "--format", "json", "--port", &port]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = parse_listeners(str::from_utf8(&output.stdout)?)?;
    let listener = only_on_port(&picture, port.parse()?)?;
    ensure!(listener["holders"].is_null(), "holders are known: {listener}");
    ensure!(picture["left_out"]["hidden_processes"] == true, "{}", picture["left_out"]);
    Ok(())
}
