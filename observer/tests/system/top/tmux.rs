//! A terminal of this size with a shell in it, in a tmux server of its own.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{Outcome, Skip, observer::program};

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the shell says when it waits for a command.
const PROMPT: &str = "ready>";

/// A terminal.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Opens one of so many columns and rows, in the shell of which these variables are set.
    pub fn open((columns, rows): (u16, u16), variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if Command::new("tmux").arg("-V").output().is_err() {
            return Err(Skip("tmux is not here".to_owned()).into());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: format!("observer-test-{}-{number}", std::process::id()) };
        let mut shell =
            vec!["env".to_owned(), format!("PS1={PROMPT}"), "LC_ALL=C.UTF-8".to_owned()];
        shell.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
        shell.extend(["bash", "--norc", "--noprofile"].map(str::to_owned));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let new = ["-u", "-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows];
        let shell: Vec<&str> = shell.iter().map(String::as_str).collect();
        terminal.tmux(&[&new[..], &shell].concat())?;
        terminal.tmux(&["set-option", "-g", "status", "off"])?;
        terminal.tmux(&["set-option", "-g", "set-clipboard", "on"])?;
        terminal.resize((columns.parse()?, rows.parse()?))?;
        terminal.until("a prompt", |screen| screen.contains(PROMPT))?;
        Ok(terminal)
    }

    /// One in which `observer top` runs, and has drawn something.
    pub fn top(
        size: (u16, u16),
        variables: &[(&str, &str)],
        arguments: &str,
    ) -> anyhow::Result<Self> {
        let terminal = Self::open(size, variables)?;
        terminal.start_top(arguments)?;
        Ok(terminal)
    }

    /// Starts `observer top` in it, and waits for its first screen.
    pub fn start_top(&self, arguments: &str) -> Outcome {
        self.line(&format!("{} top {arguments}", program().display()))?;
        self.until("a first screen", |screen| screen.contains("? help"))?;
        Ok(())
    }

    fn tmux(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("tmux");
        let output =
            command.args(["-L", &self.socket]).args(arguments).env_remove("TMUX").output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "tmux {arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What is on the screen.
    pub fn screen(&self) -> anyhow::Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is on the screen, with its colours.
    pub fn painted(&self) -> anyhow::Result<String> {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Presses keys, as tmux calls them.
    pub fn keys(&self, keys: &[&str]) -> Outcome {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    /// Types text as it is.
    pub fn types(&self, text: &str) -> Outcome {
        self.tmux(&["send-keys", "-l", text]).map(drop)
    }

    /// Types a line for the shell.
    pub fn line(&self, text: &str) -> Outcome {
        self.types(text)?;
        self.keys(&["Enter"])
    }

    /// Gives it another size.
    pub fn resize(&self, (columns, rows): (u16, u16)) -> Outcome {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).map(drop)
    }

    /// The text that came to tmux's clipboard.
    pub fn clipboard(&self) -> anyhow::Result<String> {
        self.tmux(&["show-buffer"])
    }

    /// Waits until the screen is like that, and returns it.
    pub fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen()?;
            if is(&screen) {
                return Ok(screen);
            }
            if Instant::now() > end {
                bail!("there is no {what} on the screen:\n{screen}");
            }
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until these words are on the screen, and returns it.
    pub fn shows(&self, words: &str) -> anyhow::Result<String> {
        self.until(words, |screen| screen.contains(words))
    }

    /// Presses a key and waits for these words.
    pub fn press(&self, key: &str, words: &str) -> anyhow::Result<String> {
        self.keys(&[key])?;
        self.shows(words).with_context(|| format!("after {key}"))
    }

    /// Whether the terminal is as a shell needs it, asked of the terminal itself.
    pub fn is_whole(&self) -> Outcome {
        self.line("clear; stty -a; echo 'mode is told'")?;
        let screen = self.until("end of stty", |screen| {
            screen.lines().any(|line| line.trim_end() == "mode is told")
        })?;
        for mode in ["icanon", "echo", "isig", "icrnl", "opost"] {
            let has = screen.split([' ', ';', '\n']).any(|word| word == mode);
            ensure!(has, "no {mode} in\n{screen}");
        }
        let flags = "#{alternate_on} #{mouse_any_flag} #{mouse_button_flag} #{cursor_flag}";
        let flags = self.tmux(&["display-message", "-p", flags])?;
        ensure!(flags.trim() == "0 0 0 1", "alternate screen, mouse, cursor: {flags}");
        Ok(())
    }

    /// Process id of the shell.
    pub fn shell(&self) -> anyhow::Result<i32> {
        Ok(self.tmux(&["display-message", "-p", "#{pane_pid}"])?.trim().parse()?)
    }

    /// Process id of the tmux server, which is the terminal.
    pub fn server(&self) -> anyhow::Result<i32> {
        Ok(self.tmux(&["display-message", "-p", "#{pid}"])?.trim().parse()?)
    }

    /// Path of its device.
    pub fn tty(&self) -> anyhow::Result<String> {
        Ok(self.tmux(&["display-message", "-p", "#{pane_tty}"])?.trim().to_owned())
    }

    /// Process id of the program that the shell runs.
    pub fn program(&self) -> anyhow::Result<i32> {
        let shell = self.shell()?;
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        children
            .split_whitespace()
            .next()
            .context("the shell runs nothing")?
            .parse()
            .context("a pid")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.tmux(&["kill-server"]);
    }
}
