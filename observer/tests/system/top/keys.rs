//! Every key, in a real terminal.

use std::fs;

use anyhow::ensure;

use super::{recorded, tmux::Terminal};
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("top::keys_move_sort_and_filter", Need::Nothing, keys),
        Test::new("top::keys_of_time", Need::Nothing, time),
        Test::new("top::the_fix_is_copied_and_written", Need::Nothing, fix),
        Test::new("top::the_mouse_chooses_and_sorts", Need::Nothing, mouse),
        Test::new("top::a_recording_plays", Need::Nothing, plays),
    ]
}

fn keys() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    terminal.press("j", "── *:8080")?;
    terminal.press("k", "── *:9100")?;
    terminal.press("Down", "── *:8080")?;
    terminal.press("Up", "── *:9100")?;
    terminal.press("G", "── 127.0.0.1:9200 closed")?;
    terminal.press("g", "── *:9100")?;
    terminal.press("PageDown", "── 127.0.0.1:20003")?;
    terminal.press("PageUp", "── *:9100")?;
    terminal.press("End", "── 127.0.0.1:9200 closed")?;
    terminal.press("Home", "── *:9100")?;
    terminal.press("Tab", "back to the list")?;
    terminal.press("Down", "1 above, ")?;
    terminal.press("Tab", "? help  q quit  Enter")?;
    terminal.press("Enter", "Esc back")?;
    terminal.press("Escape", "LISTENER")?;
    terminal.press("t", "totals of 13.1 s")?;
    terminal.press("t", "rates over")?;
    terminal.press(">", "LISTENER▼")?;
    terminal.press("r", "LISTENER▲")?;
    terminal.press(">", "HELD BY▼")?;
    for name in ["HERD▼", "ACC/S▼", "QUEUE▼", "DROP/S▼", "P99▼"] {
        terminal.press(">", name)?;
    }
    terminal.press("<", "DROP/S▼")?;
    terminal.keys(&["/"])?;
    terminal.types("nginx thundering")?;
    terminal.shows("rows with /nginx thundering")?;
    terminal.shows("1 of 100 rows")?;
    terminal.press("Enter", "? help")?;
    terminal.until("all rows", |screen| !screen.contains("9100"))?;
    terminal.press("Escape", "*:9100")?;
    terminal.press("?", "this help")?;
    terminal.press("?", "LISTENER")?;
    terminal.press("m", "the mouse is the terminal's")?;
    terminal.press("m", "the mouse chooses rows")?;
    terminal.keys(&["C-l"])?;
    terminal.press("Space", "PAUSED")?;
    terminal.keys(&["C-c"])?;
    terminal.shows("observer top: 13.1 s were shown")?;
    terminal.is_whole()
}

fn time() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    terminal.press("Left", "PAUSED, 1 s ago")?;
    terminal.press("h", "PAUSED, 2 s ago")?;
    // So far back that the overflow had not begun: the herd is the worst.
    for _ in 0..12 {
        terminal.keys(&["Left"])?;
    }
    let screen = terminal.shows("oldest interval that is kept")?;
    ensure!(screen.lines().nth(2).is_some_and(|line| line.starts_with("!  *:8080")), "{screen}");
    terminal.press("Right", "!! *:9100")?;
    terminal.press("l", "1 s ago").or_else(|_| terminal.shows("PAUSED"))?;
    terminal.press("Space", "end of the recording")?;
    terminal.press("+", "takes 2.0 s now")?;
    terminal.press("-", "takes 1.0 s now")?;
    Ok(())
}

fn fix() -> Outcome {
    let directory = tempfile::tempdir()?;
    let recording = recorded::real()?;
    let terminal = Terminal::open((80, 24), &[])?;
    terminal.line(&format!("cd {}", directory.path().display()))?;
    terminal.start_top(&recording.at_its_end())?;
    terminal.press("Down", "── *:8080")?;
    terminal.press("c", "OSC 52")?;
    let steps = "listen 0.0.0.0:8080 reuseport;";
    let copied = terminal.clipboard()?;
    ensure!(copied.contains("fix: Use epoll") && copied.contains(steps), "{copied}");
    terminal.press("w", "observer-fix-8080.txt")?;
    let written = fs::read_to_string(directory.path().join("observer-fix-8080.txt"))?;
    ensure!(written == copied, "{written}");
    terminal.press("w", "observer-fix-8080-2.txt")?;
    terminal.press("End", "nothing was wrong with it of late")?;
    terminal.press("c", "there is no fix")?;
    Ok(())
}

/// What a terminal sends for the mouse: `ESC [ < button ; column ; row M`, counted from 1.
fn mouse() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    let sends = |button: u32, column: u32, row: u32| {
        terminal.types(&format!("\u{1b}[<{button};{column};{row}M"))
    };
    sends(0, 10, 4)?;
    terminal.shows("── *:8080")?;
    sends(65, 10, 4)?;
    terminal.shows("── *:9000")?;
    sends(64, 10, 4)?;
    terminal.shows("── *:8080")?;
    sends(65, 10, 20)?;
    terminal.shows("3 above, ")?;
    sends(0, 5, 2)?;
    terminal.shows("LISTENER▼")?;
    Ok(())
}

fn plays() -> Outcome {
    let recording = recorded::real()?;
    let path = recording.path();
    let terminal =
        Terminal::top((80, 24), &[], &format!("--replay {} --speed 20", path.display()))?;
    terminal.shows("REPLAY")?;
    terminal.shows("end of the recording")?;
    let missing = Terminal::open((80, 24), &[])?;
    missing.line(&format!(
        "{} top --replay /no/such/file; echo status $?",
        crate::observer::program().display()
    ))?;
    let screen = missing.shows("status 1")?;
    ensure!(screen.contains("there is no file /no/such/file"), "{screen}");
    Ok(())
}
