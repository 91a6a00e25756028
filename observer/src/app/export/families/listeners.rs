//! Metrics of listeners and their workers.

use prometheus_client::{metrics::MetricType, registry::Unit};

use super::{
    family::Family,
    sample::{Of, Sample, Value},
};
use crate::app::export::{
    histogram::{DEPTH, WAIT},
    place::Place,
    state::State,
    tally::{Details, Gauges, OUTCOMES, Tally},
};
use observer::model::Severity;

/// In the order in which they are served.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "observer_connections_queued",
        unit: None,
        kind: MetricType::Counter,
        help: "Connections that completed their handshake and entered the accept queue.",
        of: Of::Listener,
        labels: &[],
        from: "`queued`; signal `handshakes`",
        samples: |state, out| counts(state, out, |tally| tally.queued),
    },
    Family {
        name: "observer_connections_accepted",
        unit: None,
        kind: MetricType::Counter,
        help: "Connections that an accept call returned to a program.",
        of: Of::Listener,
        labels: &[],
        from: "`accepted`; signal `accepts`",
        samples: |state, out| counts(state, out, |tally| tally.accepted),
    },
    Family {
        name: "observer_connections_discarded",
        unit: None,
        kind: MetricType::Counter,
        help: "Connections that were in the accept queue when the listener closed.",
        of: Of::Listener,
        labels: &[],
        from: "`discarded`; signal `handshakes`",
        samples: |state, out| counts(state, out, |tally| tally.details.as_ref()?.discarded),
    },
    Family {
        name: "observer_wakeups",
        unit: None,
        kind: MetricType::Counter,
        help: "Wakeups of tasks by the listener, by what became of each once that is known.",
        of: Of::Listener,
        labels: &["outcome"],
        from: "`wakeups`: `won`, `lost`, `failed`, `silent`; signal `wakeups`",
        samples: wakeups,
    },
    Family {
        name: "observer_accept_errors",
        unit: None,
        kind: MetricType::Counter,
        help: "Accept calls that failed, by the name of the errno.",
        of: Of::Listener,
        labels: &["errno"],
        from: "`accept_errors`; signal `accepts`",
        samples: |state, out| {
            for (place, details) in details(state) {
                for (errno, count) in &details.accept_errors {
                    out.push(Sample::at(place, Value::Count(*count)).with("errno", errno));
                }
            }
        },
    },
    Family {
        name: "observer_drops",
        unit: None,
        kind: MetricType::Counter,
        help: "Connection attempts that the kernel dropped because of the listener, by reason.",
        of: Of::Listener,
        labels: &["reason"],
        from: "`drops.by_reason`, and `unknown` for those of `drops.total` without one; the least that there were \
               where `observer_drops_at_most_total` is there; signal `drops`",
        samples: |state, out| {
            for (place, details) in details(state) {
                for (reason, count) in &details.drops {
                    out.push(Sample::at(place, Value::Count(*count)).with("reason", reason));
                }
            }
        },
    },
    Family {
        name: "observer_drops_at_most",
        unit: None,
        kind: MetricType::Counter,
        help: "Greatest number of drops that there can have been, where their number is not certain.",
        of: Of::Listener,
        labels: &[],
        from: "`drops.at_most`; absent while all numbers of drops were certain",
        samples: |state, out| counts(state, out, |tally| tally.details.as_ref()?.drops_at_most),
    },
    Family {
        name: "observer_syn_cookies_sent",
        unit: None,
        kind: MetricType::Counter,
        help: "SYNs that were answered with a cookie and got no place in the SYN queue.",
        of: Of::Listener,
        labels: &[],
        from: "`syn_queue.cookies_sent`; absent where no hook sees SYNs",
        samples: |state, out| counts(state, out, |tally| tally.details.as_ref()?.cookies),
    },
    Family {
        name: "observer_accept_wait",
        unit: Some(Unit::Seconds),
        kind: MetricType::Histogram,
        help: "Time from a connection's entry into the accept queue to the accept call that took it.",
        of: Of::Listener,
        labels: &[],
        from: "`accept_wait.histogram`; buckets and sum are within 3.2 % of the values; signals `accepts` and \
               `handshakes`",
        samples: |state, out| {
            for (place, details) in details(state).filter(|(_, one)| one.wait.count > 0) {
                out.push(Sample::at(place, Value::Histogram(&details.wait, &WAIT)));
            }
        },
    },
    Family {
        name: "observer_accept_queue_depth",
        unit: None,
        kind: MetricType::Histogram,
        help: "Connections in the accept queue whenever one was added, that one included.",
        of: Of::Listener,
        labels: &[],
        from: "`accept_queue.histogram`; buckets are exact, the sum takes each depth for the middle of its power of \
               two; signal `handshakes`",
        samples: |state, out| {
            for (place, details) in details(state).filter(|(_, one)| one.depth.count > 0) {
                out.push(Sample::at(place, Value::Histogram(&details.depth, &DEPTH)));
            }
        },
    },
    Family {
        name: "observer_listeners",
        unit: None,
        kind: MetricType::Gauge,
        help: "Open listeners with these labels: several where they share a port by SO_REUSEPORT.",
        of: Of::Listener,
        labels: &[],
        from: "number of listeners that are not `closed`",
        samples: |state, out| gauges(state, out, |gauges| Some(Value::Count(gauges.listeners))),
    },
    Family {
        name: "observer_accept_queue_connections",
        unit: None,
        kind: MetricType::Gauge,
        help: "Connections in the accept queue when the last report was made.",
        of: Of::Listener,
        labels: &[],
        from: "`accept_queue.now`, added up; exact",
        samples: |state, out| gauges(state, out, |gauges| gauges.queue.map(Value::Count)),
    },
    Family {
        name: "observer_accept_queue_limit",
        unit: None,
        kind: MetricType::Gauge,
        help: "Limit on the accept queue, which holds one more.",
        of: Of::Listener,
        labels: &[],
        from: "`accept_queue.limit`, added up; exact",
        samples: |state, out| gauges(state, out, |gauges| gauges.limit.map(Value::Count)),
    },
    Family {
        name: "observer_accept_queue_used_ratio",
        unit: None,
        kind: MetricType::Gauge,
        help: "Greatest use of an accept queue in the window of the last report, of its limit; above 1 where it was full.",
        of: Of::Listener,
        labels: &[],
        from: "`accept_queue.used_percent`, of the fullest; signal `handshakes`",
        samples: |state, out| {
            gauges(state, out, |gauges| Some(Value::Number(gauges.used_percent? / 100.0)));
        },
    },
    Family {
        name: "observer_accept_queue_oldest",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        help: "Time that the oldest connection now in the accept queue has waited.",
        of: Of::Listener,
        labels: &[],
        from: "`accept_wait.oldest`; absent where none waits",
        samples: |state, out| {
            gauges(state, out, |gauges| Some(Value::Number(seconds(gauges.oldest?))));
        },
    },
    Family {
        name: "observer_syn_queue_requests",
        unit: None,
        kind: MetricType::Gauge,
        help: "Requests in the SYN queue when the last report was made.",
        of: Of::Listener,
        labels: &[],
        from: "`syn_queue.now`, added up; exact",
        samples: |state, out| gauges(state, out, |gauges| gauges.syn_queue.map(Value::Count)),
    },
    Family {
        name: "observer_descriptors_open",
        unit: None,
        kind: MetricType::Gauge,
        help: "Descriptors that the holder with the fewest left has open.",
        of: Of::Listener,
        labels: &[],
        from: "`holder_states`, else the size of `/proc/PID/fd` up to 15 s ago, or two minutes while the process has not \
               run; absent before Linux 6.2 while nothing is wrong",
        samples: |state, out| {
            gauges(state, out, |gauges| gauges.descriptors.map(|(open, _)| Value::Count(open)));
        },
    },
    Family {
        name: "observer_descriptors_limit",
        unit: None,
        kind: MetricType::Gauge,
        help: "Soft limit on descriptors of that process.",
        of: Of::Listener,
        labels: &[],
        from: "RLIMIT_NOFILE, of the same time; absent where it is unlimited or not known",
        samples: |state, out| {
            gauges(state, out, |gauges| gauges.descriptors?.1.map(Value::Count));
        },
    },
    Family {
        name: "observer_listener_incomplete",
        unit: None,
        kind: MetricType::Gauge,
        help: "1 where counts of the listener are too low, because something of it had no room in a kernel map.",
        of: Of::Listener,
        labels: &[],
        from: "`incomplete`, once in any report; absent where it never was",
        samples: |state, out| {
            for (place, tally) in state.store.places() {
                if tally.incomplete {
                    out.push(Sample::at(place, Value::Count(1)));
                }
            }
        },
    },
    Family {
        name: "observer_finding_active",
        unit: None,
        kind: MetricType::Gauge,
        help: "1 while the listener has the finding, 0 when it had it before.",
        of: Of::Listener,
        labels: &["finding", "severity"],
        from: "`findings` of the last report (findings.md)",
        samples: |state, out| {
            findings(state, out, |lasting| Value::Count(u64::from(lasting.active)));
        },
    },
    Family {
        name: "observer_finding",
        unit: Some(Unit::Seconds),
        kind: MetricType::Counter,
        help: "Time that the listener had the finding, so that one between two scrapes is not missed.",
        of: Of::Listener,
        labels: &["finding", "severity"],
        from: "length of the reports with it in `findings`",
        samples: |state, out| findings(state, out, |lasting| Value::Number(lasting.seconds)),
    },
    Family {
        name: "observer_worker_accepted",
        unit: None,
        kind: MetricType::Counter,
        help: "Connections that the task accepted from the listener.",
        of: Of::Worker,
        labels: &["worker", "pid", "tid"],
        from: "`workers` with `--per-worker`; signal `accepts`",
        samples: |state, out| {
            for (place, tally) in state.store.places() {
                for (id, worker) in &tally.workers {
                    let sample = Sample::at(place, Value::Count(worker.accepted));
                    out.push(of_worker(sample, &id.comm, id.task));
                }
            }
        },
    },
    Family {
        name: "observer_worker_wakeups",
        unit: None,
        kind: MetricType::Counter,
        help: "Wakeups of the task by the listener, by what became of each.",
        of: Of::Worker,
        labels: &["worker", "pid", "tid", "outcome"],
        from: "`workers` with `--per-worker`; signal `wakeups`",
        samples: |state, out| {
            for (place, tally) in state.store.places() {
                for (id, worker) in &tally.workers {
                    for (outcome, count) in OUTCOMES.into_iter().zip(worker.wakeups) {
                        let sample = Sample::at(place, Value::Count(count));
                        out.push(of_worker(sample, &id.comm, id.task).with("outcome", outcome));
                    }
                }
            }
        },
    },
];

fn counts<'a>(state: &'a State, out: &mut Vec<Sample<'a>>, of: impl Fn(&'a Tally) -> Option<u64>) {
    for (place, tally) in state.store.places() {
        if let Some(count) = of(tally) {
            out.push(Sample::at(place, Value::Count(count)));
        }
    }
}

/// Of places at which somebody listens: what is so now at others is nothing.
fn gauges<'a>(
    state: &'a State,
    out: &mut Vec<Sample<'a>>,
    of: impl Fn(&'a Gauges) -> Option<Value<'a>>,
) {
    for (place, tally) in state.store.places().filter(|(_, tally)| tally.gauges.listeners > 0) {
        if let Some(value) = of(&tally.gauges) {
            out.push(Sample::at(place, value));
        }
    }
}

fn details(state: &State) -> impl Iterator<Item = (&Place, &Details)> {
    state.store.places().filter_map(|(place, tally)| Some((place, tally.details.as_deref()?)))
}

fn wakeups<'a>(state: &'a State, out: &mut Vec<Sample<'a>>) {
    for (place, details) in details(state) {
        for (outcome, count) in OUTCOMES.into_iter().zip(details.wakeups.into_iter().flatten()) {
            out.push(Sample::at(place, Value::Count(count)).with("outcome", outcome));
        }
    }
}

fn findings<'a>(
    state: &'a State,
    out: &mut Vec<Sample<'a>>,
    of: impl Fn(&crate::app::export::tally::Lasting) -> Value<'a>,
) {
    for (place, tally) in state.store.places() {
        for ((id, severity), lasting) in &tally.findings {
            let sample = Sample::at(place, of(lasting)).with("finding", id);
            out.push(sample.with("severity", named(*severity)));
        }
    }
}

fn named(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn of_worker<'a>(sample: Sample<'a>, comm: &'a str, task: Option<(u32, u32)>) -> Sample<'a> {
    let sample = sample.with("worker", comm);
    match task {
        Some((pid, tid)) => sample.with("pid", pid.to_string()).with("tid", tid.to_string()),
        None => sample,
    }
}

#[expect(clippy::cast_precision_loss, reason = "waits are far below 2^52 ns, which are 52 days")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
