//! Listeners that change hands: over exec, and over a Unix socket.

use std::{
    env,
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
    },
};

use anyhow::{Context, ensure};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use socket2::Socket;

use super::server::{Tally, check, connect, held_by, inode, listen, serve};
use crate::{
    Need, Outcome, Test,
    role::{Actor, as_role, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// Names what a role is given: a descriptor, or a path.
const GIVEN: &str = "OBSERVER_TEST_GIVEN";

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("socket_kinds::inherited_over_exec", Need::Kernel, exec),
        Test::together("socket_kinds::passed_over_a_unix_socket", Need::Kernel, passed),
    ]
}

fn exec() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-exec")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, actor.port()?));
    in_the_window(move || {
        for _ in 0..3 {
            connect(address)?;
        }
        let before: Tally = serde_json::from_str(&actor.line()?)?;
        actor.next()?;
        ensure!(actor.port()? == address.port(), "another port after exec");
        for _ in 0..5 {
            connect(address)?;
        }
        let after: Tally = serde_json::from_str(&actor.line()?)?;
        in_the_report(move |report| {
            ensure!((before.accepted, after.accepted) == (3, 5), "{before:?} {after:?}");
            ensure!(before.inode == after.inode && before.tid == after.tid, "{before:?} {after:?}");
            let sum = Tally {
                accepted: before.accepted + after.accepted,
                eagain: before.eagain + after.eagain,
                wakeups: before.wakeups + after.wakeups,
                ..after
            };
            drop(actor);
            check(report, &sum)
        })
    })
}

/// The role before exec.
pub fn before_exec() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    socket.set_cloexec(false)?;
    say(address.port())?;
    serve_and_say(&socket, 3)?;
    wait_for_line()?;
    let descriptor = socket.into_raw_fd().to_string();
    Err(as_role("kinds-inherited")?.env(GIVEN, descriptor).exec().into())
}

/// The role after it.
pub fn inherited() -> Outcome {
    let descriptor = env::var(GIVEN)?.parse()?;
    // SAFETY: whoever started this role has left the descriptor to it.
    let socket = unsafe { Socket::from_raw_fd(descriptor) };
    say(socket.local_addr()?.as_socket().context("no address")?.port())?;
    serve_and_say(&socket, 5)?;
    wait_for_line()
}

fn serve_and_say(socket: &Socket, connections: u64) -> Outcome {
    let tallies = serve(std::slice::from_ref(socket), connections)?;
    say(serde_json::to_string(&tallies[0])?)
}

/// The server is given the listener within the window, and who gave it keeps it too.
fn passed() -> anyhow::Result<Play> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("socket");
    let meeting = UnixListener::bind(&path)?;
    let mut command = as_role("kinds-receive")?;
    command.env(GIVEN, &path);
    let mut actor = Actor::spawn(command)?;
    let (stream, _) = meeting.accept()?;
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    in_the_window(move || {
        let descriptors = [socket.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let data = [IoSlice::new(b"x")];
        sendmsg::<()>(stream.as_raw_fd(), &data, &rights, MsgFlags::empty(), None)?;
        ensure!(actor.port()? == address.port(), "another listener came");
        for _ in 0..6 {
            connect(address)?;
        }
        let tally: Tally = serde_json::from_str(&actor.line()?)?;
        in_the_report(move |report| {
            ensure!(tally.pid == actor.pid() && tally.inode == inode(&socket)?, "{tally:?}");
            let one = report.only_on_port(address.port())?;
            ensure!(one["inode"] == tally.inode, "{one}");
            held_by(one, &[std::process::id(), tally.pid])?;
            // Without its other holder, it is what its server counted.
            let alone = report.with(tally.inode, |one| {
                let holders = one["holders"].as_array_mut().context("holders")?;
                holders.retain(|one| one["pid"] == tally.pid);
                Ok(())
            });
            check(&alone?, &tally)
        })
    })
}

/// The role that is given a listener.
pub fn receive() -> Outcome {
    let stream = UnixStream::connect(env::var(GIVEN)?)?;
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut data, Some(&mut space), MsgFlags::empty())?;
    let given = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for this process.
    let given = unsafe { OwnedFd::from_raw_fd(given.context("no descriptor came")?) };
    let socket = Socket::from(given);
    say(socket.local_addr()?.as_socket().context("no address")?.port())?;
    serve_and_say(&socket, 6)?;
    wait_for_line()
}
