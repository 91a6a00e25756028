//! Texts of licences and notices: finding them in a crate's source, and showing each once.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::dist::files;

/// Beginnings of the names of files with licences and notices, in capitals; some have them as ends.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];

/// Ends of the names of files of that name that are something else.
const ELSE: [&str; 4] = [".yml", ".yaml", ".rs", ".toml"];

/// Texts, each with the names of those that it is from.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<String, Vec<String>>);

impl Texts {
    /// Adds a text; one stands for all that have it.
    pub(super) fn add(&mut self, name: &str, text: String) {
        let text = text.replace('\r', "").trim_end().to_owned() + "\n";
        let names = self.0.entry(text).or_default();
        if !names.iter().any(|one| one == name) {
            names.push(name.to_owned());
        }
    }

    /// Writes them, by name.
    pub(super) fn write(self, page: &mut String) -> fmt::Result {
        let mut texts: Vec<_> = self.0.into_iter().map(|(text, names)| (names, text)).collect();
        texts.sort();
        let line = "-".repeat(80);
        texts.into_iter().try_for_each(|(names, text)| {
            write!(page, "\n{line}\n{}\n{line}\n\n{text}", names.join(", "))
        })
    }
}

/// The texts of licences and notices in a crate's source, those of what it has taken in among them.
pub(super) fn of(directory: &Path) -> Result<Vec<String>> {
    let found: Vec<_> = files::below(directory)?.into_iter().filter(|path| is_one(path)).collect();
    // What was taken in can have one for each choice, of which the permissive one is taken: zstd has COPYING beside.
    let chosen = |path: &&PathBuf| {
        let nested = path.components().count() > 1;
        let name = path.file_name().unwrap_or_default();
        !(nested && name == "COPYING" && found.contains(&path.with_file_name("LICENSE")))
    };
    let read = |path: &PathBuf| -> Result<String> {
        Ok(String::from_utf8_lossy(&files::read(&directory.join(path))?).into_owned())
    };
    found.iter().filter(chosen).map(read).collect()
}

fn is_one(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let capitals = name.to_uppercase();
    let named = NAMES
        .iter()
        .any(|part| capitals.starts_with(part) || capitals.ends_with(&format!("-{part}")));
    named && !ELSE.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_text_is_shown_once_for_all_that_have_it() {
        let mut texts = Texts::default();
        texts.add("b", "same\r\n\n".to_owned());
        texts.add("a", "other".to_owned());
        texts.add("c", "same".to_owned());
        texts.add("c", "same".to_owned());
        let mut page = String::new();
        texts.write(&mut page).expect("room");
        let line = "-".repeat(80);
        assert_eq!(page, format!("\n{line}\na\n{line}\n\nother\n\n{line}\nb, c\n{line}\n\nsame\n"));
    }

    #[test]
    fn names_tell_what_is_a_licence() {
        for one in ["LICENSE", "License-MIT", "MIT-LICENSE", "NOTICE.txt", "a/b/LICENSE"] {
            assert!(is_one(Path::new(one)), "{one}");
        }
        for other in [".github/workflows/license.yml", "src/license.rs", "README.md", "licenses/x"]
        {
            assert!(!is_one(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn of_what_was_taken_in_the_permissive_licence_is_told() {
        let root = std::env::temp_dir().join(format!("observer-licences-{}", std::process::id()));
        fs::create_dir_all(root.join("zstd")).expect("a directory");
        for (file, text) in [("COPYING", "own"), ("zstd/LICENSE", "BSD"), ("zstd/COPYING", "GPL")] {
            fs::write(root.join(file), text).expect("a file");
        }
        let found = of(&root);
        fs::remove_dir_all(&root).expect("it was made");
        assert_eq!(found.expect("texts"), ["own", "BSD"]);
    }
}
