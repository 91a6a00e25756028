//! The capabilities that `deploy/` gives: with them observer sees a server of another user in another network
//! namespace, and without any of them it does not.

use std::{
    env,
    ffi::CString,
    fs::File,
    net::{Ipv4Addr, TcpListener},
    os::unix::ffi::OsStrExt as _,
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::{
        prctl::set_dumpable,
        resource::{RLIM_INFINITY, Resource, setrlimit},
    },
    unistd::{Gid, Uid, fexecve, setgid, setgroups, setuid},
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, on_port, program},
    role::{Actor, as_role, own_netns, say, wait_for_line},
};

/// The unit of systemd.
const UNIT: &str = include_str!("../../../deploy/systemd/observer.service");

/// The manifest of Kubernetes.
const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/base/daemonset.yaml");

/// What the role keeps, by the kernel's names.
const KEPT: &str = "OBSERVER_TEST_CAPABILITIES";

/// Whom the role becomes.
const USER: &str = "OBSERVER_TEST_USER";

/// A user that has nothing.
const NOBODY: u32 = 65534;

/// The user of the server.
const OTHER: u32 = 12345;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("capabilities::of_the_unit_suffice", Need::Kernel, unit),
        Test::new("capabilities::of_the_daemon_set_suffice", Need::Kernel, daemon_set),
        Test::new("capabilities::none_can_be_spared", Need::Kernel, none_to_spare),
        Test::new("capabilities::are_the_same_everywhere", Need::Nothing, agree),
    ]
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "capabilities-observe" => observe(),
        "capabilities-serve" => serve(),
        other => bail!("no role {other}"),
    }
}

/// A server of another user, in a network namespace of its own.
fn serve() -> Outcome {
    own_netns()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    setgroups(&[])?;
    setgid(Gid::from_raw(OTHER))?;
    setuid(Uid::from_raw(OTHER))?;
    // As after an exec: others of that user may look.
    set_dumpable(true)?;
    say(listener.local_addr()?.port())?;
    wait_for_line()
}

/// Becomes observer, as a user with some capabilities and no others.
fn observe() -> Outcome {
    let kept = parse(&env::var(KEPT)?)?;
    let user: u32 = env::var(USER)?.parse()?;
    if user == 0 {
        // As a pod that is not in the host's network.
        own_netns()?;
    }
    // As the unit does, for kernels before 5.11. Later ones need none, and root may lack the right to raise it.
    let _unchanged = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    // Before it may not be reached any more.
    let file = File::open(program())?;
    for capability in CapabilitySet::all().difference(kept).iter() {
        // One that this kernel does not know cannot be had either.
        let _unknown = remove_capability_from_bounding_set(capability);
    }
    if user != 0 {
        set_keep_capabilities(true)?;
        setgroups(&[])?;
        setgid(Gid::from_raw(user))?;
        setuid(Uid::from_raw(user))?;
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
    set_capabilities(None, sets)?;
    if user != 0 {
        for capability in kept.iter() {
            configure_capability_in_ambient_set(capability, true)?;
        }
    }
    set_no_new_privs(true)?;
    let arguments = env::args_os().map(|word| CString::new(word.as_bytes()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let environment = [CString::new("RUST_BACKTRACE=0")?];
    match fexecve(&file, &arguments, &environment)? {}
}

fn parse(names: &str) -> anyhow::Result<CapabilitySet> {
    let one = |name: &str| {
        CapabilitySet::from_name(name).with_context(|| format!("no capability {name}"))
    };
    names.split_whitespace().map(one).collect()
}

/// What is seen of the server: its listener, `None` where it is not seen.
fn seen(kept: &str, user: u32) -> anyhow::Result<Option<Value>> {
    let mut server = Actor::start("capabilities-serve")?;
    let port = server.port()?;
    let mut command = as_role("capabilities-observe")?;
    command.env(KEPT, kept).env(USER, user.to_string());
    command.args(["--format", "json", "--duration", "200ms"]);
    let report = Observer::spawn(command)?.wait_total()?;
    let listener = on_port(&report, port).first().map(|listener| (*listener).clone());
    if let Some(holders) = listener.as_ref().and_then(|one| one["holders"].as_array()) {
        ensure!(holders.iter().all(|one| one["pid"] == server.pid()), "{holders:?}");
    }
    Ok(listener)
}

/// Whether a server is seen as a whole: its listener, and who holds it.
fn is_whole(seen: Option<&Value>) -> bool {
    seen.is_some_and(|listener| {
        listener["holders"].as_array().is_some_and(|holders| !holders.is_empty())
    })
}

fn suffice(kept: &str, user: u32) -> Outcome {
    let seen = seen(kept, user)?;
    ensure!(is_whole(seen.as_ref()), "with {kept}: {seen:?}");
    Ok(())
}

fn unit() -> Outcome {
    suffice(&of_unit("AmbientCapabilities=")?, NOBODY)
}

fn daemon_set() -> Outcome {
    suffice(&of_daemon_set()?, 0)
}

/// Each is needed for something. CAP_BPF and CAP_PERFMON are what is left to load programs with where CAP_SYS_ADMIN
/// is taken away.
fn none_to_spare() -> Outcome {
    let all = of_unit("AmbientCapabilities=")?;
    for spared in all.split_whitespace() {
        let loads = ["BPF", "PERFMON"].contains(&spared);
        let left = |name: &&str| *name != spared && !(loads && *name == "SYS_ADMIN");
        let left: Vec<_> = all.split_whitespace().filter(left).collect();
        let seen = seen(&left.join(" "), NOBODY);
        if loads {
            let Err(refused) = &seen else { bail!("it observes without {spared}") };
            ensure!(format!("{refused:#}").contains(&format!("lacks CAP_{spared}")), "{refused:#}");
        } else {
            ensure!(!is_whole(seen?.as_ref()), "the server is seen without {spared}");
        }
    }
    Ok(())
}

fn agree() -> Outcome {
    let ambient = parse(&of_unit("AmbientCapabilities=")?)?;
    let bounding = parse(&of_unit("CapabilityBoundingSet=")?)?;
    let pod = parse(&of_daemon_set()?)?;
    ensure!(ambient == bounding && ambient == pod, "{ambient:?}, {bounding:?}, {pod:?}");
    ensure!(ambient.iter().count() == 5, "{ambient:?}");
    Ok(())
}

/// A list of the unit, without the beginnings of the names.
fn of_unit(key: &str) -> anyhow::Result<String> {
    let list = UNIT.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
    Ok(list.replace("CAP_", ""))
}

/// What the DaemonSet adds.
fn of_daemon_set() -> anyhow::Result<String> {
    let (_, list) = DAEMON_SET.split_once("              add:\n").context("it adds none")?;
    let lines = list.lines().map(str::trim);
    let names = lines.take_while(|line| line.starts_with(['-', '#']));
    let names = names.filter_map(|line| line.strip_prefix("- "));
    Ok(names.collect::<Vec<_>>().join(" "))
}
