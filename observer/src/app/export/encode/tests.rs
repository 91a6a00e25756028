use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use observer::{
    host::identity::Scope,
    model::{Bucket, Holder, Listener},
};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;

use super::Pages;
use crate::app::{
    export::{format::Format, origins::Origins, state::State},
    render::table::fixtures,
};

/// A name that nobody should give a process.
const HOSTILE: &str = "a\"b\\c\nd{}=,é";

struct Nowhere;

impl Origins for Nowhere {
    fn scope(&mut self, _pid: u32) -> Scope {
        Scope::default()
    }

    fn descriptors(&mut self, _listener: &Listener, _now: Instant) -> Vec<(u64, Option<u64>)> {
        Vec::new()
    }

    fn end_report(&mut self) {}
}

fn page(listeners: Vec<Listener>, format: Format) -> Vec<u8> {
    let mut state = State::new(10_000, true);
    state.add(&fixtures::report(listeners), &mut Nowhere);
    Pages::of(Arc::new(Mutex::new(state))).page(format).expect("a page")
}

fn hostile() -> Listener {
    let mut listener = fixtures::listener("::1", 80);
    listener.queued = Some(3);
    listener.holders = Some(vec![Holder { pid: 7, comm: HOSTILE.into(), fd: 3, wait: None }]);
    listener.accept_wait.histogram =
        vec![Bucket { le: 999_999, count: 0 }, Bucket { le: 1_015_807, count: 2 }];
    listener.accept_queue.histogram = vec![Bucket { le: 0, count: 0 }, Bucket { le: 1, count: 3 }];
    listener
}

#[test]
fn names_are_escaped() {
    for format in [Format::OpenMetrics, Format::Text] {
        let text = String::from_utf8(page(vec![hostile()], format)).expect("text");
        let line = text
            .lines()
            .find(|line| line.starts_with("observer_connections_queued_total{"))
            .expect("a line");
        assert!(line.ends_with("process=\"a\\\"b\\\\c\\nd{}=,é\"} 3"), "{line}");
        assert!(line.contains("address=\"::1\",port=\"80\",netns="), "{line}");
        assert!(!line.contains("container_id"), "{line}");
        assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

#[test]
fn every_report_makes_a_page_in_every_format() {
    for report in fixtures::all() {
        let mut state = State::new(10_000, true);
        state.add(&report, &mut Nowhere);
        let pages = Pages::of(Arc::new(Mutex::new(state)));
        for format in [Format::OpenMetrics, Format::Text, Format::Protobuf] {
            assert!(!pages.page(format).expect("a page").is_empty());
        }
    }
}

#[test]
fn a_family_is_told_once_and_nothing_of_one_without_series() {
    let mut other = hostile();
    (other.port, other.inode) = (81, 2);
    let text = String::from_utf8(page(vec![hostile(), other], Format::Text)).expect("text");
    let of = |name: &str| {
        text.lines().filter(|line| line.starts_with(&format!("# TYPE {name} "))).count()
    };
    assert_eq!(of("observer_connections_queued_total"), 1);
    assert_eq!(of("observer_accept_wait_seconds"), 1);
    assert_eq!(of("observer_flight_recordings_total"), 0);
    assert!(
        text.contains("observer_accept_wait_seconds_bucket{") && text.contains("le=\"+Inf\"} 2"),
        "{text}"
    );
}

#[test]
fn protobuf_has_native_buckets_beside_the_classic() {
    use prost::Message as _;
    let bytes = page(vec![hostile()], Format::Protobuf);
    let mut rest = &bytes[..];
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
    }
    let of = |name: &str| {
        let family = families.iter().find(|family| family.name == name).expect("a family");
        family.metric[0].histogram.clone().expect("a histogram")
    };
    let wait = of("observer_accept_wait_seconds");
    assert_eq!((wait.sample_count, wait.schema), (2, 3));
    assert_eq!(wait.positive_span.len(), 1);
    assert_eq!(wait.positive_delta, [2]);
    // 1.008 ms is in the bucket up to 2^(-79/8) s.
    assert_eq!(wait.positive_span[0].offset, -79);
    let depth = of("observer_accept_queue_depth");
    assert_eq!((depth.schema, depth.positive_delta[0], depth.positive_span[0].offset), (0, 3, 0));
    assert!(depth.bucket.iter().any(|bucket| bucket.cumulative_count == 3));
}
