//! Clients that are slow or mean harm: each costs itself only, and the others are answered.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::running::Exporter;
use crate::{Need, Outcome, Test};

/// Connections at once: more than there is room for.
const CROWD: usize = 1_000;

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("export::a_thousand_connections_cost_themselves", Need::Kernel, crowd),
        Test::new("export::a_megabyte_of_headers_is_refused", Need::Kernel, headers),
        Test::new("export::who_never_reads_costs_itself", Need::Kernel, never_reads),
        Test::new("export::nonsense_costs_itself", Need::Kernel, nonsense),
    ]
}

fn connect(exporter: &Exporter) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, exporter.port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// It is answered while all of them are there, and has no more descriptors than it has room for.
fn crowd() -> Outcome {
    let exporter = Exporter::start(&["--port", "1"])?;
    exporter.next_report()?;
    let before = descriptors(&exporter)?;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = connect(&exporter)?;
        if number % 2 == 0 {
            // Half of a request, which never ends.
            let _cut_off = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-");
        }
        crowd.push(stream);
        if number % 100 == 0 {
            exporter.page()?;
        }
    }
    exporter.next_report()?;
    let now = descriptors(&exporter)?;
    ensure!(now <= before + 70, "{before} descriptors became {now}");
    let cut = exporter.page()?.sum("observer_http_connections_cut_total", &[("reason", "room")]);
    ensure!(cut > 900.0, "{cut} were closed for room");
    drop(crowd);
    exporter.end()
}

fn headers() -> Outcome {
    let exporter = Exporter::start(&["--port", "1"])?;
    exporter.next_report()?;
    let mut client = connect(&exporter)?;
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: ")?;
    let mut sent = 0;
    // It is closed before all of it was sent, or when it was.
    while sent < 1 << 20 && client.write_all(&[b'a'; 4096]).is_ok() {
        sent += 4096;
    }
    let mut answer = Vec::new();
    let _reset = client.read_to_end(&mut answer);
    ensure!(!answer.starts_with(b"HTTP/1.1 200"), "a megabyte of headers was taken");
    let mut many = connect(&exporter)?;
    let mut request = "GET /metrics HTTP/1.1\r\nHost: x\r\n".to_owned();
    for number in 0..200 {
        request += &format!("X-{number}: y\r\n");
    }
    let _cut_off = many.write_all(format!("{request}\r\n").as_bytes());
    let mut answer = Vec::new();
    let _reset = many.read_to_end(&mut answer);
    ensure!(!answer.starts_with(b"HTTP/1.1 200"), "two hundred headers were taken");
    exporter.page()?;
    exporter.end()
}

/// Clients that ask for everything and read nothing.
fn never_reads() -> Outcome {
    let exporter = Exporter::start(&["--port", "1"])?;
    exporter.next_report()?;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = connect(&exporter)?;
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
        clients.push(client);
    }
    for _ in 0..10 {
        exporter.page()?;
    }
    // The reports go on, too.
    exporter.next_report()?;
    drop(clients);
    exporter.end()
}

fn nonsense() -> Outcome {
    let exporter = Exporter::start(&["--port", "1"])?;
    exporter.next_report()?;
    let long = [&b"GET /"[..], &[b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat();
    let requests: [&[u8]; 8] = [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nabc",
        b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nHost: \x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long,
    ];
    for request in requests {
        let mut client = connect(&exporter)?;
        let _cut_off = client.write_all(request);
        let _cut_off = client.shutdown(Shutdown::Write);
        let (mut answer, began) = (Vec::new(), Instant::now());
        let _reset = client.read_to_end(&mut answer);
        ensure!(began.elapsed() < PATIENCE, "{request:?} is kept");
        ensure!(!answer.starts_with(b"HTTP/1.1 200"), "{request:?} was answered");
        exporter.page()?;
    }
    exporter.end()
}

/// Descriptors that it has open.
fn descriptors(exporter: &Exporter) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", exporter.observer.pid()))?.count())
}
