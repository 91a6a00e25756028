//! Where examples stand in pages and in `--help`. Pure.

use anyhow::ensure;

use crate::Outcome;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The page's name.
    pub page: String,
    /// Number of its first line there, from 1.
    pub line: usize,
    /// The command as it stands, lines that go on joined.
    pub command: String,
    /// The exit status that the page shows for it, by `echo $?`.
    pub status: Option<i32>,
}

/// Examples of a page: of blocks of code, all lines where the block is `sh`, those with a prompt where it is `console`;
/// where it has no language, those with a prompt and those that begin as a call of observer or of sudo.
pub fn of_page(page: &str, text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut language = None;
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("```") {
            language = if language.is_some() { None } else { Some(rest) };
            continue;
        }
        let command = match (language, line.strip_prefix("$ ")) {
            (Some("" | "console" | "sh" | "text"), Some(command)) => command,
            (Some("sh"), None) => line,
            (Some(""), None) if is_a_call(line) => line,
            _ => continue,
        };
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        if command == "echo $?" {
            let status = lines.next().and_then(|(line, _)| line.trim().parse().ok());
            if let Some(last) = found.last_mut() {
                last.status = status;
            }
            continue;
        }
        let mut command = command.to_owned();
        while let Some(begun) = command.strip_suffix('\\') {
            let next = lines.next().map_or("", |(line, _)| line.trim());
            command = format!("{}{next}", begun);
        }
        found.push(Example { page: page.to_owned(), line: number, command, status: None });
    }
    found
}

/// Examples of `--help`: lines that are indented and begin as a call of observer.
pub fn of_help(page: &str, text: &str) -> Vec<Example> {
    let calls = text.lines().zip(1..).filter(|(line, _)| {
        // Lines of usage are further in.
        line.starts_with("  ") && !line.starts_with("   ")
    });
    let calls = calls.map(|(line, number)| (line.trim(), number));
    calls
        .filter(|(line, _)| is_a_call(line))
        .map(|(line, number)| Example {
            page: page.to_owned(),
            line: number,
            command: line.to_owned(),
            status: None,
        })
        .collect()
}

/// Whether a line is a call and no output, which begins with the name and the version, or with the name and a colon.
fn is_a_call(line: &str) -> bool {
    let call = line.strip_prefix("sudo ").unwrap_or(line);
    let is_observer = call.strip_prefix("observer").is_some_and(|rest| {
        let word = rest.trim_start();
        rest.is_empty()
            || (rest.starts_with(' ') && !word.starts_with(|one: char| one.is_ascii_digit()))
    });
    is_observer || line.starts_with("sudo ")
}

/// That examples are found, and that what only looks like one is none.
pub fn check() -> Outcome {
    let page = "text\n    observer in prose\n```console\n$ sudo observer check -- x\nobserver: failed\n$ echo $?\n3\n\
                output\n```\n```sh\n# a remark\nmake \\\n  all\n```\n```yaml\nobserver: 1\n```\n```\nobserver 0.1.0 · 3\nsudo \
                observer top\nobserver\n```\n";
    let found: Vec<_> =
        of_page("p", page).into_iter().map(|one| (one.line, one.command, one.status)).collect();
    let expected = [
        (4, "sudo observer check -- x", Some(3)),
        (12, "make all", None),
        (20, "sudo observer top", None),
        (21, "observer", None),
    ];
    let expected = expected.map(|(line, command, status)| (line, command.to_owned(), status));
    ensure!(found == expected, "{found:?}");
    let help = "Usage: observer check\n       observer <COMMAND>\n\nExamples:\n  observer check -- ./server\n  and words\n";
    let found: Vec<_> = of_help("h", help).into_iter().map(|one| one.command).collect();
    ensure!(found == ["observer check -- ./server"], "{found:?}");
    Ok(())
}
