//! What goes where: standard output, standard error, systemd, a pipe.

use std::{
    io::{BufRead, BufReader},
    os::unix::net::UnixDatagram,
    process::Command,
};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, program, provider, run},
    role::{Actor, as_role, connect},
    schema::parse_report,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("output::the_table_fits_and_has_no_codes_in_a_pipe", Need::Kernel, table),
        Test::new("output::duration_without_interval_is_one_report", Need::Kernel, one_report),
        Test::new("output::json_without_times_is_one_line_a_second", Need::Kernel, ndjson),
        Test::new("output::systemd_is_told", Need::Kernel, ready),
        Test::new("output::a_closed_pipe_is_no_error", Need::Kernel, closed_pipe),
        Test::new("output::doctor_knows_the_providers", Need::Kernel, doctor),
        Test::new("output::debug_lines_come_with_vv_only", Need::Kernel, debug_lines),
        Test::new("output::man_and_completions_are_generated", Need::Nothing, generated),
        Test::new("output::the_schema_is_the_one_in_docs", Need::Nothing, schema),
        Test::new("output::what_was_recorded_shows_the_same", Need::Kernel, recorded),
        Test::new("output::demo_agrees_with_the_workload", Need::Kernel, demo),
    ]
}

fn table() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    for columns in [40, 80, 200] {
        let mut command = Command::new(program());
        command.args(["--port", &port.to_string()]).env("COLUMNS", columns.to_string());
        // Without times a pipe gets a block a second; the first signal comes before that.
        command.args(["--duration", "1h"]);
        let observer = Observer::spawn(command)?;
        connect(port)?;
        observer.signal(Signal::SIGINT)?;
        let ended = observer.wait()?;
        ensure!(ended.status.success(), "{}", ended.status);
        let text = ended.stdout;
        ensure!(text.contains("LISTENER") && text.contains("HERD"), "no heading: {text}");
        // A narrow table cuts the address, never the port.
        ensure!(text.contains(&format!(":{port}")), "no listener: {text}");
        ensure!(!text.contains('\x1b'), "escape codes in a pipe: {text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        ensure!(widest <= columns, "{widest} columns in {columns}: {text}");
    }
    Ok(())
}

fn one_report() -> Outcome {
    let reports = Observer::json(&["--duration", "300ms"])?.wait()?.reports()?;
    ensure!(reports.len() == 1, "{} reports", reports.len());
    ensure!(reports[0]["window"]["kind"] == "total", "{}", reports[0]["window"]);
    let start = reports[0]["window"]["start"].as_str().context("start")?;
    ensure!(start.ends_with('Z') && start.contains('T'), "not RFC 3339 in UTC: {start}");
    for name in ["kernel", "arch", "cpus"] {
        ensure!(!reports[0]["host"][name].is_null(), "{name}");
    }
    Ok(())
}

fn ndjson() -> Outcome {
    let mut observer = Observer::json(&[])?;
    let mut lines = BufReader::new(observer.take_stdout()?).lines();
    let first = lines.next().context("no line")??;
    let report = parse_report(&first)?;
    ensure!(report["window"]["kind"] == "interval", "{}", report["window"]);
    observer.signal(Signal::SIGINT)?;
    let rest = lines.collect::<Result<Vec<_>, _>>()?;
    let last = parse_report(rest.last().context("no total")?)?;
    ensure!(last["window"]["kind"] == "total", "{}", last["window"]);
    ensure!(observer.wait_status()?.success(), "it failed");
    Ok(())
}

fn ready() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let mut command = Command::new(program());
    command.args(["--format", "json"]).env("NOTIFY_SOCKET", &path);
    let observer = Observer::spawn(command)?;
    let mut buffer = [0; 256];
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    let size = socket.recv(&mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
    ensure!(text.lines().any(|line| line == "READY=1"), "systemd was told {text:?}");
    observer.total()?;
    Ok(())
}

fn closed_pipe() -> Outcome {
    for format in ["json", "table"] {
        let mut observer = Observer::start(&["--format", format, "--interval", "100ms"])?;
        // As `head -1` does: read a line, then close.
        let mut reader = BufReader::new(observer.take_stdout()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        ensure!(!line.is_empty(), "nothing was printed");
        drop(reader);
        let status = observer.wait_status()?;
        ensure!(status.success(), "{format}: {status}");
    }
    Ok(())
}

fn doctor() -> Outcome {
    let output = run(&["doctor", "--format", "json"])?;
    ensure!(output.status.success(), "{output:?}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let signals = found["signals"].as_array().context("signals")?;
    let observer = Observer::json(&[])?;
    let observing = observer.observing.clone();
    observer.total()?;
    for name in ["wakeups", "accepts", "handshakes"] {
        let one = signals.iter().find(|one| one["signal"] == name).context(name)?;
        let via = one["via"].as_str().filter(|via| *via != "none").context("no provider")?;
        // What it tells is what observer chooses by itself.
        let used = provider().filter(|asked| asked != "auto").unwrap_or_else(|| via.to_owned());
        let words = format!("by {used}");
        ensure!(observing.contains(name) && observing.contains(&words), "{via}, yet {observing}");
    }
    for signal in signals {
        let candidates = signal["candidates"].as_array().context("candidates")?;
        let first = candidates.iter().find(|one| one["usable"] == true).context("a candidate")?;
        ensure!(first["provider"] == signal["via"], "not the preferred: {signal}");
        // Whoever is refused has a reason.
        let refused = candidates.iter().filter(|one| one["usable"] != true);
        ensure!(refused.clone().all(|one| one["reason"].is_string()), "{signal}");
    }
    let table = run(&["doctor"])?;
    let text = String::from_utf8(table.stdout)?;
    ensure!(text.contains("observer can run here"), "{text}");
    ensure!(text.lines().all(|line| line.chars().count() <= 100), "too wide: {text}");
    Ok(())
}

fn debug_lines() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    for (flag, expected) in [("-v", false), ("-vv", true)] {
        let observer = Observer::json(&["--port", &port.to_string(), flag])?;
        connect(port)?;
        // The lines come through a ring buffer: they are read by the time of the next report.
        std::thread::sleep(std::time::Duration::from_millis(300));
        observer.signal(Signal::SIGINT)?;
        let ended = observer.wait()?;
        let said = ended.stderr.contains("became ready");
        ensure!(said == expected, "{flag}: {:?}", ended.stderr);
    }
    Ok(())
}

fn generated() -> Outcome {
    let man = run(&["man"])?;
    ensure!(man.status.success(), "man: {}", man.status);
    let page = String::from_utf8(man.stdout)?;
    ensure!(page.contains(".TH observer") && page.contains("duration"), "no manual page: {page}");
    let directory = std::env::temp_dir().join(format!("observer-man-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let all = run(&["man", "--dir", &directory.display().to_string()])?;
    let written = |name: &str| directory.join(name).is_file();
    let (whole, of_one, of_hidden) =
        (written("observer.1"), written("observer-doctor.1"), written("observer-noop.1"));
    std::fs::remove_dir_all(&directory)?;
    ensure!(all.status.success() && whole && of_one, "man --dir: {} {whole} {of_one}", all.status);
    ensure!(!of_hidden, "a page of a hidden command");
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell])?;
        let text = String::from_utf8(script.stdout)?;
        ensure!(script.status.success() && text.contains("duration"), "{shell}: {text}");
    }
    Ok(())
}

fn schema() -> Outcome {
    let whole = run(&["schema"])?;
    ensure!(whole.status.success(), "schema: {}", whole.status);
    ensure!(whole.stdout == include_bytes!("../../../docs/schema.json"), "another schema");
    let one = run(&["schema", "listeners"])?;
    let one: serde_json::Value = serde_json::from_slice(&one.stdout)?;
    ensure!(one["$ref"] == "#/$defs/ListenerList", "{}", one["$ref"]);
    let page = run(&["schema", "--format", "markdown"])?;
    ensure!(page.stdout == include_bytes!("../../../docs/json.md"), "another reference");
    ensure!(run(&["schema", "nothing"])?.status.code() == Some(2), "no such document");
    Ok(())
}

/// Updates that were kept, shown again by the same face: byte for byte what the run showed.
fn recorded() -> Outcome {
    let directory = tempfile::tempdir()?;
    let mut server = Actor::spawn(as_role("overflow-reborn")?)?;
    let _netns = server.line()?;
    let port = server.port()?.to_string();
    for format in ["table", "json"] {
        let file = directory.path().join(format);
        let file = file.to_str().context("a path")?;
        let shown = ["--port", &port, "--format", format, "-v", "--updates", file];
        let observer = Observer::start(&[&shown[..], &["--interval", "100ms"]].concat())?;
        server.ask(2)?;
        ensure!(server.line()?.trim() == "2", "it did not refuse");
        std::thread::sleep(std::time::Duration::from_millis(300));
        observer.signal(Signal::SIGINT)?;
        let live = observer.wait()?;
        ensure!(live.status.success(), "{}", live.stderr);
        let kept = std::fs::read_to_string(file)?;
        ensure!(format != "json" || kept == live.stdout, "JSON is not what was kept: {kept}");
        let again = run(&[&["replay", file], &shown[..5]].concat())?;
        let (out, err) = (String::from_utf8(again.stdout)?, String::from_utf8(again.stderr)?);
        ensure!(again.status.success(), "{err}");
        ensure!(out == live.stdout, "live:\n{}\nagain:\n{out}", live.stdout);
        // What is said when everything is attached is of the live run alone.
        let said = live.stderr.lines().filter(|line| !line.starts_with("observer: "));
        ensure!(said.eq(err.lines()), "live:\n{}\nagain:\n{err}", live.stderr);
        let drops = err.lines().filter(|line| line.ends_with("queue full at the SYN")).count();
        let reports = kept.lines().filter(|line| line.contains(r#""type":"report""#)).count();
        ensure!(reports > 1, "{kept}");
        let counted = !kept.contains(r#""drops":{"via":"tracepoint""#);
        ensure!(drops == if counted { 2 } else { 0 }, "{drops} drops: {err}");
        let warned = live.stderr.contains("only drops at the final ACK");
        ensure!(warned != counted, "{}", live.stderr);
    }
    Ok(())
}

fn demo() -> Outcome {
    let output = run(&["demo", "--workers", "3", "--connections", "20", "--format", "json"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let rows =
        text.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    ensure!(rows.len() == 7, "{} strategies", rows.len());
    for row in &rows {
        ensure!(row["agrees"] == true && row["wakeups_agree"] == true, "{row}");
    }
    let of = |name: &str| rows.iter().find(|row| row["strategy"] == name);
    let per_connection = |name| of(name).and_then(|row| row["wakeups_per_connection"].as_f64());
    ensure!(per_connection("epoll") == Some(3.0), "{rows:?}");
    ensure!(per_connection("blocking") == Some(1.0), "{rows:?}");
    let table = run(&["demo", "--strategy", "poll", "--workers", "2", "--connections", "5"])?;
    let text = String::from_utf8(table.stdout)?;
    ensure!(text.contains("poll") && text.contains("2.0"), "{text}");
    Ok(())
}
