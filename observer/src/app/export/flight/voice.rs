//! What the recorder says, from a thread of its own: standard error may be a pipe that nobody reads, and neither scrapes
//! nor recordings wait for that.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use crate::app::run::say;

/// Most sentences that wait to be read: what is said then is left out.
const WAITING: usize = 64;

/// The thread, which ends with this once all that was said is written or given up.
pub struct Voice {
    words: Words,
    thread: Option<JoinHandle<()>>,
}

/// A way to say something, for whoever must not wait; `None` is the end.
#[derive(Clone, Debug)]
pub struct Words(SyncSender<Option<String>>);

impl Voice {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start() -> io::Result<Self> {
        let (sender, sentences) = sync_channel::<Option<String>>(WAITING);
        let speak = move || {
            while let Ok(Some(sentence)) = sentences.recv() {
                say(&sentence);
            }
        };
        let thread = thread::Builder::new().name("flight-voice".into()).spawn(speak)?;
        Ok(Self { words: Words(sender), thread: Some(thread) })
    }

    /// A way to say something.
    pub fn words(&self) -> &Words {
        &self.words
    }
}

impl Words {
    /// What nobody hears.
    #[cfg(test)]
    pub fn unheard() -> Self {
        Self(sync_channel(1).0)
    }

    /// Says something.
    pub fn say(&self, sentence: String) {
        let _full = self.0.try_send(Some(sentence));
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let _gone = self.words.0.send(None);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
