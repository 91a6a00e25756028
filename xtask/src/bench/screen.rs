//! What the whole screen costs beside the live table: the same idle listeners, a redraw a second, in a terminal of its
//! own that takes everything, by turns.

use std::{
    fs::File,
    io::Read as _,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    pty::{Winsize, openpty},
    unistd::Pid,
};

use super::{
    figure::{Figure, Need},
    stats::median,
    told::role,
    tool::{Ready, Tool},
    userspace::cpu,
};

/// Listeners that only wait.
const LISTENERS: &str = "1000";

/// Rounds, in each of which both are shown once, and the time of each.
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(20);

/// Time in which each attaches and draws its first frames.
const SETTLE: Duration = Duration::from_secs(6);

/// Size of the terminal.
const SIZE: Winsize = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };

/// Target: part of one CPU, in percent.
const TARGET: f64 = 1.5;

/// Measures both.
pub(super) fn measure(observer: &str) -> Result<Vec<Figure>> {
    let holder = Tool::start(role(&["idle", "--listeners", LISTENERS])?, Ready::Says("{"))?;
    let (mut tables, mut screens, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("screen: round {round} of {ROUNDS}");
        let table = busy(observer, &[])?;
        let screen = busy(observer, &["top"])?;
        times.push(screen / table);
        tables.push(table);
        screens.push(screen);
    }
    holder.end()?;
    let need = |what: &str, values: &[f64], unit: &str, target| -> Result<Figure> {
        let what = format!("{LISTENERS} listeners, {what}");
        let value = median(values).context("no round")?;
        Ok(Figure::Need(Need { what, value, unit: unit.to_owned(), target }))
    };
    Ok(vec![
        need("live table of 200x50: CPU", &tables, "% of one", None)?,
        need("observer top of 200x50: CPU", &screens, "% of one", Some(TARGET))?,
        need("observer top beside the live table: CPU", &times, "times", None)?,
    ])
}

/// Part of one CPU that observer takes in a terminal, in percent.
fn busy(observer: &str, arguments: &[&str]) -> Result<f64> {
    let mut shown = Shown::start(observer, arguments)?;
    thread::sleep(SETTLE);
    let (began, before) = (Instant::now(), cpu(shown.pid()?)?);
    thread::sleep(WINDOW);
    let (took, used) = (began.elapsed(), cpu(shown.pid()?)?.saturating_sub(before));
    if let Some(status) = shown.0.try_wait()? {
        bail!("`observer {}` ended ({status}): is this root?", arguments.join(" "));
    }
    Ok(100.0 * used.as_secs_f64() / took.as_secs_f64())
}

/// Observer in a terminal.
struct Shown(Child);

impl Shown {
    fn start(observer: &str, arguments: &[&str]) -> Result<Self> {
        let pty = openpty(&SIZE, None).context("there is no terminal")?;
        let mut command = Command::new(observer);
        command.args(arguments).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.stdin(pty.slave.try_clone()?).stdout(pty.slave.try_clone()?).stderr(pty.slave);
        let child = command.spawn().context("observer does not start")?;
        let mut terminal = File::from(pty.master);
        // Not joined: it ends with the last that writes there.
        thread::spawn(move || {
            let mut frame = vec![0; 64 * 1024];
            while terminal.read(&mut frame).is_ok_and(|count| count > 0) {}
        });
        Ok(Self(child))
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.0.id()).context("a process id out of range")?))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Its programs go with it.
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<_> = self.0.wait();
    }
}
