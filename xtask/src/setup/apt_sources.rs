//! Where this machine's apt gets Debian from, rewritten to get its sources: pure.
//!
//! No host is named by us: a mirror, a proxy or a snapshot that the administrator chose is used.

/// The archive area that all packages we want are in.
const COMPONENT: &str = "main";

/// A file in the one-line format (`man sources.list`), with only what fetches the main suite's
/// sources; empty where nothing does.
pub(crate) fn from_list(text: &str) -> String {
    text.lines().filter_map(from_line).collect()
}

fn from_line(line: &str) -> Option<String> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"))?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (options, rest) = rest.split_once(']')?;
            (format!("[{}] ", options.trim()), rest)
        }
        None => (String::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let wanted = is_remote(uri) && is_main(suite) && words.any(|word| word == COMPONENT);
    wanted.then(|| format!("deb-src {options}{uri} {suite} {COMPONENT}\n"))
}

/// A file in the deb822 format, with only what fetches the main suite's sources; empty where
/// nothing does.
pub(crate) fn from_deb822(text: &str) -> String {
    // A comment may stand between the lines of one field, so that it goes first.
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .filter_map(from_stanza)
        .collect::<Vec<_>>()
        .join("\n")
}

fn from_stanza(lines: &[&str]) -> Option<String> {
    let fields = fields(lines);
    let words = |name: &str| -> Vec<&str> {
        let field = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.split_whitespace().collect()).unwrap_or_default()
    };
    let off = ["no", "false", "without", "off", "disable", "0"];
    if words("Enabled").iter().any(|word| off.contains(&word.to_ascii_lowercase().as_str()))
        || !words("Types").iter().any(|word| ["deb", "deb-src"].contains(word))
        || !words("Components").contains(&COMPONENT)
    {
        return None;
    }
    let uris: Vec<_> = words("URIs").into_iter().filter(|uri| is_remote(uri)).collect();
    let suites: Vec<_> = words("Suites").into_iter().filter(|suite| is_main(suite)).collect();
    if uris.is_empty() || suites.is_empty() {
        return None;
    }
    let mut stanza = format!(
        "Types: deb-src\nURIs: {}\nSuites: {}\nComponents: {COMPONENT}\n",
        uris.join(" "),
        suites.join(" ")
    );
    // The rest stays as it is: most of all Signed-By, which may be a whole key.
    let ours = ["Types", "URIs", "Suites", "Components"];
    for (key, value) in &fields {
        if !ours.iter().any(|our| key.eq_ignore_ascii_case(our)) {
            stanza.push_str(&format!("{key}:{value}\n"));
        }
    }
    Some(stanza)
}

/// Names and values, the latter with the line breaks that they have.
fn fields<'a>(lines: &[&'a str]) -> Vec<(&'a str, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim(), value.to_owned()));
        }
    }
    fields
}

/// Updates, security and backports have a dash or a slash in their names; without them there is
/// less to fetch, and the version is the one that the release came with.
fn is_main(suite: &str) -> bool {
    !suite.contains(['-', '/'])
}

/// apt would ask for the disc.
fn is_remote(uri: &str) -> bool {
    !uri.starts_with("cdrom:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources_become_source_sources() {
        let text = "# deb http://off.example/debian trixie main\n\
                    deb http://one.example/debian trixie main contrib # the mirror\n\
                    deb\t[ arch=amd64 signed-by=/a.gpg ] http://two.example/debian sid main\n\
                    deb-src http://three.example/debian trixie main\n";
        assert_eq!(
            from_list(text),
            "deb-src http://one.example/debian trixie main\n\
             deb-src [arch=amd64 signed-by=/a.gpg] http://two.example/debian sid main\n\
             deb-src http://three.example/debian trixie main\n"
        );
    }

    #[test]
    fn one_line_sources_without_the_main_suite_go() {
        for line in [
            "",
            "deb",
            "debian is not a type",
            "deb http://one.example/debian trixie",
            "deb http://one.example/debian trixie-updates main",
            "deb http://one.example/debian-security buster/updates main",
            "deb http://one.example/tool trixie stable",
            "deb cdrom:[Debian 13 DVD]/ trixie main",
            "deb [signed-by=/a.gpg http://one.example/debian trixie main",
        ] {
            assert_eq!(from_list(line), "", "{line}");
        }
    }

    const STANZA: &str = "Types: deb deb-src\n\
                          # the mirror\n\
                          URIs: http://one.example/debian\n\
                          Suites: trixie trixie-updates\n\
                          \x20trixie-backports\n\
                          Components: main contrib\n\
                          Signed-By:\n\
                          \x20-----BEGIN PGP PUBLIC KEY BLOCK-----\n\
                          \x20.\n\
                          \x20key\n";

    #[test]
    fn deb822_sources_become_source_sources() {
        let wanted = "Types: deb-src\n\
                      URIs: http://one.example/debian\n\
                      Suites: trixie\n\
                      Components: main\n\
                      Signed-By:\n\
                      \x20-----BEGIN PGP PUBLIC KEY BLOCK-----\n\
                      \x20.\n\
                      \x20key\n";
        assert_eq!(from_deb822(STANZA), wanted);
        assert_eq!(from_deb822(&STANZA.replace("Types", "types")), wanted);
        let two = format!("\n{STANZA}\n \n{STANZA}");
        assert_eq!(from_deb822(&two), format!("{wanted}\n{wanted}"));
    }

    #[test]
    fn deb822_sources_without_the_main_suite_go() {
        for (old, new) in [
            ("Types: deb deb-src", "Types: other"),
            ("Types: deb", "Enabled: no\nTypes: deb"),
            ("Suites: trixie ", "Suites: "),
            ("Components: main", "Components: "),
            ("http:", "cdrom:"),
            ("URIs", "Other"),
        ] {
            assert!(STANZA.contains(old));
            assert_eq!(from_deb822(&STANZA.replace(old, new)), "", "{new}");
        }
        assert!(!from_deb822(&format!("Enabled: yes\n{STANZA}")).is_empty());
    }
}
