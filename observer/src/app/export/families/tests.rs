use std::collections::BTreeSet;

use prometheus_client::metrics::MetricType;

use super::{Of, Value, all};
use crate::app::export::{
    histogram::{DEPTH, WAIT},
    state::State,
    tally::{BASE_SERIES, DETAIL_SERIES},
};

/// Names that queries and alerts of others rely on: add to them, change none.
const NAMES: &[&str] = &[
    "observer_accept_errors_total",
    "observer_accept_queue_connections",
    "observer_accept_queue_depth",
    "observer_accept_queue_limit",
    "observer_accept_queue_oldest_seconds",
    "observer_accept_queue_used_ratio",
    "observer_accept_wait_seconds",
    "observer_audit_difference",
    "observer_audit_kernel_total",
    "observer_audit_observed_total",
    "observer_build_info",
    "observer_connections_accepted_total",
    "observer_connections_discarded_total",
    "observer_connections_queued_total",
    "observer_cpu_seconds_total",
    "observer_descriptors_limit",
    "observer_descriptors_open",
    "observer_drops_at_most_total",
    "observer_drops_total",
    "observer_events_lost_total",
    "observer_finding_active",
    "observer_finding_seconds_total",
    "observer_flight_recorder_held_bytes",
    "observer_flight_recording_failures_total",
    "observer_flight_recordings_total",
    "observer_http_connections_cut_total",
    "observer_http_requests_total",
    "observer_listener_incomplete",
    "observer_listeners",
    "observer_map_full_total",
    "observer_memory_resident_bytes",
    "observer_missed_runs_total",
    "observer_oldest_look_seconds",
    "observer_report_timestamp_seconds",
    "observer_report_window_seconds",
    "observer_reports_total",
    "observer_scrape_duration_seconds",
    "observer_series_left_out",
    "observer_series_limit",
    "observer_series_reserved",
    "observer_signal_exact",
    "observer_signal_inferred_total",
    "observer_signal_uncounted_total",
    "observer_syn_cookies_sent_total",
    "observer_syn_queue_requests",
    "observer_unanswered_processes",
    "observer_wakeups_total",
    "observer_worker_accepted_total",
    "observer_worker_wakeups_total",
];

#[test]
fn names_are_those_that_were_promised() {
    let names: Vec<String> = all().iter().map(|family| family.full_name()).collect();
    let sorted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(sorted.len(), names.len(), "two have the same name");
    assert_eq!(sorted.into_iter().collect::<Vec<_>>(), NAMES);
}

#[test]
fn names_labels_and_words_are_as_the_conventions_have_them() {
    for family in all() {
        let name = family.full_name();
        let is_word =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(name.starts_with("observer_") && is_word(&name), "{name}");
        assert!(!family.name.ends_with("_total") && !family.name.ends_with("_info"), "{name}");
        for part in ["counter", "gauge", "histogram", "milli", "micro", "nano", "percent"] {
            assert!(!name.contains(part), "{name}");
        }
        assert!(family.help.ends_with('.') && !family.help.contains(['\n', '\\', '|']), "{name}");
        assert!(!family.from.contains(['\n', '|']), "{name}");
        assert!(family.labels.iter().all(|label| is_word(label)), "{name}");
    }
}

/// What is read of a place that nothing happened at, and of one at which everything did, is what room is taken for.
#[test]
fn room_is_taken_for_all_that_a_place_shows() {
    let count = |of: Of| all().into_iter().filter(move |family| family.of == of);
    let base = count(Of::Listener)
        .filter(|family| family.kind == MetricType::Gauge && family.labels.is_empty())
        .count();
    // Those two counters are there from the beginning.
    assert_eq!(base + 2, BASE_SERIES);
    let lines = |bounds: usize| bounds + 3;
    let detail = lines(WAIT.bounds.len()) + lines(DEPTH.bounds.len());
    // Outcomes, reasons of drops with that of those without one, and the counters without labels.
    assert_eq!(detail + 4 + 8 + 3, DETAIL_SERIES);
}

#[test]
fn nothing_is_told_before_the_first_report_that_is_not_known() {
    let state = State::new(100, false);
    for family in all().into_iter().filter(|family| family.of != Of::Host) {
        let mut samples = Vec::new();
        (family.samples)(&state, &mut samples);
        assert!(samples.is_empty(), "{}", family.name);
    }
    let told = |name: &str| {
        let family = all().into_iter().find(|family| family.name == name).expect("a family");
        let mut samples = Vec::new();
        (family.samples)(&state, &mut samples);
        samples
            .into_iter()
            .map(|sample| matches!(sample.value, Value::Count(100)))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("observer_series_limit"), [true]);
    assert!(told("observer_report_timestamp").is_empty());
    assert!(told("observer_flight_recordings").is_empty());
}
