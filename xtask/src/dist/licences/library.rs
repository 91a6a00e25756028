//! What Rust's own library says of itself: the page that comes with rustup's compiler, or Debian's file of it. Pure,
//! but for reading them.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::dist::files;

/// Whose the page itself is.
const LIBRARY: &str = "Rust standard library";

/// Notices, each with the name of whose it is.
pub(super) fn notices(file: &Path) -> Result<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(&files::read(file)?).into_owned();
    if file.extension().is_none_or(|extension| extension != "html") {
        return Ok(vec![(LIBRARY.to_owned(), text)]);
    }
    let notices = of_page(&text);
    ensure!(notices.len() > 1, "{} is not written as it was", file.display());
    Ok(notices)
}

/// The page's own text, and the text of each crate's files.
fn of_page(page: &str) -> Vec<(String, String)> {
    let mut sections = page.split("<h3>");
    let mut notices = vec![(LIBRARY.to_owned(), plain(sections.next().unwrap_or_default()))];
    for section in sections {
        let Some((heading, rest)) = section.split_once("</h3>") else { continue };
        let name = plain(heading).trim().trim_start_matches('📦').trim().to_owned();
        let texts = rest.split("<pre>").skip(1).filter_map(|rest| rest.split_once("</pre>"));
        let name = format!("{name} (of the {LIBRARY})");
        notices.extend(texts.map(|(text, _)| (name.clone(), plain(text))));
    }
    notices
}

/// Text without marks, and without more than one empty line in a row.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut open = false;
    for letter in html.chars() {
        match letter {
            '<' => open = true,
            '>' if open => open = false,
            other if !open => text.push(other),
            _ => {}
        }
    }
    let marks = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    let text = marks.iter().fold(text, |text, (mark, letter)| text.replace(mark, letter));
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.dedup_by(|later, earlier| later.is_empty() && earlier.is_empty());
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<html><p>Licensed under <b>MIT</b></p>\n\n\n\n<p>&#34;x&#34;</p><h3>📦 a-1.0</h3><pre>\n\
                        (c) A &#38; B &#60;a@b&#62;\n</pre><pre>second</pre>\n<h3>📦 none</h3>";

    #[test]
    fn the_page_is_read_as_a_person_reads_it() {
        let notices = of_page(PAGE);
        let (a, library) = ("a-1.0 (of the Rust standard library)", "Rust standard library");
        let expected =
            [(library, "Licensed under MIT\n\n\"x\""), (a, "(c) A & B <a@b>"), (a, "second")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(notices, expected);
    }
}
