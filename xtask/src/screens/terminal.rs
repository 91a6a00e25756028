//! A terminal of a certain size in which a program runs: a tmux server of its own.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Longest that a screen may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The terminal.
pub(super) struct Terminal {
    socket: String,
}

impl Terminal {
    /// Opens one, and runs a command in it.
    pub(super) fn open(directory: &Path, size: (u16, u16), command: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // A server that was told to end may take a while to.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: format!("observer-screens-{}-{number}", std::process::id()) };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let directory = directory.to_string_lossy();
        let command = format!("env -u NO_COLOR LC_ALL=C.UTF-8 {command}");
        terminal.tmux(&[
            "-u",
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-c",
            &directory,
            "-x",
            &columns,
            "-y",
            &rows,
            &command,
        ])?;
        terminal.tmux(&["set-option", "-g", "status", "off"])?;
        terminal.tmux(&["resize-window", "-x", &columns, "-y", &rows])?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(arguments).env_remove("TMUX");
        let output = command.output().context("tmux does not start")?;
        if !output.status.success() {
            bail!("tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Presses a key, as tmux calls it.
    pub(super) fn press(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// What is on the screen, with its colours.
    pub(super) fn painted(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until words are on the screen.
    pub(super) fn shows(&self, words: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.tmux(&["capture-pane", "-p"])?;
            if screen.contains(words) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("there is no {words:?} on the screen:\n{screen}");
            }
            thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.tmux(&["kill-server"]);
    }
}
