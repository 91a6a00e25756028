//! What the figures are held against: other listeners of this machine, which spoil them; a loop that is always the same; ss.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use crate::{bench::userspace::existing, process};

/// Listeners of other programs that change no figure.
const FEW: u64 = 8;

/// Steps of the loop: some tenths of a second.
const STEPS: u64 = 100_000_000;

/// Refuses where others listen too: they would be among the listeners that are measured.
pub(super) fn refuse_others(observer: &Path) -> Result<()> {
    let others = existing(observer.to_str().context("the program's path is no text")?)?;
    if others > FEW {
        bail!(
            "{others} sockets listen on this machine already and would be counted among those that are measured: end the \
             programs that have them (`observer listeners` names them), or measure on another machine"
        );
    }
    Ok(())
}

/// CPU time of a loop that is always the same.
pub(super) fn reference() -> Result<Duration> {
    let now =
        || Ok::<_, anyhow::Error>(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?));
    let before = now()?;
    let mut state = 1_u64;
    for _ in 0..STEPS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
    Ok(now()?.saturating_sub(before))
}

/// CPU time that a process has used, in ticks: by itself, and in the kernel.
pub(super) fn ticks(pid: Pid) -> Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before may have anything in it.
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let of = |at: usize| -> Result<f64> { Ok(fields.get(at).context("no time in stat")?.parse()?) };
    Ok((of(11)?, of(12)?))
}

/// CPU time of `ss -ltn` in the network namespaces of a process's children, one after the other.
pub(super) fn ss(holder: Pid) -> Result<Duration> {
    let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children"))?;
    let before = of_children()?;
    for child in children.split_whitespace() {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{child}/ns/net")).args(["ss", "-Hltn"]);
        process::quietly(command)?;
    }
    Ok(of_children()?.saturating_sub(before))
}

/// CPU time of processes that this one started and that have ended.
fn of_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: TimeVal| {
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
