//! The program on a host that has a kernel and nothing else, the oldest that it promises to work on among them.

use anyhow::{Context as _, Result, ensure};

use super::{
    demo::{self, Wakeups},
    given::Given,
};
use crate::{
    arch::Arch,
    dist::program,
    vm::alone::{self, Said},
};

/// A machine: its kernel, the hooks that must work there, and what they must see of wakeups.
pub(super) type Machine = (&'static str, &'static str, Wakeups);

/// The machines.
pub(super) fn machines(arch: Arch) -> &'static [Machine] {
    match arch {
        // There fentry does not see one waiter of a shared epoll instance wake the next, so that nothing is called exact.
        Arch::X86_64 => &[("5.10", "fentry", Wakeups::Agree), ("6.12", "fentry", Wakeups::Exact)],
        Arch::Aarch64 => &[("6.12-arm64", "fentry", Wakeups::Exact)],
    }
}

/// How often the demo runs: in an emulated machine the kernel may skip runs of programs, which makes an estimate.
const TRIES: usize = 3;

/// Runs the program that was packed, in a machine of its own.
pub(super) fn alone(
    given: &Given<'_>,
    arch: Arch,
    (series, provider, wakeups): Machine,
) -> Result<Vec<String>> {
    let program = program::place(given.workspace, arch);
    let mut arguments = vec!["--version".to_owned(), "doctor".to_owned()];
    arguments.extend((0..TRIES).map(|_| demo::arguments(provider)));
    let said = alone::run(given.workspace, series, &program, &arguments)?;
    for (words, Said { status, lines }) in arguments.iter().zip(&said) {
        let last = lines.last().map_or("nothing", String::as_str);
        ensure!(*status == 0, "`observer {words}` ended with {status} and said {last}");
    }
    let [version, _, counted @ ..] = &said[..] else {
        return Err(anyhow::anyhow!("a command is lost"));
    };
    ensure!(
        version.lines.iter().any(|line| line.contains(&given.source.commit)),
        "`observer --version` says {:?}",
        version.lines
    );
    let judge = |said: &Said, asked| demo::judge(said.lines.iter().map(String::as_str), asked);
    counted.iter().try_for_each(|said| judge(said, Wakeups::Any)).context("the demo")?;
    let judged: Vec<_> = counted.iter().map(|said| judge(said, wakeups)).collect();
    if !judged.iter().any(Result::is_ok) {
        judged.into_iter().collect::<Result<()>>().context("the demo")?;
    }
    let how = if wakeups == Wakeups::Exact { "exactly" } else { "what its server counted" };
    Ok(vec![format!("doctor is content, and demo counts {how} by {provider}")])
}
