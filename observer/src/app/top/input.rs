//! What the terminal tells: keys, the mouse, its size, and that it is gone.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use anyhow::{Context as _, Result};
use crossterm::event::{self, Event};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::panics;
use observer::async_fd::hung_up;

/// Keys and the like, as a thread of its own reads them.
pub struct Input {
    events: UnboundedReceiver<io::Result<Event>>,
    /// Standard input, of which only its end is waited for: whoever reads from a terminal that is gone may not be told.
    terminal: Option<AsyncFd<OwnedFd>>,
}

impl Input {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// When there can be no more threads.
    pub fn start() -> Result<Self> {
        let (sender, events) = unbounded_channel();
        thread::Builder::new()
            .name("keys".into())
            .spawn(move || {
                loop {
                    let event = event::read();
                    panics::provoke("keys");
                    let ended = event.is_err();
                    if sender.send(event).is_err() || ended {
                        return;
                    }
                }
            })
            .context("cannot start the thread that reads keys")?;
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        let terminal = hung_up(descriptor).ok();
        Ok(Self { events, terminal })
    }

    /// The next event; `None` once the terminal is gone.
    pub async fn next(&mut self) -> Option<Event> {
        let gone = async {
            match &self.terminal {
                Some(terminal) => drop(terminal.ready(Interest::PRIORITY).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.events.recv() => event?.ok(),
            () = gone => None,
        }
    }
}
