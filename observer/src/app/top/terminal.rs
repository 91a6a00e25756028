//! The terminal: taken when the screen begins, and given back as it was at every end of it.

use std::{
    env,
    io::{self, IsTerminal as _},
    mem::ManuallyDrop,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result};
use crossterm::{
    clipboard::CopyToClipboard,
    cursor::Show,
    event::{DisableMouseCapture, EnableMouseCapture},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use nix::sys::signal::{Signal, raise};
use ratatui::{Frame, backend::CrosstermBackend};

use super::{panics, sixteen::Sixteen};
use crate::app::output::{self, Stream};

/// Whether the terminal is taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken; it is given back when this is dropped, and when the program panics.
pub struct Screen {
    /// Never dropped: it would show the cursor once more, and tell standard error that it could not, which a terminal
    /// that takes nothing keeps for ever.
    terminal: ManuallyDrop<ratatui::Terminal<CrosstermBackend<Sixteen<Stream>>>>,
    mouse: bool,
}

/// Why nothing can be drawn here, in a sentence that says what else there is.
pub fn unfit() -> Option<String> {
    const ELSE: &str = "run plain `observer`, which prints a table";
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Some(format!("`observer top` needs a terminal for its screen and keys; {ELSE}"));
    }
    let name = env::var("TERM").unwrap_or_default();
    if name.is_empty() || name == "dumb" {
        return Some(format!("this terminal cannot be drawn upon (TERM is {name:?}); {ELSE}"));
    }
    None
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn take(mouse: bool) -> Result<Self> {
        panics::give_back_first(leave);
        let backend = CrosstermBackend::new(Sixteen::new(output::stream()?));
        // What was taken of it before something failed is given back.
        enter(mouse).inspect_err(|_| leave()).context("cannot take the terminal")?;
        let terminal = ratatui::Terminal::new(backend).inspect_err(|_| leave())?;
        Ok(Self { terminal: ManuallyDrop::new(terminal), mouse })
    }

    /// Draws a frame.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // After a panic elsewhere it is somebody else's.
        if TAKEN.load(Ordering::SeqCst) {
            self.terminal.draw(draw)?;
        }
        Ok(())
    }

    /// Has the next frame drawn as a whole.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn forget(&mut self) -> io::Result<()> {
        // Not its `clear`, which asks the terminal where the cursor is and waits for an answer that the thread reads
        // which reads keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Takes the mouse, or leaves it to the terminal.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn mouse(&mut self, mouse: bool) -> io::Result<()> {
        self.mouse = mouse;
        match mouse {
            true => execute!(out()?, EnableMouseCapture),
            false => execute!(out()?, DisableMouseCapture),
        }
    }

    /// Text to the clipboard of whoever sits before the terminal, through SSH too (OSC 52).
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(out()?, CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal to the shell, stops, and takes it again when the shell lets this go on.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        leave();
        // Not SIGTSTP, which this program takes for the wish to get here. The shell sees the same of both.
        raise(Signal::SIGSTOP)?;
        enter(self.mouse)?;
        self.forget()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Where the terminal's own commands go.
fn out() -> io::Result<Stream> {
    output::stream().map_err(io::Error::other)
}

fn enter(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(out()?, EnterAlternateScreen)?;
    if mouse {
        execute!(out()?, EnableMouseCapture)?;
    }
    Ok(())
}

/// Gives it back, once. What cannot be written any more is a terminal that is gone.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        if let Ok(mut out) = out() {
            let _gone = execute!(out, DisableMouseCapture, LeaveAlternateScreen, Show);
        }
        let _gone = disable_raw_mode();
    }
}
