//! The licences of what is in the program, with their texts, for people.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use anyhow::{Context as _, Result, bail};

use super::{contents::Crate, files, sbom::Part};

/// The licences that may be among what is given away, each compatible with observer's own.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Beginnings of the names of files with licences and notices, in capitals.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];

/// The page.
///
/// # Errors
///
/// Names a crate whose licence nobody has looked at.
pub(super) fn text(crates: &[Crate], parts: &[Part]) -> Result<String> {
    let mut page = "observer is one file that other people's work is linked into. This names it, and has the texts of \
                    its licences.\n\n"
        .to_owned();
    for (name, version, licence) in parts {
        writeln!(page, "{name} {version}: {licence}")?;
    }
    page.push_str(
        "\nglibc is linked statically. Its licence lets you put another version of it in: `cargo xtask dist` builds \
         observer from its source, which is published with each release, with the C library of your machine.\n\n",
    );
    let theirs = || crates.iter().filter(|one| !one.is_ours());
    for one in theirs() {
        let licence = one.licence.as_deref();
        let licence = licence.with_context(|| format!("{} names no licence", one.reference()))?;
        if !is_allowed(licence) {
            bail!("{} has the licence {licence}: look at it, and at ALLOWED", one.reference());
        }
        writeln!(page, "{} {}: {licence}", one.name, one.version)?;
    }
    // One text stands for all crates that have it.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in theirs() {
        for text in texts_of(one)? {
            texts.entry(text).or_default().push(one.name.clone());
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort();
    for (mut names, text) in texts {
        names.dedup();
        let line = "-".repeat(80);
        write!(page, "\n{line}\n{}\n{line}\n\n{text}", names.join(", "))?;
    }
    Ok(page)
}

/// Whether every choice of an SPDX expression may be given away: stricter than needed, as one of those that OR joins
/// would do.
fn is_allowed(expression: &str) -> bool {
    let apart = expression.replace(['(', ')'], " ").replace(" AND ", " OR ");
    let choice = |choice: &str| {
        let licence = choice.trim();
        ALLOWED.contains(&licence) || licence == "LGPL-2.1-or-later" && apart.contains("MIT")
    };
    apart.split(" OR ").all(choice)
}

/// The texts of licences and notices in a crate's source.
fn texts_of(one: &Crate) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let shown = one.directory.display();
    let entries = fs::read_dir(&one.directory).with_context(|| format!("cannot read {shown}"))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if entry.file_type()?.is_file() && NAMES.iter().any(|beginning| name.starts_with(beginning))
        {
            let text = String::from_utf8_lossy(&files::read(&entry.path())?).replace('\r', "");
            texts.push(text.trim_end().to_owned() + "\n");
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_expression_counts() {
        assert!(is_allowed("MIT"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
        assert!(is_allowed("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
        for not in ["GPL-3.0", "MIT AND GPL-2.0-only", "LGPL-2.1-or-later", ""] {
            assert!(!is_allowed(not), "{not}");
        }
    }
}
