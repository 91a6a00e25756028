//! The page, in a real browser.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, ensure};
use observer::recording::{Options, Writer};

use super::{
    made::{header, interval, total},
    text,
};
use crate::{
    Need, Outcome, Test,
    observer::{program, run},
};

/// A name that would run a script, load an image and end attributes if it were not escaped.
const HOSTILE: &str =
    "<script>document.title='owned'</script>\"'><img src=http://10.1.2.3/x>&amp;{{7*7}}";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("recording::names_in_the_page_are_escaped", Need::Nothing, escaped),
        Test::new("recording::the_page_in_a_browser", Need::Also(no_browser), browser),
        Test::new("recording::a_page_of_standard_input", Need::Nothing, of_standard_input),
    ]
}

fn no_browser() -> Option<String> {
    let works = Command::new("chromium").arg("--version").output();
    let works = works.is_ok_and(|output| output.status.success());
    (!works).then(|| "no chromium (Debian: chromium)".to_owned())
}

/// Writes two recordings of a hostile server, and the page on both.
fn made(directory: &Path) -> anyhow::Result<String> {
    let [before, after, page] =
        ["before.ndjson", "after.ndjson", "page.html"].map(|name| directory.join(name));
    for (path, seconds) in [(&before, 30), (&after, 300)] {
        let mut writer = Writer::create(path, header(), &Options::default())?;
        for second in 0..seconds {
            writer.write(&interval(second, HOSTILE))?;
        }
        writer.write(&total(seconds, HOSTILE))?;
        writer.finish()?;
    }
    let arguments = ["report", text(&after)?, "--against", text(&before)?];
    let output = run(&[&arguments[..], &["--format", "html", "-o", text(&page)?]].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(text(&page)?.to_owned())
}

fn escaped() -> Outcome {
    let directory = tempfile::tempdir()?;
    let page = fs::read_to_string(made(directory.path())?)?;
    for tag in ["<script", "<img", "record <b>", "javascript:"] {
        ensure!(!page.contains(tag), "{tag} is in the page");
    }
    ensure!(page.contains("&lt;script&gt;") && page.contains("{{7*7}}"), "the name is not there");
    ensure!(page.contains("record &lt;b&gt;"), "the command is not there");
    ensure!(page.contains("default-src 'none'"), "no policy");
    ensure!(!page.contains("script-src"), "scripts are allowed");
    // What it would load by itself, with or without a policy.
    for reference in page.split("href=\"").skip(1) {
        ensure!(reference.starts_with(['#', 'd']), "{}", &reference[..20]);
    }
    ensure!(!page.contains(" src=\"") && !page.contains("url("), "it refers to something");
    for words in
        ["Findings", "herd of", "Audit", "ListenDrops", "Workers", "Before and after", "<svg"]
    {
        ensure!(page.contains(words), "{words} is missing");
    }
    ensure!(page.contains("limit 128") && page.contains("class=\"level\""), "no limit in the plot");
    ensure!(page.contains("<figcaption>~Herd ratio"), "an estimate is not marked");
    Ok(())
}

/// It takes two readings, and is the same as that of a file.
fn of_standard_input() -> Outcome {
    let directory = tempfile::tempdir()?;
    made(directory.path())?;
    let recording = directory.path().join("after.ndjson");
    let of_file = run(&["report", text(&recording)?, "--format", "html"])?;
    let name = text(&recording)?.replace('/', "&#x2f;");
    let of_file = String::from_utf8(of_file.stdout)?.replace(&name, "standard input");
    let of_file = of_file.replace("observer: after.ndjson", "observer: standard input");
    let mut command = Command::new("sh");
    // A pipe, which cannot be read again.
    command.args([
        "-c",
        "cat \"$1\" | \"$0\" report - --format html",
        text(&program())?,
        text(&recording)?,
    ]);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = String::from_utf8(output.stdout)?;
    ensure!(page == of_file && page.contains("<svg"), "another page: {page}");
    // Where it cannot be kept, it is said.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "\"$0\" report - --format html < \"$1\"",
        text(&program())?,
        text(&recording)?,
    ]);
    let output = command.env("TMPDIR", "/nonexistent").output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && said.contains("/nonexistent"), "{said}");
    Ok(())
}

/// Opens a page, with nothing to be reached but files, and notes what is asked for on any network.
fn chromium(directory: &Path, arguments: &[&str]) -> anyhow::Result<(Output, String)> {
    let profile = tempfile::tempdir_in(directory)?;
    let log = directory.join("netlog.json");
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            // The browser asks for the time by itself.
            "--disable-features=NetworkTimeServiceQuerying",
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ])
        .arg(format!("--user-data-dir={}", text(profile.path())?))
        .arg(format!("--log-net-log={}", text(&log)?))
        .args(arguments)
        .output()
        .context("chromium")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((output, fs::read_to_string(log).context("the log of requests")?))
}

/// Whether a request is one that the browser makes by itself, on whatever page: for the time, for updates.
fn is_of_the_browser(url: &str) -> bool {
    let host = url.split('/').nth(2).unwrap_or_default();
    [".google.com", ".googleapis.com", ".gvt1.com"].iter().any(|own| host.ends_with(own))
}

fn browser() -> Outcome {
    let directory = tempfile::tempdir()?;
    let page = made(directory.path())?;
    let address = format!("file://{page}");

    // The page as the browser understands it.
    let (output, requests) = chromium(directory.path(), &["--dump-dom", &address])?;
    let (dom, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(!said.contains("CONSOLE"), "the console is not empty: {said}");
    ensure!(dom.contains("<title>observer: after.ndjson</title>"), "another title");
    ensure!(!dom.contains("<script") && !dom.contains("<img"), "a name became an element");
    ensure!(dom.matches("<svg").count() >= 5, "no plots");
    for scheme in ["http://", "https://", "ws://", "wss://"] {
        let mut all = requests.split("\"url\":\"").skip(1);
        let asked = all.find(|url| url.starts_with(scheme) && !is_of_the_browser(url));
        let asked = asked.map(|url| url.split('"').next().unwrap_or_default());
        ensure!(asked.is_none(), "it asked for {asked:?}");
    }
    ensure!(!requests.contains("10.1.2.3"), "the image was asked for");
    let control = directory.path().join("control.html");
    fs::write(&control, "<!DOCTYPE html><img src=http://10.1.2.3/x>")?;
    let (_, requests) =
        chromium(directory.path(), &["--dump-dom", &format!("file://{}", text(&control)?)])?;
    ensure!(requests.contains("http://10.1.2.3/x"), "what is asked for is not seen");

    // Nothing is wider than the window, whatever its width; one that is too wide is noticed.
    let wide = directory.path().join("wide.html");
    fs::write(&wide, "<!DOCTYPE html><div style='width:3000px'>x</div>")?;
    let wide_address = format!("file://{}", text(&wide)?);
    for width in [1280, 800, 400] {
        let over = overflow(directory.path(), &address, width)?;
        ensure!(over <= 0, "wider than {width} by {over}");
    }
    ensure!(overflow(directory.path(), &wide_address, 400)? > 2_000, "too wide is not noticed");

    // As people see it, in both colours.
    for (width, scheme) in [(1280, 1), (1280, 0), (500, 1), (500, 0)] {
        let picture = directory.path().join(format!("{width}-{scheme}.png"));
        let window = format!("--window-size={width},1600");
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let shot = format!("--screenshot={}", text(&picture)?);
        let (output, _) = chromium(directory.path(), &[&window, &scheme, &shot, &address])?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(!said.contains("CONSOLE"), "{said}");
        let bytes = fs::read(&picture)?;
        ensure!(bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000, "{} bytes", bytes.len());
        let sized = u32::from_be_bytes(bytes[16..20].try_into()?);
        ensure!(sized == width, "{sized} wide");
    }
    let picture = |scheme| fs::read(directory.path().join(format!("1280-{scheme}.png")));
    ensure!(picture(0)? != picture(1)?, "dark is light");
    Ok(())
}

/// By how many pixels a page is wider than a window of this width. A window of the browser has a least width, so that
/// it is measured in a frame.
fn overflow(directory: &Path, address: &str, width: u32) -> anyhow::Result<i64> {
    let frame = directory.join("frame.html");
    let measure = format!(
        "<!DOCTYPE html><iframe src='{address}' style='border:0;width:{width}px;height:900px'></iframe><script>\
         document.querySelector('iframe').onload = event => {{ const root = event.target.contentDocument.documentElement; \
         document.body.dataset.over = root.scrollWidth - {width}; }};</script>"
    );
    fs::write(&frame, measure)?;
    let arguments = [
        "--allow-file-access-from-files",
        "--window-size=1400,1000",
        "--dump-dom",
        &format!("file://{}", text(&frame)?),
    ];
    let (output, _) = chromium(directory, &arguments)?;
    let dom = String::from_utf8(output.stdout)?;
    let over = dom.split("data-over=\"").nth(1).and_then(|rest| rest.split('"').next());
    over.with_context(|| format!("not measured: {dom}"))?.parse().context("no number")
}
