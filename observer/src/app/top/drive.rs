//! Running it: updates, keys and signals go into the state, and a frame comes out of each change.

use std::{env, io, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use crossterm::event::Event;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    args::TopArgs,
    farewell, fix,
    input::Input,
    panics,
    source::Source,
    state::{Effect, Observed, State},
    terminal::{self, Screen},
    view,
};
use crate::app::{
    args::FilterArgs,
    output,
    render::{labels, terminal::Screen as Facts},
    run::say,
};
use observer::{Observer, Update, units};

/// Runs it.
///
/// # Errors
///
/// See [`Source::open`]; and when the terminal cannot be written to, but for one that is gone.
pub fn run(args: &TopArgs) -> Result<ExitCode> {
    if let Some(why) = terminal::unfit() {
        say(&format!("observer: {why}"));
        return Ok(ExitCode::from(2));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let result = runtime.block_on(drive(args));
    // The thread that reads keys never ends by itself.
    runtime.shutdown_background();
    result?;
    Ok(if panics::any() { ExitCode::from(panics::STATUS) } else { ExitCode::SUCCESS })
}

/// Why the screen ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody wants it to.
    Asked,
    /// There is no terminal any more.
    Gone,
}

/// What can happen.
enum Happened {
    Update(Option<Update>),
    Terminal(Option<Event>),
    End(End),
    Suspend,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hang_up: Signal,
    stop: Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        // While the terminal takes nothing, nothing waits for those below.
        output::heed(&[libc::SIGINT, libc::SIGTERM, libc::SIGQUIT, libc::SIGHUP])?;
        let tstp = SignalKind::from_raw(nix::sys::signal::Signal::SIGTSTP as i32);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            stop: signal(tstp)?,
        })
    }

    async fn next(&mut self) -> Happened {
        tokio::select! {
            _ = self.interrupt.recv() => Happened::End(End::Asked),
            _ = self.terminate.recv() => Happened::End(End::Asked),
            _ = self.quit.recv() => Happened::End(End::Asked),
            _ = self.hang_up.recv() => Happened::End(End::Gone),
            _ = self.stop.recv() => Happened::Suspend,
        }
    }
}

async fn drive(args: &TopArgs) -> Result<()> {
    let mut signals = Signals::take()?;
    let mut source = Source::open(args)?;
    let mouse = !args.no_mouse;
    let mut state = State::new(
        observed(args, source.observer()),
        args.interval,
        Facts::of_stdout().colour,
        mouse,
    );
    if args.replay.is_some() && args.speed == 0.0 {
        while let Some(update) = source.next_now()? {
            state.take(&update);
        }
    }
    let mut screen = Screen::take(mouse)?;
    let mut input = Input::start()?;
    let end = screen_of(&mut signals, &mut source, &mut state, &mut screen, &mut input).await;
    drop(screen);
    match end? {
        End::Gone => Ok(()),
        End::Asked => last_words(&mut signals, &mut source, &state).await,
    }
}

/// What is observed, in the words of the screen.
fn observed(args: &TopArgs, observer: Option<&mut Observer>) -> Observed {
    let filters: &FilterArgs = &args.observe.filters;
    let name = |path: &std::path::PathBuf| {
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let remark = observer.and_then(|observer| observer.pid_namespace()).map(|inode| {
        format!(
            "this is PID namespace {inode} and not the host's: tasks outside of it are counted without process \
             ids, and who holds a listener there is not known"
        )
    });
    Observed {
        replay: args.replay.as_ref().map(name),
        waits: labels::waiting(filters)
            .unwrap_or_else(|| "no TCP listener was found yet; waiting for one".to_owned()),
        remark,
    }
}

/// The screen, from its first frame to its last.
async fn screen_of(
    signals: &mut Signals,
    source: &mut Source,
    state: &mut State,
    screen: &mut Screen,
    input: &mut Input,
) -> Result<End> {
    let mut is_over = state.over.is_some();
    let mut changed = true;
    loop {
        if changed {
            let mut drawn = None;
            let result = screen.draw(|frame| drawn = Some(view::draw(frame, state)));
            if is_gone(&result) {
                return Ok(End::Gone);
            }
            result.context("cannot draw on the terminal")?;
            if let Some(drawn) = drawn {
                state.drawn = drawn;
            }
        }
        let holds = state.holds_replay();
        let happened = tokio::select! {
            biased;
            happened = signals.next() => happened,
            event = input.next() => Happened::Terminal(event),
            update = source.next(holds), if !is_over => Happened::Update(update?),
        };
        changed = true;
        let effect = match happened {
            Happened::End(end) => return Ok(end),
            Happened::Suspend => Some(Effect::Suspend),
            Happened::Terminal(None) => return Ok(End::Gone),
            Happened::Terminal(Some(Event::Key(key))) => {
                panics::provoke("main");
                state.key(key)
            }
            Happened::Terminal(Some(Event::Mouse(mouse))) => {
                changed = state.mouse(mouse);
                None
            }
            Happened::Terminal(Some(Event::Resize(..))) => None,
            Happened::Terminal(Some(_)) => {
                changed = false;
                None
            }
            Happened::Update(Some(update)) => {
                changed = state.take(&update);
                None
            }
            Happened::Update(None) => {
                is_over = true;
                state.over.get_or_insert_with(|| "end of the recording".to_owned());
                None
            }
        };
        match effect {
            None => {}
            Some(Effect::Quit) => return Ok(End::Asked),
            Some(effect) => {
                let result = apply(effect, source, state, screen);
                if is_gone(&result) {
                    return Ok(End::Gone);
                }
                result.context("cannot write to the terminal")?;
            }
        }
    }
}

/// Does what is no matter of the screen.
fn apply(
    effect: Effect,
    source: &mut Source,
    state: &mut State,
    screen: &mut Screen,
) -> io::Result<()> {
    match effect {
        Effect::Quit => {}
        Effect::Suspend => screen.suspend()?,
        Effect::Redraw => screen.forget()?,
        Effect::Mouse(mouse) => {
            screen.mouse(mouse)?;
            state.message = Some(match mouse {
                true => "the mouse chooses rows; m leaves it to the terminal".to_owned(),
                false => {
                    "the mouse is the terminal's, and selects text; m takes it back".to_owned()
                }
            });
        }
        Effect::Copy(text) => {
            screen.copy(&text)?;
            state.message = Some(
                "copied, if this terminal takes OSC 52; w writes the fix to a file".to_owned(),
            );
        }
        Effect::Write(text, port) => {
            let directory = env::current_dir().unwrap_or_else(|_| ".".into());
            state.message = Some(match fix::write(&text, port, &directory) {
                Ok(path) => format!("the fix is in {}", path.display()),
                Err(error) => format!("cannot write the fix into {}: {error}", directory.display()),
            });
        }
        Effect::Interval(interval) => {
            source.interval(interval);
            let interval = observer::units::seconds(interval.as_secs_f64());
            state.message = Some(match state.observed.replay {
                Some(_) => format!("an interval of a second takes {interval} now"),
                None => format!("an interval is {interval} now"),
            });
        }
        Effect::Next => match source.next_now() {
            Ok(Some(update)) => {
                state.take(&update);
                state.stand_at_newest();
            }
            Ok(None) => state.over = Some("end of the recording".to_owned()),
            Err(error) => state.message = Some(format!("{error:#}")),
        },
    }
    Ok(())
}

/// Whether the terminal is gone, which is no failure; or takes nothing any more, now that the end is asked for.
fn is_gone<T>(result: &io::Result<T>) -> bool {
    let Err(error) = result else { return false };
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::TimedOut
        || [libc::EIO, libc::EPIPE, libc::ENXIO, libc::EBADF].iter().any(|gone| code == Some(*gone))
}

/// How long the last report may take before whoever quit is left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// What stays on the terminal: how long was watched, and what was wrong in all of that time.
async fn last_words(signals: &mut Signals, source: &mut Source, state: &State) -> Result<()> {
    let total = match source.observer() {
        None => None,
        Some(observer) => {
            observer.close();
            let total = async {
                while let Some(update) = observer.next().await? {
                    if let Update::Ended(ended) = update {
                        return Ok(Some(ended.total));
                    }
                }
                anyhow::Ok(None)
            };
            tokio::select! {
                total = total => total?,
                _ = signals.next() => return Ok(()),
                () = tokio::time::sleep(PATIENCE) => None,
            }
        }
    };
    let words = match total {
        Some(total) => farewell::words(&total),
        None => format!("observer top: {} were shown\n", units::seconds(state.whole)),
    };
    let _gone = output::write(words.as_bytes());
    Ok(())
}
