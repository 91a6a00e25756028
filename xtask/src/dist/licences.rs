//! The licences of what is in the program, with their texts, for people.
//!
//! Crates bring theirs. Those of the C library and of the compiler's are in `deploy/licences`, so that what is given
//! away does not depend on what a machine has of them; that of Rust's own library comes with its compiler.

mod library;
mod texts;

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

use self::texts::Texts;
use super::{contents::Crate, files, sbom::Part};
use crate::{compiler::Compiler, workspace::Workspace};

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

/// Texts in `deploy/licences`, and whose they are.
const OF_PARTS: [(&str, &str); 4] = [
    ("LGPL-2.1.txt", "glibc: GNU Lesser General Public License 2.1"),
    ("glibc-notices.txt", "glibc: notices of its parts"),
    ("GPL-3.0.txt", "libgcc: GNU General Public License 3"),
    ("GCC-exception-3.1.txt", "libgcc: exception to the GNU General Public License"),
];

/// The page.
///
/// # Errors
///
/// Names a crate whose licence nobody has looked at, and a text that is not there.
pub(super) fn text(
    workspace: &Workspace,
    compiler: &Compiler,
    crates: &[Crate],
    parts: &[Part],
) -> Result<String> {
    let mut page = "observer is one file that other people's work is linked into. This names it, and has the texts of \
                    its licences.\n\n"
        .to_owned();
    for (name, version, licence) in parts {
        writeln!(page, "{name} {version}: {licence}")?;
    }
    page.push_str(
        "\nglibc is linked statically. Its licence lets you put another version of it in: `cargo xtask dist` builds \
         observer from its source, of the commit that BUILDINFO and `observer --version` name, with the C library of \
         your machine. libgcc's exception lets what GCC makes be given away under any licence.\n\n",
    );
    let theirs: Vec<_> = crates.iter().filter(|one| !one.is_ours()).collect();
    for one in &theirs {
        writeln!(page, "{} {}: {}", one.name, one.version, allowed(one)?)?;
    }
    let mut texts = Texts::default();
    let mut without = Vec::new();
    for one in &theirs {
        let found = texts::of(&one.directory)?;
        if found.is_empty() {
            without.push(one.name.clone());
            if !allowed(one)?.contains("Apache-2.0") {
                bail!("{} comes without the text of its licence: look at it", one.reference());
            }
        }
        found.into_iter().for_each(|text| texts.add(&one.name, text));
    }
    let own = |name: &str| -> Result<String> {
        let bytes = files::read(&workspace.root().join(name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    for name in without {
        texts.add(
            &format!("{name} (it comes without one; taken under Apache-2.0)"),
            own("LICENSE-APACHE")?,
        );
    }
    for (name, text) in library::notices(&compiler.library_notices(workspace)?)? {
        texts.add(&name, text);
    }
    for (file, whose) in OF_PARTS {
        texts.add(whose, own(&format!("deploy/licences/{file}"))?);
    }
    texts.write(&mut page)?;
    Ok(page)
}

/// A crate's licence, where it may be given away.
fn allowed(one: &Crate) -> Result<&str> {
    let licence = one.licence.as_deref();
    let licence = licence.with_context(|| format!("{} names no licence", one.reference()))?;
    if !is_allowed(licence) {
        bail!("{} has the licence {licence}: look at it, and at ALLOWED", one.reference());
    }
    Ok(licence)
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

    #[test]
    fn texts_of_what_is_no_crate_are_whole() {
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/licences");
        let ends = ["That's all there is to it!", "<http", "why-not-lgpl.html", "license of GCC."];
        for ((file, _), end) in OF_PARTS.iter().zip(ends) {
            let text = std::fs::read_to_string(place.join(file)).expect(file);
            let last = text.lines().rev().take(3).collect::<String>();
            assert!(last.contains(end), "{file} ends with {last}");
        }
    }
}
