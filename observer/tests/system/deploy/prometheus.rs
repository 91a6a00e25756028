//! A real Prometheus on loopback, with a directory of its own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::debian;
use crate::servers::running::{free_port, until};

/// Longest that an answer may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Prometheus, which ends with its value.
pub struct Prometheus {
    child: Child,
    port: u16,
    _directory: TempDir,
}

/// A series of an answer: its labels, and its samples as seconds and value.
pub struct Series {
    pub labels: Value,
    pub samples: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts one with this configuration, and waits until it answers.
    pub fn start(configuration: &str) -> anyhow::Result<Self> {
        let mut command = debian("prometheus", "prometheus")?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration)?;
        let port = free_port()?;
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = fs::File::create(directory.path().join("log"))?;
        command.current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().context("prometheus does not start")?;
        let prometheus = Self { child, port, _directory: directory };
        until(|| Ok(prometheus.get("/-/ready").is_ok()))?;
        Ok(prometheus)
    }

    /// Series of an expression, at one moment.
    pub fn query(&self, expression: &str) -> anyhow::Result<Vec<Series>> {
        self.series(&format!("/api/v1/query?query={}", encode(expression)))
    }

    /// Series of an expression from one moment to another, both in seconds since 1970.
    pub fn range(
        &self,
        expression: &str,
        (from, to): (f64, f64),
        step: u64,
    ) -> anyhow::Result<Vec<Series>> {
        let query = encode(expression);
        self.series(&format!("/api/v1/query_range?query={query}&start={from}&end={to}&step={step}"))
    }

    /// Alerts, pending and firing.
    pub fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let data = self.json("/api/v1/alerts")?;
        Ok(data["alerts"].as_array().context("alerts")?.clone())
    }

    fn series(&self, path: &str) -> anyhow::Result<Vec<Series>> {
        let data = self.json(path)?;
        let result = data["result"].as_array().with_context(|| format!("{data}"))?;
        result.iter().map(series).collect()
    }

    fn json(&self, path: &str) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_str(&self.get(path)?)?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].clone())
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        get(self.port, path)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn series(of: &Value) -> anyhow::Result<Series> {
    let samples = match of["values"].as_array() {
        Some(values) => values.iter().map(sample).collect::<anyhow::Result<_>>()?,
        None => vec![sample(&of["value"])?],
    };
    Ok(Series { labels: of["metric"].clone(), samples })
}

fn sample(pair: &Value) -> anyhow::Result<(f64, f64)> {
    let at = pair[0].as_f64().with_context(|| format!("no time: {pair}"))?;
    let value = pair[1].as_str().with_context(|| format!("no value: {pair}"))?;
    Ok((at, value.parse()?))
}

/// The body of what a server on loopback answers, which must be a success.
pub fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer comes as it is, and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        bail!("{path}: {status}: {body}");
    }
    Ok(body.to_owned())
}

/// An expression as a part of a URL.
fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
