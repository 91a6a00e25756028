//! The file of `--web-config`, in the form that Prometheus exporters take (exporter-toolkit): users with passwords, and
//! certificate and key. What else that form knows is refused rather than left out, since it makes a server stricter.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use yaml_rust2::{Yaml, YamlLoader};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// Hashes of passwords, by user.
    pub users: BTreeMap<String, String>,
    /// Certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Reads it. Paths in it are relative to the directory that it is in.
///
/// # Errors
///
/// What is wrong with it, in words that go on "FILE: ".
pub fn parse(text: &str, directory: &Path) -> Result<WebConfig, String> {
    let documents =
        YamlLoader::load_from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
    let mut config = WebConfig::default();
    let Some(document) = documents.first().filter(|one| !one.is_null()) else { return Ok(config) };
    for (key, value) in map(document, "the file")? {
        match key {
            "basic_auth_users" => {
                for (user, hash) in map(value, key)? {
                    let hash = string(hash, user)?;
                    bcrypt::verify("", hash).map_err(|_| {
                        format!("what {user} has is no bcrypt hash; make one with: htpasswd -nBC 10 {user}")
                    })?;
                    config.users.insert(user.to_owned(), hash.to_owned());
                }
            }
            "tls_server_config" => config.tls = Some(tls(value, directory)?),
            // Headers and HTTP/2 make nothing stricter.
            "http_server_config" => {}
            other => return Err(unknown(other)),
        }
    }
    Ok(config)
}

fn tls(value: &Yaml, directory: &Path) -> Result<(PathBuf, PathBuf), String> {
    let (mut certificate, mut key_file) = (None, None);
    for (key, value) in map(value, "tls_server_config")? {
        match key {
            "cert_file" => certificate = Some(directory.join(string(value, key)?)),
            "key_file" => key_file = Some(directory.join(string(value, key)?)),
            // TLS 1.2 is the least that there is here.
            "min_version" if ["TLS10", "TLS11", "TLS12"].contains(&string(value, key)?) => {}
            other => return Err(unknown(other)),
        }
    }
    certificate
        .zip(key_file)
        .ok_or_else(|| "tls_server_config needs cert_file and key_file".to_owned())
}

fn unknown(key: &str) -> String {
    format!("{key} is not supported; remove it, or put a proxy in front that does it")
}

fn map<'a>(value: &'a Yaml, of: &str) -> Result<Vec<(&'a str, &'a Yaml)>, String> {
    let wrong = || format!("{of} must be a list of names with values");
    let hash = value.as_hash().ok_or_else(wrong)?;
    hash.iter().map(|(key, value)| Ok((key.as_str().ok_or_else(wrong)?, value))).collect()
}

fn string<'a>(value: &'a Yaml, of: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{of} must be text"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{WebConfig, parse};

    fn of(text: &str) -> Result<WebConfig, String> {
        parse(text, Path::new("/etc/observer"))
    }

    #[test]
    fn users_and_certificate_are_read() {
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        let text = format!(
            "# a comment\ntls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n\
             basic_auth_users:\n  alice: {hash}\n  bob: '{hash}'\n"
        );
        let config = of(&text).expect("a file");
        assert_eq!(config.users.keys().collect::<Vec<_>>(), ["alice", "bob"]);
        let (certificate, key) = config.tls.expect("a certificate");
        assert_eq!(certificate, Path::new("/etc/observer/server.crt"));
        assert_eq!(key, Path::new("/keys/server.key"));
        assert_eq!(of(""), Ok(WebConfig::default()));
    }

    #[test]
    fn what_would_be_less_strict_is_refused() {
        for (text, words) in [
            ("basic_auth_users:\n  alice: secret\n", "no bcrypt hash"),
            ("basic_auth_users: alice\n", "basic_auth_users must be"),
            ("tls_server_config:\n  cert_file: a\n", "needs cert_file and key_file"),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c\n",
                "client_ca_file is not",
            ),
            ("tls_server_config:\n  min_version: TLS13\n", "min_version is not"),
            ("rate_limit:\n  burst: 1\n", "rate_limit is not"),
            ("- a\n", "the file must be"),
            ("a: [", "no YAML"),
            ("basic_auth_users:\n  1: 2\n", "must be"),
        ] {
            let error = of(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
