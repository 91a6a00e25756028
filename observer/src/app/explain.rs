//! `observer explain`: what a finding means, and what to do about it.

use anstyle::Style;

use observer::findings::explain::{ALL, Explanation};

use crate::app::{
    cli::{ExplainArgs, ExplainFormat},
    render::{
        cell::STRONG,
        line::{Line, hanging, painted},
        terminal::Screen,
    },
};

/// Widest that text is set: longer lines are hard to read.
const WIDEST: usize = 100;

/// Room before commands.
const INDENT: &str = "    ";

const HEAD: &str = "\
# Findings

Made from the texts of `observer explain` by `observer explain --format markdown`; not written by hand.

A finding says what is wrong with a listener, in the table beneath it and in the JSON as `findings`. **critical**
loses clients now, **warning** costs something or will lose clients, **info** is worth knowing.

";

/// What `observer explain` prints.
#[must_use]
pub fn text(args: &ExplainArgs, screen: &Screen) -> String {
    let chosen: Vec<&Explanation> = match &args.finding {
        Some(id) => Explanation::of(id).into_iter().collect(),
        None => ALL.iter().collect(),
    };
    if args.format == ExplainFormat::Markdown {
        return page(&chosen);
    }
    let width = screen.columns().min(WIDEST);
    let lines = match (&args.finding, &chosen[..]) {
        (Some(_), [one]) => lines(one.text, width),
        _ => list(width),
    };
    painted(&lines, width, screen.colour)
}

/// The names of all findings, each with its line.
fn list(width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for one in ALL {
        lines.push(Line::new(one.id.to_owned(), STRONG));
        lines.extend(hanging(&plain(one.line()), "    ", "    ", Style::new(), width));
    }
    lines.push(Line::default());
    let more = "observer explain FINDING says what happens in the kernel, how observer knows, what to do, and \
                how to see that it worked.";
    lines.extend(hanging(more, "", "", Style::new(), width));
    lines
}

/// A text for a terminal: each of its lines is a heading, a paragraph, an item of a list or a command.
fn lines(text: &str, width: usize) -> Vec<Line> {
    let (mut lines, mut is_command) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            is_command = !is_command;
        } else if is_command {
            lines.push(Line::new(format!("{INDENT}{line}"), Style::new()));
        } else if let Some(heading) = line.trim_start_matches('#').strip_prefix(' ')
            && line.starts_with('#')
        {
            lines.push(Line::new(plain(heading), STRONG));
        } else {
            let mark = mark(line);
            let (first, further) = (&line[..mark], " ".repeat(mark));
            lines.extend(hanging(&plain(&line[mark..]), first, &further, Style::new(), width));
        }
    }
    lines
}

/// Bytes of the mark of a list's item (`- `, `12. `); 0 where a line is none.
fn mark(line: &str) -> usize {
    if line.starts_with("- ") {
        return 2;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && line[digits..].starts_with(". ") { digits + 2 } else { 0 }
}

/// A text without marks of code and of emphasis, which a terminal does not show.
fn plain(text: &str) -> String {
    text.replace("**", "").replace('`', "")
}

/// The page in docs/.
fn page(chosen: &[&Explanation]) -> String {
    let mut page = HEAD.to_owned();
    for one in chosen {
        page += &format!("- [{}](#{}): {}\n", one.id, one.id, one.line());
    }
    for one in chosen {
        page.push('\n');
        let mut is_command = false;
        for line in one.text.lines() {
            is_command ^= line.starts_with("```");
            let deeper = if line.starts_with('#') && !is_command { "#" } else { "" };
            page += &format!("{deeper}{line}\n");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: usize) -> Screen {
        Screen { width: Some(width), height: None, colour: false, tty: false }
    }

    fn told(finding: Option<&str>, width: usize) -> String {
        let args = ExplainArgs { finding: finding.map(str::to_owned), format: ExplainFormat::Text };
        text(&args, &screen(width))
    }

    #[test]
    fn the_page_in_docs_is_made_from_the_texts() {
        let stale = "docs/findings.md is stale: \
                     cargo run -p observer -- explain --format markdown > docs/findings.md";
        let args = ExplainArgs { finding: None, format: ExplainFormat::Markdown };
        let page = text(&args, &screen(80));
        assert!(page == include_str!("../../../docs/findings.md"), "{stale}");
    }

    #[test]
    fn every_text_fits_and_no_command_is_cut() {
        for width in [60, 80, 300] {
            for one in ALL {
                let told = told(Some(one.id), width);
                for line in told.lines() {
                    let columns = crate::app::render::text::width(line);
                    assert!(columns <= width.min(WIDEST) && !line.ends_with('…'), "{line}");
                }
                assert!(!told.contains('`') && !told.contains("**"), "{told}");
            }
        }
    }

    #[test]
    fn an_item_hangs_from_its_mark() {
        let text =
            "# a\n\nb.\n\n- one two three four five six seven eight nine\n12. x\n\n```\n# c\n```\n";
        let lines = lines(text, 40);
        let shown: Vec<String> = lines.iter().map(|line| line.paint(40, false)).collect();
        assert_eq!(
            shown,
            [
                "a",
                "",
                "b.",
                "",
                "- one two three four five six seven",
                "  eight nine",
                "12. x",
                "",
                "    # c"
            ]
        );
    }

    #[test]
    fn the_list_names_all() {
        let list = told(None, 60);
        for one in ALL {
            assert!(list.lines().any(|line| line == one.id), "{list}");
        }
        assert!(list.contains("observer explain FINDING"));
    }
}
