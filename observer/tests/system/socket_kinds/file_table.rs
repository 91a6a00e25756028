//! Accepts that fail because the whole machine has no room for another open file (ENFILE). Only on a machine
//! that has nobody else: nobody but root could open anything meanwhile.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpStream},
};

use anyhow::ensure;
use nix::unistd::{Gid, Uid, setgid, setuid};

use super::server::{failing_accepts, listen};
use crate::{
    Need, Outcome, Test,
    role::{Actor, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// How many open files there may be (`alloc_empty_file`); root may open more.
const MOST: &str = "/proc/sys/fs/file-max";

/// Failures after which the server gives up.
const FAILURES: u64 = 7;

/// Nobody (Debian's base-passwd, and the kernel's `overflowuid`).
const NOBODY: u32 = 65_534;

pub fn tests() -> Vec<Test> {
    vec![Test::together("socket_kinds::enfile", Need::Also(not_alone), enfile)]
}

fn not_alone() -> Option<String> {
    let alone = env::var_os("OBSERVER_TEST_OWN_MACHINE").is_some();
    (!alone).then(|| "others would open files on this machine meanwhile".to_owned())
}

/// No more open files, until it is dropped.
struct NoMore(String);

impl NoMore {
    fn begin() -> anyhow::Result<Self> {
        let before = fs::read_to_string(MOST)?;
        fs::write(MOST, "0")?;
        Ok(Self(before))
    }
}

impl Drop for NoMore {
    fn drop(&mut self) {
        let _machine_of_the_test = fs::write(MOST, &self.0);
    }
}

fn enfile() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-enfile")?;
    let port = actor.port()?;
    in_the_window(move || {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let no_more = NoMore::begin()?;
        actor.next()?;
        let failures: u64 = actor.line()?.trim().parse()?;
        drop(no_more);
        in_the_report(move |report| {
            drop(client);
            let one = report.only_on_port(port)?;
            ensure!(failures == FAILURES, "the server counted {failures}");
            let errors = &one["accept_errors"];
            ensure!(errors["ENFILE"] == failures, "{errors}");
            ensure!(errors.as_object().is_some_and(|all| all.len() == 1), "{errors}");
            ensure!(one["queued"] == 1 && one["accepted"] == 0, "{one}");
            drop(actor);
            Ok(())
        })
    })
}

/// The role: a server that is not root, and tries to accept until it gives up.
pub fn serve() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    socket.set_nonblocking(true)?;
    setgid(Gid::from_raw(NOBODY))?;
    setuid(Uid::from_raw(NOBODY))?;
    say(address.port())?;
    wait_for_line()?;
    let failures = failing_accepts(&socket, FAILURES, libc::ENFILE)?;
    ensure!(failures == FAILURES, "accept did not fail with ENFILE after {failures}");
    say(failures)?;
    wait_for_line()
}
