//! Source files that the pages name: each must be there, so that a page is mended with what it is about.

use std::fs;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

/// Folders that a page may leave out of a path.
const ROOTS: [&str; 2] = ["", "observer/src"];

/// One sentence for each file that a page names and that is not there.
pub(crate) fn complaints(workspace: &Workspace) -> Result<Vec<String>> {
    let root = workspace.root();
    let mut complaints = Vec::new();
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let docs = root.join("docs");
    for entry in fs::read_dir(&docs).with_context(|| format!("cannot read {}", docs.display()))? {
        let page = entry?.path();
        if page.extension().is_some_and(|extension| extension == "md") {
            pages.push(page);
        }
    }
    pages.sort();
    for page in pages {
        let text =
            fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let is_there =
            |path: &str| ROOTS.iter().any(|folder| root.join(folder).join(path).exists());
        let missing = named(&text).filter(|path| !is_there(path));
        let shown = page.strip_prefix(root).unwrap_or(&page).display().to_string();
        complaints.extend(missing.map(|path| format!("{shown} names {path}, which is not there")));
    }
    Ok(complaints)
}

/// Paths of source files between backticks.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        word.ends_with(".rs")
            && word.contains('/')
            && !word.contains([' ', '*', '<', '{'])
            && !word.contains("NAME")
    })
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn paths_of_sources_are_found_and_other_words_are_not() {
        let text = "The `kernel/btf.rs` reads `struct sock`, not `a.rs`, `findings/*.rs` or x/y.rs; `b/c.rs`.";
        assert_eq!(named(text).collect::<Vec<_>>(), ["kernel/btf.rs", "b/c.rs"]);
    }
}
