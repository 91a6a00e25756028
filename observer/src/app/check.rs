//! `observer check`: a gate, which fails where a limit is broken.

pub mod args;
mod baseline;
mod command;
mod doubt;
mod github;
mod junit;
mod limits;
mod measure;
mod output;
mod subject;
mod text;
mod verdict;
mod waits;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;
use observer::{Because, Config, Ended, Observer, Update, model::Report};

pub use self::args::CheckArgs;
use self::{
    baseline::{Baseline, Terms},
    command::{Supervised, user::Invoker},
    doubt::refusal,
    limits::limits,
    output::Outputs,
    verdict::{Against, Verdict},
};
use crate::app::{
    args::FilterArgs,
    opened,
    render::{table::heading, terminal::Screen},
    run::{self, Face, say},
};

/// Runs it. The exit status is that of the command where it failed, else 3 where a limit is broken, else 1 where
/// numbers of the window decide nothing.
///
/// # Errors
///
/// See [`Observer::open`]; when numbers that limits are about cannot be had on this kernel; when the baseline cannot be
/// read, the command not be prepared, or a file not be written.
pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    args::require_one(&args.limits).unwrap_or_else(|error| error.exit());
    let user = Invoker::find(geteuid().is_root(), |name| env::var_os(name))?;
    let outputs = Outputs::open(args, user.as_ref())?;
    let verdict = match judge(args, user) {
        Ok(verdict) => verdict,
        Err(error) => {
            outputs.fail(&format!("observer: {error:#}"));
            return Err(error);
        }
    };
    tell(&verdict);
    output::add_summary(&verdict);
    if let Err(error) = outputs.write(&verdict) {
        if verdict.command_failure().is_none() {
            return Err(error);
        }
        say(&format!("observer: {error:#}"));
    }
    Ok(ExitCode::from(verdict.status()))
}

/// Observes, and holds what was seen against all limits.
fn judge(args: &CheckArgs, user: Option<Invoker>) -> Result<Verdict> {
    let limits = limits(&args.limits);
    let baseline = args.limits.baseline.as_deref().map(Baseline::read).transpose()?;
    let mut config = args.observe.config();
    // Before there is a second thread.
    let command = match args.command.as_slice() {
        [] => None,
        words => Some(Supervised::prepare(words, user)?),
    };
    if let Some(command) = &command {
        config.filters.pid = vec![command.pid()];
    }
    let terms = Terms {
        tolerance: args.tolerance,
        allow_estimates: args.allow_estimates,
        fewer: args.limits.min_accepted.is_some(),
    };
    let against = Against {
        limits: &limits,
        baseline: baseline.as_ref().map(|baseline| (baseline, terms)),
        allow_estimates: args.allow_estimates,
    };
    let (report, command) = observe(args, &config, command, &against)?;
    let outcome = command.map(Supervised::finish).transpose()?;
    Ok(Verdict::new(report, outcome, &against))
}

/// Opens the window, lets the command run in it, and gives the report of all of it.
fn observe(
    args: &CheckArgs,
    config: &Config,
    command: Option<Supervised>,
    against: &Against<'_>,
) -> Result<(Report, Option<Supervised>)> {
    let filters = &args.observe.filters;
    let mut gate = Gate { filters, against, command, total: None };
    match &gate.command {
        None => run::run(config, args.duration, &mut gate)?,
        Some(command) => {
            let orders = command.orders()?;
            run::run_until(config, &mut gate, || orders.until(args.duration))?;
        }
    }
    Ok((gate.total.context("the window ended without a report; please report this")?, gate.command))
}

/// Says the verdict: on standard output, which is the command's where there is one, and then on standard error. Where
/// nobody reads it, it is a verdict all the same.
fn tell(verdict: &Verdict) {
    let of = |screen: Screen| {
        let text = text::text(verdict, screen.columns(), screen.colour);
        text + &output::annotations(verdict)
    };
    let _closed = if verdict.command.is_some() {
        let text = of(Screen::of_stderr());
        io::stderr().lock().write_all(text.as_bytes())
    } else {
        let text = of(Screen::of_stdout());
        crate::app::output::write(text.as_bytes()).map_err(io::Error::other)
    };
}

/// What the window shows to a check.
struct Gate<'a> {
    filters: &'a FilterArgs,
    against: &'a Against<'a>,
    command: Option<Supervised>,
    total: Option<Report>,
}

impl Face for Gate<'_> {
    /// Refuses what could not be decided, before the command has run for it. Else the command starts.
    fn opened(&mut self, observer: &Observer) -> Result<()> {
        let Against { limits, baseline, allow_estimates } = *self.against;
        let own = limits.iter().map(|limit| (limit.typed(), limit.needs()));
        let compared = baseline.iter().flat_map(|(_, terms)| Baseline::needs(terms.tolerance));
        let refusals = [
            refusal(own.chain(compared), observer.providers(), allow_estimates),
            baseline.and_then(|(baseline, terms)| baseline.refusal(terms)),
        ];
        if let Some(failure) = refusals.into_iter().flatten().next() {
            return Err(failure.into());
        }
        let Some(command) = &mut self.command else {
            opened::say_opened(observer, self.filters, false);
            return Ok(());
        };
        let hooks = heading::hooks(observer.providers()).0;
        say(&format!("observing {}: {hooks}", command.words()));
        opened::say_pid_namespace(observer);
        command.go()
    }

    fn update(&mut self, update: &Update) -> Result<()> {
        if let Update::Ended(Ended { total, because }) = update {
            if *because == Because::ProcessesEnded && self.command.is_none() {
                opened::say_all_ended(&self.filters.pid);
            }
            self.total = Some(total.as_ref().clone());
        }
        Ok(())
    }
}
