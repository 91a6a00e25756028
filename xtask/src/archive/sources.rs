//! The machine's own apt sources, pointed at other suites of the same archive.
//!
//! The address, the components that matter and the keys stay those of the machine, so that apt
//! checks signatures as it always does and this code names no server.

/// One archive address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    uri: String,
    /// Whether it carries the security suites.
    security: bool,
    /// Its `Signed-By`, which may be a path or a key; none means apt's common keyrings.
    signed_by: Option<String>,
}

/// Names that always mean some suite of Debian, beside its code names.
const ALIASES: [&str; 5] = ["oldstable", "sid", "stable", "testing", "unstable"];

/// Reads sources in the one-line format (`/etc/apt/sources.list`).
pub(crate) fn from_lines(text: &str, codename: &str) -> Vec<Source> {
    text.lines().filter_map(|line| from_line(line, codename)).collect()
}

fn from_line(line: &str, codename: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?;
    let mut signed_by = None;
    if let Some(options) = rest.trim_start().strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        rest = after;
    }
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let security = kind(suite, codename)?;
    words.any(|component| component == "main").then(|| Source {
        uri: uri.to_owned(),
        security,
        signed_by,
    })
}

/// Reads sources in the deb822 format (`/etc/apt/sources.list.d/*.sources`).
pub(crate) fn from_deb822(text: &str, codename: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    // Comments may stand within a stanza; they do not end it.
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let field = |name: &str| field(stanza, name);
        let words = |name: &str| -> Vec<String> {
            field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let has = |name: &str, word: &str| words(name).iter().any(|one| one == word);
        if !has("Types", "deb") || !has("Components", "main") || has("Enabled", "no") {
            continue;
        }
        let mut kinds: Vec<_> =
            words("Suites").iter().filter_map(|suite| kind(suite, codename)).collect();
        kinds.dedup();
        for security in kinds {
            sources.extend(words("URIs").into_iter().map(|uri| Source {
                uri,
                security,
                signed_by: field("Signed-By"),
            }));
        }
    }
    sources
}

/// A field's value with its continuation lines, as they are.
fn field(stanza: &[&str], name: &str) -> Option<String> {
    let is_field = |line: &&str| {
        line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
    };
    let start = stanza.iter().position(is_field)?;
    let (_, first) = stanza[start].split_once(':')?;
    let more = stanza[start + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
    Some(std::iter::once(first.trim()).chain(more.copied()).collect::<Vec<_>>().join("\n"))
}

/// Whether a suite is this machine's release itself (false) or its security suite (true); `None`
/// for all others, whose archives may be anybody's.
fn kind(suite: &str, codename: &str) -> Option<bool> {
    let (base, security) = match suite.strip_suffix("-security") {
        Some(base) => (base, true),
        None => (suite, false),
    };
    (base == codename || ALIASES.contains(&base)).then_some(security)
}

/// Sources in deb822 format with another suite, for this architecture; `None` where none of them
/// carries it.
pub(crate) fn for_suite(sources: &[Source], suite: &str, architecture: &str) -> Option<String> {
    let security = suite.ends_with("-security");
    let mut stanzas: Vec<String> = Vec::new();
    for source in sources.iter().filter(|source| source.security == security) {
        let mut stanza = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n\
             Architectures: {architecture}\n",
            source.uri
        );
        if let Some(keys) = &source.signed_by {
            stanza.push_str(&format!("Signed-By: {keys}\n"));
        }
        if !stanzas.contains(&stanza) {
            stanzas.push(stanza);
        }
    }
    (!stanzas.is_empty()).then(|| stanzas.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
        # deb http://old.example/debian bookworm main\n\
        deb [ arch=amd64 signed-by=/keys/debian.gpg ] http://mirror.example/debian bookworm main contrib\n\
        deb http://mirror.example/debian bookworm-updates main\n\
        deb-src http://mirror.example/debian bookworm main\n\
        deb http://mirror.example/security bookworm-security main # fixes\n\
        deb http://other.example/apt bookworm stable\n";

    const DEB822: &str = "\
        Types: deb deb-src\n\
        # A comment within.\n\
        URIs: http://mirror.example/debian\n\
        Suites: bookworm bookworm-updates\n\
        Components: main\n\
        Signed-By: /keys/debian.gpg\n\
        \n\
        Types: deb\n\
        URIs: http://mirror.example/security\n\
        Suites: bookworm-security\n\
        Components: main\n\
        \n\
        Types: deb\n\
        Enabled: no\n\
        URIs: http://off.example/debian\n\
        Suites: bookworm\n\
        Components: main\n\
        \n\
        Types: deb\n\
        URIs: http://node.example/\n\
        Suites: nodistro\n\
        Components: main\n";

    fn source(uri: &str, security: bool, signed_by: Option<&str>) -> Source {
        Source { uri: uri.to_owned(), security, signed_by: signed_by.map(str::to_owned) }
    }

    #[test]
    fn both_formats_tell_the_same() {
        let expected = [
            source("http://mirror.example/debian", false, Some("/keys/debian.gpg")),
            source("http://mirror.example/security", true, None),
        ];
        assert_eq!(from_lines(LINES, "bookworm"), expected);
        assert_eq!(from_deb822(DEB822, "bookworm"), expected);
    }

    #[test]
    fn another_release_is_not_this_machines() {
        assert_eq!(from_lines(LINES, "trixie"), []);
        assert_eq!(from_deb822(DEB822, "trixie"), []);
        assert_eq!(from_lines("deb http://a.example sid main", "forky").len(), 1);
    }

    #[test]
    fn the_suite_is_rewritten_and_the_keys_stay() {
        let sources = from_deb822(DEB822, "bookworm");
        let text = for_suite(&sources, "trixie-backports", "arm64").expect("a source");
        assert!(text.contains("URIs: http://mirror.example/debian\nSuites: trixie-backports\n"));
        assert!(text.contains("Signed-By: /keys/debian.gpg\n"));
        assert!(text.contains("Architectures: arm64\n"));
        assert!(!text.contains("security"));
        let text = for_suite(&sources, "trixie-security", "amd64").expect("a source");
        assert!(text.contains("URIs: http://mirror.example/security\n"));
        assert!(!text.contains("Signed-By"));
        assert_eq!(for_suite(&[], "sid", "amd64"), None);
    }

    #[test]
    fn a_key_written_out_is_kept_whole() {
        let text = "Types: deb\nURIs: http://a.example\nSuites: sid\nComponents: main\n\
                    Signed-By:\n -----BEGIN-----\n .\n abc\n -----END-----\n";
        let rewritten = for_suite(&from_deb822(text, "sid"), "sid", "amd64").expect("a source");
        assert!(rewritten.contains("Signed-By: \n -----BEGIN-----\n .\n abc\n -----END-----\n"));
    }
}
