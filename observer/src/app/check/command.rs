//! The command: started when everything is attached, and its end.

mod message;
pub mod outcome;
mod parent;
mod start;
mod tree;
pub mod user;

use std::{
    cell::Cell,
    ffi::OsString,
    future::poll_fn,
    io::{self, PipeReader, PipeWriter, Write as _},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::{
        signal::{self, SigHandler, SigSet, SigmaskHow, sigprocmask},
        wait::waitpid,
    },
    unistd::Pid,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal as tokio_signal},
    time::{Instant, sleep, sleep_until},
};

use self::{
    message::{END, GO, News},
    outcome::{Outcome, Why},
    start::{Program, fork_with},
    user::Invoker,
};
use crate::app::{
    render::text,
    run::{SAME_WISH, say},
};

/// How long the command may take to end after a signal before it is said that it has not.
const HINT: Duration = Duration::from_secs(2);

/// Most columns that a command takes where it is told.
const LONGEST: usize = 60;

/// A command that waits to be started, or runs. Dropping it ends it with all that it started.
pub struct Supervised {
    parent: Pid,
    /// `None` once it is over.
    orders: Option<PipeWriter>,
    news: PipeReader,
    command: String,
    user: Option<Invoker>,
    why: Rc<Cell<Option<Why>>>,
}

impl Supervised {
    /// Prepares a command, as this user where there is one. There must be no second thread yet.
    ///
    /// # Errors
    ///
    /// When there can be no more processes.
    pub fn prepare(words: &[OsString], user: Option<Invoker>) -> Result<Self> {
        // Where it is ignored, as whoever started observer may have asked for, the kernel takes leave of children itself
        // and tells nobody of their end (do_notify_parent): neither here nor in the command's parent.
        // SAFETY: the default action runs none of our code.
        unsafe { signal::signal(signal::Signal::SIGCHLD, SigHandler::SigDfl) }?;
        let (ordered, orders) = io::pipe().context("cannot make a pipe")?;
        let (news, told) = io::pipe().context("cannot make a pipe")?;
        // The command's parent holds all signals back from its first moment.
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let program = Program { words: words.to_vec(), user: user.clone(), held_back: before };
        let forked = fork_with((orders, news), (ordered, told), |(ordered, told)| {
            if let Err(errno) = parent::serve(ordered, told, &program) {
                say(&format!("observer: the command cannot be looked after: {}", errno.desc()));
            }
        });
        before.thread_set_mask()?;
        let (parent, (orders, news)) = forked.context("cannot start a process")?;
        let shown: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let command = text::cut(&text::clean(&shown.join(" ")), LONGEST);
        Ok(Self { parent, orders: Some(orders), news, command, user, why: Rc::default() })
    }

    /// Process below which the command and all that it starts are.
    pub fn pid(&self) -> u32 {
        self.parent.as_raw().unsigned_abs()
    }

    /// The command in words, with whom it runs as where that is somebody else than observer.
    pub fn words(&self) -> String {
        match &self.user {
            Some(user) => format!("{} as {}", self.command, user.words()),
            None => self.command.clone(),
        }
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When its parent is gone.
    pub fn go(&mut self) -> Result<()> {
        let mut orders = self.orders.as_ref().context("the command is over")?;
        orders.write_all(&[GO]).context("the command's parent process was killed; run again")
    }

    /// Orders for it from elsewhere.
    ///
    /// # Errors
    ///
    /// When there can be no more descriptors.
    pub fn orders(&self) -> Result<Orders> {
        let pipe = self.orders.as_ref().context("the command is over")?.try_clone()?;
        Ok(Orders { pipe, why: Rc::clone(&self.why) })
    }

    /// Ends what still runs, and tells what became of it.
    ///
    /// # Errors
    ///
    /// When its parent's news cannot be read.
    pub fn finish(mut self) -> Result<Outcome> {
        let news = self.end()?;
        let end = news.iter().find_map(|one| match one {
            News::Ended(end) => Some(*end),
            _ => None,
        });
        let left = news.iter().find_map(|one| match one {
            News::Left(left) => Some(*left),
            _ => None,
        });
        let was_ended = news.contains(&News::Ending);
        Ok(Outcome {
            command: std::mem::take(&mut self.command),
            end,
            ended: was_ended.then(|| self.why.get().unwrap_or(Why::Other)),
            left: left.unwrap_or(0),
        })
    }

    /// Ends what still runs, and waits for that.
    fn end(&mut self) -> Result<Vec<News>> {
        let Some(orders) = self.orders.take() else { return Ok(Vec::new()) };
        // It may be gone already; else it ends when nobody has orders for it any more.
        let _gone = (&orders).write_all(&[END]);
        drop(orders);
        let news = News::read_all(&self.news).context("cannot learn how the command ended")?;
        waitpid(self.parent, None).context("cannot wait for the command's parent process")?;
        Ok(news)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            say(&format!("observer: {error:#}"));
        }
    }
}

/// Orders for a command while the window is open.
pub struct Orders {
    pipe: PipeWriter,
    why: Rc<Cell<Option<Why>>>,
}

impl Orders {
    /// What ends the window before the command has ended: the end of its time, or a second signal. The first one is
    /// the command's, which decides for itself what to do.
    ///
    /// # Errors
    ///
    /// When signals cannot be waited for. It must be called within a tokio runtime.
    pub fn until(self, duration: Option<Duration>) -> Result<impl Future<Output = ()>> {
        let Self { pipe, why } = self;
        let mut signals = Signals::new()?;
        Ok(async move {
            let deadline = sleep(duration.unwrap_or(Duration::MAX));
            let mut asked = None::<Instant>;
            let mut hinted = false;
            tokio::pin!(deadline);
            loop {
                let hint = asked.filter(|_| !hinted).map(|asked| asked + HINT);
                tokio::select! {
                    () = &mut deadline => {
                        why.set(Some(Why::TimeOver(duration.unwrap_or_default())));
                        return;
                    }
                    (number, ends) = signals.next() => {
                        if ends && asked.is_some_and(|first| first.elapsed() > SAME_WISH) {
                            why.set(Some(Why::Asked));
                            return;
                        }
                        // It may have ended just now.
                        let _ended = (&pipe).write_all(&[number]);
                        asked = asked.or(ends.then(Instant::now));
                    }
                    () = at(hint) => {
                        hinted = true;
                        say("observer: what was started has not ended yet; another Ctrl-C ends it");
                    }
                }
            }
        })
    }
}

/// Signals that the command gets too.
struct Signals {
    all: [(Signal, i32, bool); 6],
}

impl Signals {
    /// From now on they do not end this process any more.
    fn new() -> io::Result<Self> {
        // Those that ask for the end, and those that do not.
        let of = |kind: SignalKind, ends| {
            Ok::<_, io::Error>((tokio_signal(kind)?, kind.as_raw_value(), ends))
        };
        Ok(Self {
            all: [
                of(SignalKind::interrupt(), true)?,
                of(SignalKind::terminate(), true)?,
                of(SignalKind::hangup(), true)?,
                of(SignalKind::quit(), true)?,
                of(SignalKind::user_defined1(), false)?,
                of(SignalKind::user_defined2(), false)?,
            ],
        })
    }

    /// Number of the next one, and whether it asks for the end.
    async fn next(&mut self) -> (u8, bool) {
        poll_fn(|context| {
            for (signal, number, ends) in &mut self.all {
                if let (Poll::Ready(Some(())), Ok(number)) =
                    (signal.poll_recv(context), u8::try_from(*number))
                {
                    return Poll::Ready((number, *ends));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Waits until then; for ever where there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
