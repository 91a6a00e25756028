//! What pages point to: source files that they name, and links to pages and headings. Each must be there, so that a
//! page is mended with what it is about. The index of docs has each page once.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

/// Folders that a page may leave out of a path.
const ROOTS: [&str; 2] = ["", "observer/src"];

/// The index of docs.
const INDEX: &str = "docs/README.md";

/// All pages: README, the guide for contributors, and docs.
pub(crate) fn pages(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let root = workspace.root();
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let docs = root.join("docs");
    for entry in fs::read_dir(&docs).with_context(|| format!("cannot read {}", docs.display()))? {
        let page = entry?.path();
        if page.extension().is_some_and(|extension| extension == "md") {
            pages.push(page);
        }
    }
    pages.sort();
    Ok(pages)
}

/// One sentence for each thing that a page points to and that is not there, and for each page that is not in the index.
pub(crate) fn complaints(workspace: &Workspace) -> Result<Vec<String>> {
    let root = workspace.root();
    let mut complaints = Vec::new();
    for page in pages(workspace)? {
        let text =
            fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let is_there =
            |path: &str| ROOTS.iter().any(|folder| root.join(folder).join(path).exists());
        let missing = named(&text).filter(|path| !is_there(path));
        let shown = page.strip_prefix(root).unwrap_or(&page).display().to_string();
        complaints.extend(missing.map(|path| format!("{shown} names {path}, which is not there")));
        let dead = links(&text).into_iter().filter(|link| !leads(&page, &text, link));
        complaints.extend(dead.map(|link| format!("{shown} links to {link}, which is not there")));
    }
    let index = root.join(INDEX);
    let text = fs::read_to_string(&index).with_context(|| format!("there is no {INDEX}"))?;
    let links = links(&text);
    for page in pages(workspace)? {
        let Some(name) = page.strip_prefix(root.join("docs")).ok().and_then(Path::to_str) else {
            continue;
        };
        let count = links.iter().filter(|link| **link == name).count();
        if page != index && count != 1 {
            complaints.push(format!("{INDEX} links to {name} {count} times; once is right"));
        }
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

/// Lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// Targets of links and pictures in the repository: what stands in round brackets after square ones.
fn links(text: &str) -> Vec<&str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

/// Whether a link of a page leads somewhere: to a file or folder, and to a heading where it names one.
fn leads(page: &Path, text: &str, link: &str) -> bool {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, to)| (path, Some(to)));
    let target = page.parent().unwrap_or(page).join(path);
    let Some(heading) = heading else { return target.exists() };
    if path.is_empty() {
        return anchors(text).contains(heading);
    }
    fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(heading))
}

/// What headings are called in links, as forges make it: small letters, hyphens for blanks, and no other signs.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|one| one.is_alphanumeric() || " -_".contains(*one));
            kept.map(|one| if one == ' ' { '-' } else { one }).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{anchors, complaints, leads, links, named};
    use crate::workspace::Workspace;

    #[test]
    fn paths_of_sources_are_found_and_other_words_are_not() {
        let text = "The `kernel/btf.rs` reads `struct sock`, not `a.rs`, `findings/*.rs` or x/y.rs; `b/c.rs`.";
        assert_eq!(named(text).collect::<Vec<_>>(), ["kernel/btf.rs", "b/c.rs"]);
    }

    #[test]
    fn links_are_found_and_those_to_elsewhere_are_not() {
        let text =
            "[a](b.md) and ![c](d/e.svg \"t\"), [f](https://g.h) [i](#j-k)\n```\n[l](m)\n```\n";
        assert_eq!(links(text), ["b.md", "d/e.svg", "#j-k"]);
    }

    #[test]
    fn headings_are_called_as_forges_call_them() {
        let text = "# A `b` page: C & d\n```\n# no heading\n```\n## e-f_g\n";
        let expected = ["a-b-page-c--d", "e-f_g"].map(str::to_owned);
        assert_eq!(anchors(text), expected.into_iter().collect());
        assert!(leads(Path::new("x.md"), text, "#e-f_g"));
        assert!(!leads(Path::new("x.md"), text, "#no-heading"));
        assert!(!leads(Path::new("x.md"), text, "nowhere.md"));
    }

    #[test]
    fn pages_point_to_what_is_there_and_the_index_has_each() {
        let workspace = Workspace::find().expect("a workspace");
        assert_eq!(complaints(&workspace).expect("pages"), Vec::<String>::new());
    }
}
