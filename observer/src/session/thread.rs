//! A session on a thread of its own: to look at the processes of a host may take long, and a file of a broken
//! file system may keep whoever looks at it for ever.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Session;
use crate::model::{Event, Report};

/// How often woken processes are looked at, which may not live until the report. Nobody asks for it: to wake another
/// thread for each would cost as much again.
const LOOK: Duration = Duration::from_millis(100);

/// How long a look that is under way is waited for at the end.
const GRACE: Duration = Duration::from_secs(1);

/// What a session is asked to do. It does one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Read events.
    Events,
    /// Report the interval that ends now.
    Interval,
    /// Report everything so far.
    SoFar,
    /// Close the window, and report everything.
    Finish,
}

/// What came of it.
pub enum Answer {
    /// Events, in the order of time.
    Events(Vec<Event>),
    /// A report.
    Report(Result<Report>),
    /// The report of everything, and the events that were left.
    Finished(Result<Report>, Vec<Event>),
}

/// What answers on the thread: a [`Session`].
pub trait Answers: Send + 'static {
    /// Does what is asked.
    fn answer(&mut self, ask: Ask) -> Answer;

    /// Looks at the processes that were woken.
    fn look(&mut self);
}

impl Answers for Session {
    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Events => Answer::Events(self.read_events()),
            Ask::Interval => Answer::Report(self.interval()),
            Ask::SoFar => Answer::Report(self.so_far()),
            Ask::Finish => {
                let mut total = self.finish();
                let events = self.read_last_events(total.as_mut().ok());
                Answer::Finished(total, events)
            }
        }
    }

    fn look(&mut self) {
        self.look_at_woken();
    }
}

/// The thread of a session, by what is asked of it.
pub struct SessionThread {
    asks: Option<Sender<Ask>>,
    answers: UnboundedReceiver<Answer>,
    thread: Option<JoinHandle<()>>,
    /// Closed once it answers no more.
    served: Receiver<()>,
    /// What it was asked and did not answer yet.
    open: Vec<Ask>,
}

impl SessionThread {
    /// Moves a session to a thread.
    ///
    /// # Errors
    ///
    /// When there can be no more threads.
    pub fn start(session: impl Answers) -> Result<Self> {
        let (asks, asked) = channel();
        let (sender, answers) = unbounded_channel();
        let (serving, served) = channel();
        let serve = move || {
            let mut session = session;
            serve(&mut session, &asked, &sender);
            // To close the session takes its time, and ends.
            drop::<Sender<()>>(serving);
        };
        let thread = thread::Builder::new().name("session".into()).spawn(serve);
        let thread = Some(thread.context("cannot start a thread")?);
        Ok(Self { asks: Some(asks), answers, thread, served, open: Vec::new() })
    }

    /// Asks for something, unless it was asked already and is not answered yet.
    pub fn ask(&mut self, ask: Ask) {
        if !self.open.contains(&ask)
            && let Some(asks) = &self.asks
        {
            self.open.push(ask);
            // Where the thread has ended there is no answer, which says so.
            let _ended = asks.send(ask);
        }
    }

    /// The next answer; `None` where the thread ended early. Nothing is lost where the future is dropped.
    pub async fn answer(&mut self) -> Option<Answer> {
        let answer = self.answers.recv().await?;
        // It answers in the order in which it was asked.
        self.open.remove(0);
        Some(answer)
    }
}

impl Drop for SessionThread {
    fn drop(&mut self) {
        self.asks = None;
        // One that does not answer, or looks at what does not, may never end, and keeps nobody else.
        if self.open.is_empty()
            && self.served.recv_timeout(GRACE) == Err(RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            let _panicked = thread.join();
        }
    }
}

/// Does what is asked, and looks now and then, until the window is closed or nobody asks any more.
fn serve(session: &mut impl Answers, asked: &Receiver<Ask>, answers: &UnboundedSender<Answer>) {
    let mut looked = Instant::now();
    loop {
        match asked.recv_timeout(LOOK.saturating_sub(looked.elapsed())) {
            Ok(ask) => {
                if answers.send(session.answer(ask)).is_err() || ask == Ask::Finish {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Also between questions that come without a pause.
        if looked.elapsed() >= LOOK {
            session.look();
            looked = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::{Duration, Instant},
    };

    use tokio::time::timeout;

    use super::{Answer, Answers, Ask, SessionThread};

    /// Longest that anything may take here before it counts as hanging.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What a session did.
    #[derive(Debug, PartialEq)]
    enum Did {
        Answer(Ask),
        Look,
    }

    /// Tells what it does, and answers once it may.
    struct Slow {
        tells: Sender<Did>,
        may_answer: Receiver<()>,
        may_look: Receiver<()>,
    }

    impl Answers for Slow {
        fn answer(&mut self, ask: Ask) -> Answer {
            // Nobody listens to the last of them, and the test's end is an answer too.
            let _ended = self.tells.send(Did::Answer(ask));
            let _ended = self.may_answer.recv();
            Answer::Events(Vec::new())
        }

        fn look(&mut self) {
            let _ended = self.tells.send(Did::Look);
            let _ended = self.may_look.recv();
        }
    }

    /// What the test has of it.
    struct Hand {
        did: Receiver<Did>,
        lets_answer: Sender<()>,
        lets_look: Sender<()>,
    }

    impl Hand {
        /// What was asked for, as it was done; looks go on meanwhile.
        fn asked(&self) -> Ask {
            loop {
                match self.did.recv().expect("the thread is there") {
                    Did::Answer(ask) => return ask,
                    Did::Look => self.lets_look.send(()).expect("it waits"),
                }
            }
        }
    }

    fn run(test: impl AsyncFnOnce(SessionThread, Hand)) {
        let ((tells, did), (lets_answer, may_answer)) = (channel(), channel());
        let (lets_look, may_look) = channel();
        let thread = SessionThread::start(Slow { tells, may_answer, may_look }).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let hand = Hand { did, lets_answer, lets_look };
        runtime.expect("a runtime").block_on(test(thread, hand));
    }

    #[test]
    fn what_is_asked_and_not_answered_is_not_asked_again() {
        run(async |mut thread, hand| {
            for ask in [Ask::Events, Ask::Interval, Ask::Events, Ask::Events] {
                thread.ask(ask);
            }
            for ask in [Ask::Events, Ask::Interval] {
                assert_eq!(hand.asked(), ask);
                hand.lets_answer.send(()).expect("it waits");
                assert!(thread.answer().await.is_some());
            }
            thread.ask(Ask::SoFar);
            assert_eq!(hand.asked(), Ask::SoFar);
            hand.lets_answer.send(()).expect("it waits");
            assert!(thread.answer().await.is_some());
        });
    }

    #[test]
    fn it_looks_without_being_asked_also_between_questions_without_a_pause() {
        run(async |mut thread, hand| {
            assert_eq!(hand.did.recv(), Ok(Did::Look));
            hand.lets_look.send(()).expect("it waits");
            let began = Instant::now();
            loop {
                // One waits while the other is answered.
                for ask in [Ask::Events, Ask::Interval] {
                    thread.ask(ask);
                }
                match hand.did.recv().expect("the thread is there") {
                    Did::Answer(_) => hand.lets_answer.send(()).expect("it waits"),
                    Did::Look => break,
                }
                assert!(thread.answer().await.is_some());
                assert!(began.elapsed() < PATIENCE, "it does not look");
            }
        });
    }

    #[test]
    fn one_that_does_not_answer_keeps_nobody() {
        run(async |mut thread, hand| {
            thread.ask(Ask::Finish);
            assert_eq!(hand.asked(), Ask::Finish);
            let answer = timeout(Duration::from_millis(20), thread.answer()).await;
            assert!(answer.is_err(), "it answered");
            // This would wait for ever.
            drop(thread);
        });
    }

    #[test]
    fn a_look_that_does_not_end_keeps_nobody() {
        run(async |thread, hand| {
            assert_eq!(hand.did.recv(), Ok(Did::Look));
            // This would wait for ever.
            drop(thread);
            drop(hand);
        });
    }
}
