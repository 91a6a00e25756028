//! A session on a thread of its own: to look at the processes of a host may take long, and a file of a broken
//! file system may keep whoever looks at it for ever.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Session;
use crate::model::{Event, Report};

/// What a session is asked to do. It does one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Look at the processes that were woken.
    Look,
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
    /// It looked.
    Looked,
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
}

impl Answers for Session {
    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Look => {
                self.look_at_woken();
                Answer::Looked
            }
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
}

/// The thread of a session, by what is asked of it.
pub struct SessionThread {
    asks: Option<Sender<Ask>>,
    answers: UnboundedReceiver<Answer>,
    thread: Option<JoinHandle<()>>,
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
        let thread = thread::Builder::new()
            .name("session".into())
            .spawn(move || serve(session, &asked, &sender))
            .context("cannot start a thread")?;
        Ok(Self { asks: Some(asks), answers, thread: Some(thread), open: Vec::new() })
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
        // One that does not answer may never end, and keeps nobody else.
        if self.open.is_empty()
            && let Some(thread) = self.thread.take()
        {
            let _panicked = thread.join();
        }
    }
}

fn serve(mut session: impl Answers, asked: &Receiver<Ask>, answers: &UnboundedSender<Answer>) {
    while let Ok(ask) = asked.recv() {
        if answers.send(session.answer(ask)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::Duration,
    };

    use tokio::time::timeout;

    use super::{Answer, Answers, Ask, SessionThread};

    /// Tells what it was asked, and answers once it may.
    struct Slow {
        asked: Sender<Ask>,
        may: Receiver<()>,
    }

    impl Answers for Slow {
        fn answer(&mut self, ask: Ask) -> Answer {
            self.asked.send(ask).expect("the test listens");
            // The test's end is an answer too.
            let _ended = self.may.recv();
            Answer::Looked
        }
    }

    fn run(test: impl AsyncFnOnce(SessionThread, Receiver<Ask>, Sender<()>)) {
        let ((asked, was_asked), (lets, may)) = (channel(), channel());
        let thread = SessionThread::start(Slow { asked, may }).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(test(thread, was_asked, lets));
    }

    #[test]
    fn what_is_asked_and_not_answered_is_not_asked_again() {
        run(async |mut thread, asked, lets| {
            for ask in [Ask::Look, Ask::Interval, Ask::Look, Ask::Look] {
                thread.ask(ask);
            }
            for _ in 0..2 {
                lets.send(()).expect("it waits");
                assert!(thread.answer().await.is_some());
            }
            assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Ask::Look, Ask::Interval]);
            thread.ask(Ask::Look);
            lets.send(()).expect("it waits");
            assert!(thread.answer().await.is_some());
        });
    }

    #[test]
    fn one_that_does_not_answer_keeps_nobody() {
        run(async |mut thread, asked, _lets| {
            thread.ask(Ask::Finish);
            assert_eq!(asked.recv(), Ok(Ask::Finish));
            let answer = timeout(Duration::from_millis(20), thread.answer()).await;
            assert!(answer.is_err(), "it answered");
            // This would wait for ever.
            drop(thread);
        });
    }
}
