//! Screens as text in pages: each block of code after a line such as `<!-- screen herd -->` is the file
//! `docs/screens/herd.txt`; with the word `short` without the legend at its end.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{paths, workspace::Workspace};

/// What the legend of a table begins with.
const LEGEND: &str = "\nWAKEUPS = ";

/// Puts the screens into all pages; says which were changed, or would be where it may not write.
pub(crate) fn renew(workspace: &Workspace, write: bool) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for page in paths::pages(workspace)? {
        let before = fs::read_to_string(&page)?;
        let after = renewed(&before, |name| {
            let file = workspace.root().join(format!("docs/screens/{name}.txt"));
            fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))
        });
        let after = after.with_context(|| page.display().to_string())?;
        if after != before {
            stale.push(page.strip_prefix(workspace.root()).unwrap_or(&page).display().to_string());
            if write {
                fs::write(&page, after)?;
            }
        }
    }
    Ok(stale)
}

/// A page with the screens that it names.
fn renewed(page: &str, screen: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut lines = page.lines();
    let mut after = String::new();
    while let Some(line) = lines.next() {
        after.push_str(line);
        after.push('\n');
        let Some(words) =
            line.strip_prefix("<!-- screen ").and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let fence = lines.next().unwrap_or_default();
        if !fence.starts_with("```") || !lines.any(|line| line == "```") {
            bail!("no block of code follows {line}");
        }
        let (name, form) = words.split_once(' ').unwrap_or((words, ""));
        let whole = screen(name)?;
        let text = match form {
            "" => whole.trim_end(),
            "short" => whole.split(LEGEND).next().unwrap_or_default().trim_end(),
            other => bail!("{line}: {other:?} is no form; write `short` or nothing"),
        };
        after.push_str(&format!("{fence}\n{text}\n```\n"));
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::{renew, renewed};
    use crate::workspace::Workspace;

    #[test]
    fn blocks_are_what_the_files_have() {
        let screen = |name: &str| Ok(format!("{name} 1\n\nWAKEUPS = tasks\n"));
        let page = "a\n<!-- screen herd short -->\n```console\nold\n```\nb\n<!-- screen herd -->\n```\n```\n";
        let expected = "a\n<!-- screen herd short -->\n```console\nherd 1\n```\nb\n<!-- screen herd -->\n```\nherd \
                        1\n\nWAKEUPS = tasks\n```\n";
        assert_eq!(renewed(page, screen).expect("a page"), expected);
        assert_eq!(renewed(expected, screen).expect("a page"), expected);
        for wrong in ["<!-- screen herd -->\n\n```\n```\n", "<!-- screen herd long -->\n```\n```\n"]
        {
            assert!(renewed(wrong, screen).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_show_the_screens_that_were_taken() {
        let workspace = Workspace::find().expect("a workspace");
        let stale = renew(&workspace, false).expect("pages");
        assert!(stale.is_empty(), "stale: {stale:?}; renew them with `cargo xtask screens`");
    }
}
