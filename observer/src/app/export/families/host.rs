//! Metrics of observer itself: what its numbers are worth, and what it takes.

use prometheus_client::{metrics::MetricType, registry::Unit};

use super::{
    family::Family,
    sample::{Of, Sample, Value},
};

/// In the order in which they are served.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "observer_signal_exact",
        unit: None,
        kind: MetricType::Gauge,
        help: "1 where no event of the signal can have been missed unnoticed in the last report; else its numbers are \
               estimates.",
        of: Of::Host,
        labels: &["signal", "via"],
        from: "`providers`",
        samples: |state, out| {
            for (name, signal) in &state.own.signals {
                let sample = Sample::host(Value::Count(u64::from(signal.exact)));
                out.push(sample.with("signal", *name).with("via", signal.via));
            }
        },
    },
    Family {
        name: "observer_signal_inferred",
        unit: None,
        kind: MetricType::Counter,
        help: "Events that were inferred from what a task was doing: the most by which the numbers can be too high.",
        of: Of::Host,
        labels: &["signal"],
        from: "`providers`: `inferred`",
        samples: |state, out| {
            for (name, signal) in &state.own.signals {
                out.push(Sample::host(Value::Count(signal.inferred)).with("signal", *name));
            }
        },
    },
    Family {
        name: "observer_signal_uncounted",
        unit: None,
        kind: MetricType::Counter,
        help: "Events that were seen and not counted, because nothing tells whose they are.",
        of: Of::Host,
        labels: &["signal"],
        from: "`providers`: `uncounted`",
        samples: |state, out| {
            for (name, signal) in &state.own.signals {
                out.push(Sample::host(Value::Count(signal.uncounted)).with("signal", *name));
            }
        },
    },
    Family {
        name: "observer_events_lost",
        unit: None,
        kind: MetricType::Counter,
        help: "Events that the kernel programs' buffer had no room for; counts do not depend on them.",
        of: Of::Host,
        labels: &[],
        from: "`audit.events_lost`",
        samples: |state, out| out.push(Sample::host(Value::Count(state.own.events_lost))),
    },
    Family {
        name: "observer_map_full",
        unit: None,
        kind: MetricType::Counter,
        help: "Counts that had no room in a kernel map, by what had none.",
        of: Of::Host,
        labels: &["what"],
        from: "`audit.no_room`",
        samples: |state, out| {
            for (what, count) in &state.own.map_full {
                out.push(Sample::host(Value::Count(*count)).with("what", *what));
            }
        },
    },
    Family {
        name: "observer_missed_runs",
        unit: None,
        kind: MetricType::Counter,
        help: "Runs of observer's kernel programs that the kernel skipped.",
        of: Of::Host,
        labels: &[],
        from: "`audit.missed_runs`",
        samples: |state, out| out.push(Sample::host(Value::Count(state.own.missed_runs))),
    },
    Family {
        name: "observer_unanswered_processes",
        unit: None,
        kind: MetricType::Gauge,
        help: "Processes that did not answer when they were looked at, and are left out until they do.",
        of: Of::Host,
        labels: &[],
        from: "`audit.unanswered`",
        samples: |state, out| out.push(Sample::host(Value::Count(state.own.unanswered))),
    },
    Family {
        name: "observer_oldest_look",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        help: "Age of the oldest look that gauges of the last report come from: at a network namespace, where limits and the \
               kernel's counters are of, and at SYN queues. Where something happens it is looked at for each report.",
        of: Of::Host,
        labels: &["of"],
        from: "`audit.oldest_look`, `audit.oldest_syn_look`",
        samples: |state, out| {
            for (of, age) in &state.own.looks {
                out.push(Sample::host(Value::Number(*age)).with("of", *of));
            }
        },
    },
    Family {
        name: "observer_audit_kernel",
        unit: None,
        kind: MetricType::Counter,
        help: "What the kernel's own counter counted in namespaces with listeners, where observer can count the same.",
        of: Of::Host,
        labels: &["counter"],
        from: "`audit.netns`: `kernel`",
        samples: |state, out| {
            for (name, (kernel, _)) in &state.own.audit {
                out.push(Sample::host(Value::Count(*kernel)).with("counter", name));
            }
        },
    },
    Family {
        name: "observer_audit_observed",
        unit: None,
        kind: MetricType::Counter,
        help: "What observer counted of the same.",
        of: Of::Host,
        labels: &["counter"],
        from: "`audit.netns`: `observed`",
        samples: |state, out| {
            for (name, (_, observed)) in &state.own.audit {
                out.push(Sample::host(Value::Count(*observed)).with("counter", name));
            }
        },
    },
    Family {
        name: "observer_audit_difference",
        unit: None,
        kind: MetricType::Gauge,
        help: "Difference of the two, kernel less observer, since observer began.",
        of: Of::Host,
        labels: &["counter"],
        from: "`audit.netns`",
        samples: |state, out| {
            for (name, (kernel, observed)) in &state.own.audit {
                let difference = difference(*kernel, *observed);
                out.push(Sample::host(Value::Number(difference)).with("counter", name));
            }
        },
    },
    Family {
        name: "observer_reports",
        unit: None,
        kind: MetricType::Counter,
        help: "Reports that were made.",
        of: Of::Host,
        labels: &[],
        from: "one for each `--interval`",
        samples: |state, out| out.push(Sample::host(Value::Count(state.own.reports))),
    },
    Family {
        name: "observer_report_timestamp",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        help: "Time of the last report, seconds since 1970: the numbers are as of then.",
        of: Of::Host,
        labels: &[],
        from: "the clock; absent before the first report",
        samples: |state, out| {
            out.extend(state.own.reported_at.map(|at| Sample::host(Value::Number(at))));
        },
    },
    Family {
        name: "observer_report_window",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        help: "Length of the window of the last report.",
        of: Of::Host,
        labels: &[],
        from: "`window.seconds`",
        samples: |state, out| out.push(Sample::host(Value::Number(state.own.window))),
    },
    Family {
        name: "observer_series_limit",
        unit: None,
        kind: MetricType::Gauge,
        help: "Most series of listeners that there may be.",
        of: Of::Host,
        labels: &[],
        from: "`--max-series`",
        samples: |state, out| out.push(Sample::host(count(state.store.room().most()))),
    },
    Family {
        name: "observer_series_reserved",
        unit: None,
        kind: MetricType::Gauge,
        help: "Series of listeners that room is taken for; some of them may have no value.",
        of: Of::Host,
        labels: &[],
        from: "the series kept",
        samples: |state, out| out.push(Sample::host(count(state.store.room().taken()))),
    },
    Family {
        name: "observer_series_left_out",
        unit: None,
        kind: MetricType::Gauge,
        help: "Series of listeners that had no room in the last report: what is counted there is missing.",
        of: Of::Host,
        labels: &[],
        from: "what `--max-series` left out; raise it, or choose listeners",
        samples: |state, out| out.push(Sample::host(count(state.store.room().left_out()))),
    },
    Family {
        name: "observer_scrape_duration",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        help: "Time that it took to write the page before this one.",
        of: Of::Host,
        labels: &[],
        from: "the clock; absent before the second page",
        samples: |state, out| {
            out.extend(state.http.page_seconds.map(|took| Sample::host(Value::Number(took))));
        },
    },
    Family {
        name: "observer_http_requests",
        unit: None,
        kind: MetricType::Counter,
        help: "HTTP requests, by the status they were answered with.",
        of: Of::Host,
        labels: &["code"],
        from: "the server, when the page was written",
        samples: |state, out| {
            for (code, count) in &state.http.answers {
                out.push(Sample::host(Value::Count(*count)).with("code", code.to_string()));
            }
        },
    },
    Family {
        name: "observer_http_connections_cut",
        unit: None,
        kind: MetricType::Counter,
        help: "Connections that were closed on a client, because others needed the room or it took too long.",
        of: Of::Host,
        labels: &["reason"],
        from: "the server, when the page was written: `room`, `time`, `tls`, `error`",
        samples: |state, out| {
            for (reason, count) in &state.http.cut {
                out.push(Sample::host(Value::Count(*count)).with("reason", *reason));
            }
        },
    },
    Family {
        name: "observer_flight_recordings",
        unit: None,
        kind: MetricType::Counter,
        help: "Recordings that the flight recorder wrote.",
        of: Of::Host,
        labels: &[],
        from: "absent without `--flight-recorder`",
        samples: |state, out| {
            out.extend(state.flight.iter().map(|one| Sample::host(Value::Count(one.written))));
        },
    },
    Family {
        name: "observer_flight_recording_failures",
        unit: None,
        kind: MetricType::Counter,
        help: "Recordings that could not be written, as on a full disk.",
        of: Of::Host,
        labels: &[],
        from: "absent without `--flight-recorder`",
        samples: |state, out| {
            out.extend(state.flight.iter().map(|one| Sample::host(Value::Count(one.failed))));
        },
    },
    Family {
        name: "observer_flight_recorder_held",
        unit: Some(Unit::Bytes),
        kind: MetricType::Gauge,
        help: "Memory that holds the past for the next recording.",
        of: Of::Host,
        labels: &[],
        from: "absent without `--flight-recorder`",
        samples: |state, out| {
            out.extend(state.flight.iter().map(|one| Sample::host(count(one.held))));
        },
    },
    Family {
        name: "observer_cpu",
        unit: Some(Unit::Seconds),
        kind: MetricType::Counter,
        help: "CPU time of observer's own process, without that of its kernel programs.",
        of: Of::Host,
        labels: &[],
        from: "getrusage(2), when the page was written",
        samples: |state, out| {
            out.extend(state.http.cpu_seconds.map(|took| Sample::host(Value::Number(took))));
        },
    },
    Family {
        name: "observer_memory_resident",
        unit: Some(Unit::Bytes),
        kind: MetricType::Gauge,
        help: "Resident memory of observer's own process, without its kernel maps.",
        of: Of::Host,
        labels: &[],
        from: "`/proc/self/statm`, when the page was written",
        samples: |state, out| {
            out.extend(state.http.resident.map(|bytes| Sample::host(Value::Count(bytes))));
        },
    },
    Family {
        name: "observer_build",
        unit: None,
        kind: MetricType::Info,
        help: "Version of observer, and of the kernel that it runs on.",
        of: Of::Host,
        labels: &["version", "kernel", "arch"],
        from: "`tool`, `host`; always 1",
        samples: |state, out| {
            if let Some((kernel, arch)) = &state.host {
                let sample = Sample::host(Value::Info).with("version", env!("CARGO_PKG_VERSION"));
                out.push(sample.with("kernel", kernel).with("arch", arch));
            }
        },
    },
];

fn count<'a>(count: usize) -> Value<'a> {
    Value::Count(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a difference of 2^52 drops is no difference to tell exactly"
)]
fn difference(kernel: u64, observed: u64) -> f64 {
    if kernel >= observed { (kernel - observed) as f64 } else { -((observed - kernel) as f64) }
}
