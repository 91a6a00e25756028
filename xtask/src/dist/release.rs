//! A release: whether this is one, and its text, which is the section of CHANGELOG.md of its version. Pure.

use anyhow::{Context as _, Result, bail};

use super::source::Source;

/// The text of the release that a tag names.
///
/// # Errors
///
/// Says why it is none: another version, files that no commit has, nothing in CHANGELOG.md.
pub(super) fn text(tag: &str, source: &Source, changelog: &str) -> Result<String> {
    let version = &source.version;
    if tag.strip_prefix('v') != Some(version) {
        bail!("the tag {tag} is not that of version {version} in Cargo.toml, which is v{version}");
    }
    if let Some(complaint) = source.complaint() {
        bail!("{complaint}");
    }
    section(changelog, version)
        .with_context(|| format!("CHANGELOG.md has nothing under a heading `## {version}`"))
}

/// What is under a version's heading, which may have a date behind it. Lines that go on from the one before are joined
/// with it: forges break lines where a release's text does.
fn section(changelog: &str, version: &str) -> Option<String> {
    let is_heading = |line: &str| {
        let rest = line.strip_prefix("## ").and_then(|rest| rest.strip_prefix(version));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let lines = changelog.lines().skip_while(|line| !is_heading(line)).skip(1);
    let mut text: Vec<String> = Vec::new();
    let mut code = false;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        let fence = line.trim_start().starts_with("```");
        let begins = line.trim().is_empty()
            || line.starts_with('#')
            || ["- ", "* ", "| "].iter().any(|mark| line.trim_start().starts_with(mark));
        match text.last_mut() {
            Some(last)
                if !(code || fence || begins || last.is_empty() || last.ends_with("```")) =>
            {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            _ => text.push(line.trim_end().to_owned()),
        }
        code ^= fence;
    }
    let text = text.join("\n").trim().to_owned();
    (!text.is_empty()).then(|| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\n- Later.\n\n## 1.2.0 (2026-01-02)\n\nThe second\nversion.\n\n\
                             - One that goes\n  on.\n- `x`:\n\n  ```\n  a\n  b\n  ```\n\n### Also\n\n| a |\n| - |\n\n\
                             ## 1.2\n\n- Another.\n\n## 1.1.0\n\n";

    fn source(version: &str, commit: &str) -> Source {
        Source {
            version: version.into(),
            commit: commit.into(),
            time: 1,
            kernel_side: String::new(),
            homepage: None,
        }
    }

    #[test]
    fn the_section_of_a_version_is_its_text() {
        let text = text("v1.2.0", &source("1.2.0", "abc"), CHANGELOG).expect("a release");
        assert_eq!(
            text,
            "The second version.\n\n- One that goes on.\n- `x`:\n\n  ```\n  a\n  b\n  ```\n\n### Also\n\n| a |\n| - |\n"
        );
    }

    #[test]
    fn what_is_no_release_is_refused() {
        let refused = |tag: &str, version: &str, commit: &str| {
            text(tag, &source(version, commit), CHANGELOG).expect_err("no release").to_string()
        };
        assert!(refused("v1.2.1", "1.2.0", "abc").contains("v1.2.0"));
        assert!(refused("1.2.0", "1.2.0", "abc").contains("v1.2.0"));
        assert!(refused("v1.2.0", "1.2.0", "abc-dirty").contains("abc-dirty"));
        assert!(refused("v1.3.0", "1.3.0", "abc").contains("`## 1.3.0`"));
        assert!(refused("v1.1.0", "1.1.0", "abc").contains("`## 1.1.0`"), "it is empty");
    }
}
