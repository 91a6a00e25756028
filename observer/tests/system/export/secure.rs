//! Certificate and users, as curl sees them.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};

use super::running::Exporter;
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![Test::new("export::tls_and_users_are_asked_for", Need::Also(lacks), secure)]
}

fn lacks() -> Option<String> {
    let missing = ["curl", "openssl"].into_iter().find(|name| {
        !["/usr/bin", "/bin"].iter().any(|place| Path::new(place).join(name).exists())
    })?;
    Some(format!("{missing} is not installed"))
}

pub(super) fn certificate(directory: &Path) -> Outcome {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(directory).args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    openssl.args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    openssl.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.crt",
    ]);
    let output = openssl.output()?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Status of what curl got; `None` where it got no answer.
pub(super) fn curl(
    exporter: &Exporter,
    directory: &Path,
    path: &str,
    arguments: &[&str],
) -> anyhow::Result<Option<String>> {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "--max-time",
        "60",
    ]);
    curl.args(["--resolve", &format!("localhost:{}:127.0.0.1", exporter.port)]);
    curl.arg("--cacert").arg(directory.join("server.crt")).args(arguments);
    curl.arg(format!("https://localhost:{}{path}", exporter.port));
    let output = curl.output().context("curl does not start")?;
    let status = String::from_utf8(output.stdout)?;
    Ok(output.status.success().then_some(status))
}

fn secure() -> Outcome {
    let place = tempfile::tempdir()?;
    certificate(place.path())?;
    let config = place.path().join("web.yml");
    // Paths in it are relative to it.
    let hash = bcrypt::hash("secret", 4)?;
    let text = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  prometheus: {hash}\n"
    );
    fs::write(&config, text)?;
    let config = config.to_str().context("a path")?;
    let exporter = Exporter::start_secure(&["--port", "1", "--web-config", config])?;
    let is = |path: &str, arguments: &[&str], expected: Option<&str>| {
        let status = curl(&exporter, place.path(), path, arguments)?;
        ensure!(status.as_deref() == expected, "{path} {arguments:?}: {status:?}");
        Ok(())
    };
    is("/metrics", &["--user", "prometheus:secret"], Some("200"))?;
    is("/metrics", &["--user", "prometheus:secret", "--tlsv1.3"], Some("200"))?;
    is("/metrics", &["--user", "prometheus:Secret"], Some("401"))?;
    is("/metrics", &["--user", "nobody:secret"], Some("401"))?;
    is("/metrics", &[], Some("401"))?;
    // Whoever asks whether it lives has no password.
    is("/healthz", &[], Some("200"))?;
    // An old version of TLS, and none at all.
    is("/healthz", &["--tls-max", "1.1"], None)?;
    ensure!(exporter.get("/healthz", &[]).is_err(), "it answers without TLS");
    // Certificate and key by their own flags, without users.
    exporter.end()?;
    let (certificate, key) = (place.path().join("server.crt"), place.path().join("server.key"));
    let paths = [certificate.to_str().context("a path")?, key.to_str().context("a path")?];
    let exporter =
        Exporter::start_secure(&["--port", "1", "--tls-cert", paths[0], "--tls-key", paths[1]])?;
    let status = curl(&exporter, place.path(), "/metrics", &[])?;
    ensure!(status.as_deref() == Some("200"), "{status:?}");
    exporter.end()
}
