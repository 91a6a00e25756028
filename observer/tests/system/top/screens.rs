//! What is on the screen, at sizes that people have.

use anyhow::{Context as _, ensure};

use super::{recorded, tmux::Terminal};
use crate::{Need, Outcome, Test};

/// Sizes that people have.
const SIZES: [(u16, u16); 3] = [(80, 24), (200, 50), (60, 15)];

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("top::screens_look_as_before", Need::Nothing, look_as_before),
        Test::new("top::pictures_in_docs_are_of_this_screen", Need::Nothing, pictures),
        Test::new("top::follows_the_size_of_the_window", Need::Nothing, resized),
        Test::new("top::sixteen_colours_or_none", Need::Nothing, colours),
        Test::new("top::names_with_control_characters", Need::Nothing, hostile),
        Test::new("top::a_thousand_listeners", Need::Nothing, thousand),
        Test::new("top::born_and_closed_under_the_cursor", Need::Nothing, born_and_closed),
    ]
}

/// A screen against its picture in `top/snapshots`.
fn looks_as_before(name: &str, screen: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, screen));
}

fn look_as_before() -> Outcome {
    let recording = recorded::real()?;
    for (columns, rows) in SIZES {
        let terminal = Terminal::top((columns, rows), &[], &recording.at_its_end())?;
        let size = format!("{columns}x{rows}");
        looks_as_before(&format!("worst@{size}"), &terminal.screen()?);
        terminal.press("Down", "*:8080  nginx")?;
        looks_as_before(&format!("herd@{size}"), &terminal.screen()?);
        terminal.press("Enter", "Esc back")?;
        looks_as_before(&format!("details@{size}"), &terminal.screen()?);
        terminal.press("Escape", "LISTENER")?;
        terminal.press("t", "~ACC ")?;
        looks_as_before(&format!("totals@{size}"), &terminal.screen()?);
        terminal.press("?", "PgUp PgDn")?;
        looks_as_before(&format!("help@{size}"), &terminal.screen()?);
    }
    Ok(())
}

/// `cargo xtask screens` makes the pictures of the same recording; one that shows another screen is stale.
fn pictures() -> Outcome {
    let picture = include_str!("../../../../docs/screens/top-80x24.svg");
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    let screen = terminal.press("Down", "*:8080  nginx")?;
    let picture = picture.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&");
    for word in screen.split_whitespace().filter(|word| word.len() > 2) {
        // The pictures name the file.
        let is_name = word.ends_with(".ndjson");
        ensure!(
            is_name || picture.contains(word),
            "{word:?} is not in docs/screens: cargo xtask screens"
        );
    }
    Ok(())
}

fn resized() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    let first = terminal.screen()?;
    terminal.resize((200, 50))?;
    terminal.until("a wide screen", |screen| {
        screen.lines().any(|line| line.chars().count() > 150) && screen.contains("WORKERS")
    })?;
    terminal.resize((20, 3))?;
    terminal.shows("enlarge to")?;
    terminal.resize((80, 24))?;
    terminal.until("first screen again", |screen| screen == first)?;
    Ok(())
}

/// The codes between `ESC [` and `m`.
fn codes(painted: &str) -> Vec<String> {
    let parts = painted.split("\u{1b}[").skip(1);
    parts.filter_map(|part| Some(part.split_once('m')?.0.to_owned())).collect()
}

fn colours() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    let painted = terminal.painted()?;
    let all = codes(&painted);
    ensure!(all.iter().any(|code| code.contains("31")), "the worst is not red: {all:?}");
    let many = |code: &String| code.contains("38;") || code.contains("48;");
    ensure!(!all.iter().any(many), "more than sixteen colours: {all:?}");
    let background = |code: &String| {
        code.split(';').any(|one| one.starts_with('4') && one.len() == 2 && one != "49")
    };
    ensure!(!all.iter().any(background), "a background: {all:?}");

    let plain = Terminal::top((80, 24), &[("NO_COLOR", "1")], &recording.at_its_end())?;
    let codes = codes(&plain.painted()?);
    let colour = |code: &String| {
        code.split(';').any(|one| {
            one.len() == 2 && (one.starts_with('3') && one != "39" || one.starts_with('9'))
        })
    };
    ensure!(!codes.iter().any(colour), "colours in spite of NO_COLOR: {codes:?}");
    // What is worst and what is chosen is seen all the same.
    ensure!(plain.screen()?.contains("!! *:9100"), "no sign");
    ensure!(codes.iter().any(|code| code.split(';').any(|one| one == "7")), "nothing reversed");

    let dumb = Terminal::open((80, 24), &[("TERM", "dumb")])?;
    dumb.line(&format!("{} top; echo status $?", crate::observer::program().display()))?;
    let screen = dumb.shows("status 2")?;
    ensure!(screen.contains("TERM is") && screen.contains("run plain"), "{screen}");
    Ok(())
}

fn hostile() -> Outcome {
    let recording = recorded::hostile()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    terminal.press("Enter", "Esc back")?;
    let screen = terminal.screen()?;
    // The name is on the screen, and did none of what it says.
    ensure!(screen.contains("?[2J?]0;x??"), "{screen}");
    ensure!(screen.lines().next().is_some_and(|line| line.contains("listeners")), "{screen}");
    ensure!(screen.lines().count() == 24, "{screen}");
    Ok(())
}

fn thousand() -> Outcome {
    let recording = recorded::many(1_000)?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    let screen = terminal.screen()?;
    ensure!(screen.contains("1000 listeners") && screen.contains(":10999"), "{screen}");
    terminal.press("End", ":10000 ")?;
    terminal.press("Home", ":10999 ")?;
    terminal.keys(&["/"])?;
    terminal.types("10500")?;
    let screen = terminal.shows("· 1 of 1000 rows")?;
    ensure!(screen.contains(":10500 "), "{screen}");
    Ok(())
}

fn born_and_closed() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.before_its_begin())?;
    terminal.press("Space", "PAUSED")?;
    // The first three reports do not have it.
    for seconds in ["1.1 s", "1.0 s", "996 ms"] {
        terminal.press("Right", &format!("rates over {seconds}"))?;
    }
    terminal.keys(&["/"])?;
    terminal.types("9200")?;
    terminal.shows("none of 99 rows")?;
    terminal.keys(&["Enter"])?;
    let screen = terminal.press("Right", "127.0.0.1:9200")?;
    ensure!(screen.contains("1 of 100 rows") && !screen.contains("closed"), "{screen}");
    terminal.keys(&["Escape"])?;
    terminal.shows("*:8080")?;
    // It stands below the three that accept.
    terminal.press("Home", "── *:9100")?;
    for row in ["*:8080", "*:9000", "127.0.0.1:9200"] {
        terminal.press("Down", &format!("── {row}"))?;
    }
    for _ in 0..4 {
        terminal.keys(&["Right"])?;
    }
    let screen = terminal.shows("── 127.0.0.1:9200 closed")?;
    let row =
        screen.lines().find(|line| line.contains("127.0.0.1:9200 closed")).context("its row")?;
    ensure!(row.starts_with("   127.0.0.1:9200 closed"), "{row}");
    Ok(())
}
