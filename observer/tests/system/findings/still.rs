//! What a picture of one moment tells without any kernel program: `observer listeners`.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{ids, summary};
use crate::{
    Need, Outcome, Test, host,
    observer::{on_port, run},
    role::Actor,
    schema::parse_listeners,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("findings::a_still_picture_tells_a_full_queue", Need::Root, full),
        Test::new("findings::a_still_picture_tells_who_is_stopped", Need::Root, stopped),
        Test::new("findings::a_still_picture_tells_who_is_frozen", Need::Cgroup, frozen),
        Test::new("findings::a_still_picture_tells_descriptors", Need::Root, descriptors),
    ]
}

/// The only listener of a process, as JSON.
fn picture(actor: &Actor, port: u16) -> anyhow::Result<Value> {
    let pid = actor.pid().to_string();
    let said = run(&["listeners", "--pid", &pid, "--format", "json"])?;
    let list = parse_listeners(str::from_utf8(&said.stdout)?)?;
    let one = on_port(&list, port).first().copied().cloned();
    one.with_context(|| format!("no {port}: {list}"))
}

fn table(actor: &Actor) -> anyhow::Result<String> {
    let said = run(&["listeners", "--pid", &actor.pid().to_string()])?;
    Ok(String::from_utf8(said.stdout)?)
}

fn full() -> Outcome {
    let mut actor = Actor::start("found-full")?;
    let port = actor.port()?;
    ensure!(ids(&picture(&actor, port)?)?.is_empty(), "nothing is wrong yet");
    actor.next()?;
    actor.line()?;
    let one = picture(&actor, port)?;
    let told = summary(&one, "accept-queue-near-limit")?;
    ensure!(told == "accept queue full: 5 waited, limit 4", "{told}");
    let table = table(&actor)?;
    ensure!(table.contains("\n  warning: accept queue full: 5 waited, limit 4\n"), "{table}");
    actor.kill()
}

fn stopped() -> Outcome {
    let mut actor = Actor::start("found-full")?;
    let port = actor.port()?;
    let pid = actor.pid();
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGSTOP)?;
    let one = picture(&actor, port)?;
    let told = summary(&one, "slow-accept")?;
    ensure!(told.ends_with(&format!(" {pid} is stopped (state T)")), "{told}");
    ensure!(one["holder_states"][0]["state"] == "T", "{one}");
    actor.kill()
}

fn frozen() -> Outcome {
    let root = host::cgroup_root().context("a cgroup hierarchy")?;
    let group = root.join(format!("observer-test-frozen-{}", std::process::id()));
    fs::create_dir(&group)?;
    let result = (|| {
        let mut actor = Actor::start("found-full")?;
        let port = actor.port()?;
        fs::write(group.join("cgroup.procs"), actor.pid().to_string())?;
        ensure!(picture(&actor, port)?["holder_states"][0]["frozen"] == false, "it is not yet");
        fs::write(group.join("cgroup.freeze"), "1")?;
        let one = frozen_picture(&actor, port);
        fs::write(group.join("cgroup.freeze"), "0")?;
        let one = one?;
        let told = summary(&one, "slow-accept")?;
        let expected = format!(" {} is frozen (its control group is)", actor.pid());
        ensure!(told.ends_with(&expected), "{told}");
        actor.kill()
    })();
    // Fails while a member is left, which the test's own failure explains better.
    let _busy = fs::remove_dir(&group);
    result
}

/// The picture once the kernel has frozen the group, which takes it a moment.
fn frozen_picture(actor: &Actor, port: u16) -> anyhow::Result<Value> {
    for _ in 0..200 {
        let one = picture(actor, port)?;
        if one["holder_states"][0]["frozen"] == true {
            return Ok(one);
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("it is never frozen")
}

fn descriptors() -> Outcome {
    let mut actor = Actor::start("found-emfile")?;
    let port = actor.port()?;
    let one = picture(&actor, port)?;
    let state = &one["holder_states"][0];
    let (open, limit) = (&state["descriptors"], &state["descriptor_limit"]);
    ensure!(open.is_u64() && limit.is_u64(), "{one}");
    // Descriptors that it inherited may leave holes below the last one.
    if open == limit {
        let told = summary(&one, "fd-exhausted")?;
        ensure!(told.ends_with(&format!(": {open} of {limit} descriptors used")), "{told}");
    }
    actor.kill()
}
