//! What stays on the terminal when the screen is gone.

use crate::app::render::{labels, table::order, text};
use observer::{model::Report, units};

/// Most listeners that are named.
const NAMED: usize = 10;

/// How long was watched, and the worst finding of each listener that has one.
pub fn words(total: &Report) -> String {
    let mut found: Vec<_> = total.listeners.iter().filter(|one| !one.findings.is_empty()).collect();
    found.sort_by(|a, b| order::by_trouble(a, b));
    let listeners = total.listeners.len();
    let mut said = format!(
        "observer top watched {listeners} listener{} for {}: ",
        if listeners == 1 { "" } else { "s" },
        units::seconds(total.window.seconds),
    );
    said += &match found.len() {
        0 => "nothing was wrong over the whole of it\n".to_owned(),
        1 => "1 with a finding\n".to_owned(),
        several => format!("{several} with findings\n"),
    };
    for one in found.iter().take(NAMED) {
        if let Some(finding) = one.findings.first() {
            let address = labels::address(one).whole();
            said += &text::clean(&format!("  {address}  {}", finding.summary));
            said.push('\n');
        }
    }
    if let more @ 1.. = found.len().saturating_sub(NAMED) {
        said += &format!("  … {more} more\n");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::words as words_on;
    use crate::app::render::table::fixtures::{herd, incident, report};

    #[test]
    fn the_last_words_say_how_long_and_what() {
        assert_eq!(
            words_on(&report(Vec::new())),
            "observer top watched 0 listeners for 5.0 s: nothing was wrong over the whole of it\n"
        );
        let words = words_on(&herd(32));
        assert!(
            words.starts_with("observer top watched 1 listener for 5.0 s: 1 with a finding\n"),
            "{words}"
        );
        assert!(words.contains("\n  127.0.0.1:8080  thundering herd: "), "{words}");
        assert!(words_on(&incident()).lines().count() > 2);
    }
}
