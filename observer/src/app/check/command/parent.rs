//! The command's parent: a process between observer and the command.
//!
//! It is what makes "the command and all that it started" one thing. The kernel gives it every process that loses its
//! parent below it (`PR_SET_CHILD_SUBREAPER`), daemons too, so that it ends when the last of them has; observer watches
//! it as `--pid` watches a process, and the window ends with it. Where observer dies, whatever the reason, its orders
//! end, and it ends all that was started.
//!
//! It was forked from observer before that had a second thread, and stays in its process group: Ctrl-C reaches the command
//! from the terminal, as it would without observer.

use std::{
    io::{PipeReader, PipeWriter, Read as _},
    os::fd::AsFd as _,
    process,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    message::{END, GO, News},
    outcome::End,
    start::{Program, start},
    tree,
};
use crate::app::run::say;

/// Time that processes have to end after SIGTERM, before SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);

/// Time after which processes are given up that SIGKILL does not end: one waits for a device that does not answer.
const GIVE_UP: Duration = Duration::from_secs(5);

/// How often SIGKILL is sent again, for what was forked in between.
const AGAIN: Duration = Duration::from_millis(100);

/// Time after the command's end in which all that it started ends too, without a word about that.
const QUIET: Duration = Duration::from_millis(500);

/// Time within which a signal that observer got, and this process too, was one to their process group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Time that the kernel may take to send a signal to all of a process group.
const TO_ALL: Duration = Duration::from_millis(20);

/// Signals that ask for the end.
const ENDS: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// The command's parent.
struct Parent {
    orders: PipeReader,
    news: PipeWriter,
    signals: SignalFd,
    command: State,
    ending: Option<Ending>,
    /// Signals that came here, and when.
    came: Vec<(i32, Instant)>,
}

/// Where the command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs(Pid),
    /// Ended then; whether it was said that others go on.
    Ended(Instant, bool),
}

/// The end of all that was started.
struct Ending {
    kill: Instant,
    give_up: Instant,
}

/// Is the command's parent until all that was started has ended. All signals are held back.
///
/// # Errors
///
/// When the kernel refuses something; then nothing was started.
pub(super) fn serve(
    mut orders: PipeReader,
    mut news: PipeWriter,
    program: &Program,
) -> nix::Result<()> {
    prctl::set_child_subreaper(true)?;
    let signals =
        SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    if next_order(&mut orders) != Some(GO) {
        return Ok(());
    }
    // What came before the command was there did not reach it.
    while let Ok(Some(_)) = signals.read_signal() {}
    let command = match start(program) {
        Ok(pid) => State::Runs(pid),
        Err(errno) => {
            let _gone = News::Ended(End::NotStarted(errno as i32)).write(&mut news);
            return Ok(());
        }
    };
    let mut parent = Parent { orders, news, signals, command, ending: None, came: Vec::new() };
    while parent.has_children() {
        parent.act_in_time();
        parent.wait();
        if parent.is_given_up() {
            let left = tree::below(process::id()).len();
            parent.tell(News::Left(u64::try_from(left).unwrap_or(u64::MAX)));
            break;
        }
    }
    Ok(())
}

/// The next order; `None` at their end.
fn next_order(orders: &mut PipeReader) -> Option<u8> {
    let mut order = [0];
    orders.read_exact(&mut order).ok()?;
    Some(order[0])
}

impl Parent {
    /// Takes leave of what has ended. Whether anything is left.
    fn has_children(&mut self) -> bool {
        loop {
            let (pid, end) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, End::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Signalled(signal as i32)),
                Ok(WaitStatus::StillAlive) => return true,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return false,
            };
            if self.command == State::Runs(pid) {
                self.command = State::Ended(Instant::now(), false);
                self.tell(News::Ended(end));
            }
        }
    }

    /// Does what is due by now.
    fn act_in_time(&mut self) {
        let now = Instant::now();
        if let Some(Ending { kill, .. }) = self.ending {
            if now >= kill {
                tree::signal(process::id(), rustix::process::Signal::KILL);
            }
            return;
        }
        if let State::Ended(when, false) = self.command
            && now >= when + QUIET
        {
            self.command = State::Ended(when, true);
            let count = tree::below(process::id()).len();
            let they = match count {
                1 => "one process that it started goes on".to_owned(),
                several => format!("{several} processes that it started go on"),
            };
            say(&format!(
                "observer: the command has ended, and {they}; observing until the last of them ends, or Ctrl-C"
            ));
        }
    }

    /// Waits for an order, a signal, or until something is due.
    fn wait(&mut self) {
        let now = Instant::now();
        let due = match (&self.ending, self.command) {
            (Some(ending), _) => Some(ending.kill.max(now + AGAIN)),
            (None, State::Ended(when, false)) => Some(when + QUIET),
            (None, _) => None,
        };
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // Rounded up, so that what is due is so after it.
            let time = due.saturating_duration_since(now) + Duration::from_millis(1);
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        // The end of the orders would be ready for ever.
        let orders = if self.ending.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        let (has_order, has_signal) = {
            let mut asked = [
                PollFd::new(self.orders.as_fd(), orders),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            if poll(&mut asked, timeout).is_err() {
                return;
            }
            let is_ready =
                |one: &PollFd<'_>| one.revents().is_some_and(|events| !events.is_empty());
            (is_ready(&asked[0]) && self.ending.is_none(), is_ready(&asked[1]))
        };
        if has_signal {
            self.take_signals();
        }
        if has_order {
            match next_order(&mut self.orders) {
                None | Some(END) => self.end(),
                Some(number) => self.pass_on(i32::from(number)),
            }
        }
    }

    /// Notes what came here: some of it came to the whole process group.
    fn take_signals(&mut self) {
        let now = Instant::now();
        self.came.retain(|(_, when)| now.duration_since(*when) < SAME_SIGNAL);
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if let Ok(number) = i32::try_from(signal.ssi_signo) {
                self.came.push((number, now));
            }
        }
    }

    /// Passes a signal on that observer got. One that came here too went to the whole process group, and to the
    /// command by itself. Where the command has ended, it is for all that goes on.
    fn pass_on(&mut self, number: i32) {
        sleep(TO_ALL);
        self.take_signals();
        match self.command {
            State::Runs(pid) => {
                let came = self.came.iter().any(|(one, _)| *one == number);
                if let (false, Ok(signal)) = (came, Signal::try_from(number)) {
                    // Not taken leave of yet, so that the id is still its own.
                    let _ended = kill(pid, signal);
                }
            }
            State::Ended(..) if ENDS.contains(&number) => self.end(),
            State::Ended(..) => {}
        }
    }

    /// Begins to end all that still runs.
    fn end(&mut self) {
        if let State::Runs(_) = self.command {
            self.tell(News::Ending);
        }
        let kill = Instant::now() + GRACE;
        self.ending = Some(Ending { kill, give_up: kill + GIVE_UP });
        tree::signal(process::id(), rustix::process::Signal::TERM);
        // What is stopped cannot end.
        tree::signal(process::id(), rustix::process::Signal::CONT);
    }

    fn is_given_up(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| Instant::now() >= ending.give_up)
    }

    fn tell(&mut self, news: News) {
        // Nobody may be there any more.
        let _gone = news.write(&mut self.news);
    }
}
