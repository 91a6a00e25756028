//! Words of a comparison, for the table and the page.

use observer::{
    model::{ComparedListener, Course},
    units,
};

/// `127.0.0.1:8080 nginx`.
pub fn name(one: &ComparedListener) -> String {
    let ComparedListener { address, port, comm, .. } = one;
    let host = match address.as_str() {
        "0.0.0.0" => "*".to_owned(),
        address if address.contains(':') => format!("[{address}]"),
        address => address.to_owned(),
    };
    match comm {
        Some(comm) => format!("{host}:{port} {comm}"),
        None => format!("{host}:{port}"),
    }
}

/// What became of a listener.
pub fn of_listener(course: Course) -> &'static str {
    match course {
        Course::Better => "better",
        Course::Worse => "worse",
        Course::Mixed => "partly better, partly worse",
        Course::Same | Course::Moved => "as before",
        Course::New => "not there before",
        Course::Gone => "not there any more",
        Course::Unknown => "unknown",
    }
}

/// What became of a number.
pub fn of_number(course: Course) -> &'static str {
    match course {
        Course::Better => "better",
        Course::Worse => "worse",
        Course::Same => "same",
        Course::Moved => "moved",
        Course::Mixed | Course::New | Course::Gone | Course::Unknown => "",
    }
}

/// Name of a number.
pub fn number(name: &str) -> &str {
    match name {
        "accepted_per_second" => "accepted per second",
        "herd_ratio" => "herd ratio",
        "wasted_wakeups_percent" => "wasted wakeups",
        "wakeups_per_second" => "wakeups per second",
        "wasted_cpu_per_second" => "wasted CPU per second",
        "accept_queue_used_percent" => "accept queue, fullest",
        "accept_wait_p50" => "accept wait p50",
        "accept_wait_p99" => "accept wait p99",
        "accept_wait_max" => "accept wait max",
        "drops_per_second" => "drops per second",
        "discarded" => "reset at closing",
        "accept_errors_per_second" => "errors per second",
        other => other,
    }
}

/// Name of a setting.
pub fn setting(name: &str) -> &str {
    match name {
        "wait" => "workers wait in",
        "limit" => "queue limit",
        "requested" => "requested backlog",
        other => other,
    }
}

/// Value of a number, in its unit.
pub fn value(name: &str, value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "-".to_owned() };
    match name {
        "wasted_wakeups_percent" | "accept_queue_used_percent" => percent(value),
        "wasted_cpu_per_second" | "accept_wait_p50" | "accept_wait_p99" | "accept_wait_max" => {
            units::time(whole(value))
        }
        "discarded" => units::short_count(whole(value)),
        "accepted_per_second"
        | "wakeups_per_second"
        | "drops_per_second"
        | "accept_errors_per_second" => rate(value),
        _ => units::ratio(Some(value)),
    }
}

fn percent(value: f64) -> String {
    match value {
        value if value > 0.0 && value < 0.1 => "<0.1%".to_owned(),
        value if value < 10.0 && value.fract() != 0.0 => format!("{value:.1}%"),
        value => format!("{value:.0}%"),
    }
}

fn rate(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.01 => "<0.01".to_owned(),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => units::short_count(whole(value)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and a cast of a float saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_units() {
        for (name, number, text) in [
            ("herd_ratio", Some(8.0), "8.00"),
            ("wasted_wakeups_percent", Some(75.0), "75%"),
            ("accept_queue_used_percent", Some(0.2), "0.2%"),
            ("accept_queue_used_percent", Some(0.01), "<0.1%"),
            ("accept_wait_p99", Some(1_500_000.0), "1.5 ms"),
            ("drops_per_second", Some(0.0), "0"),
            ("drops_per_second", Some(0.004), "<0.01"),
            ("accepted_per_second", Some(54.06), "54.1"),
            ("accepted_per_second", Some(1e30), "18E"),
            ("discarded", Some(3.0), "3"),
            ("fairness", Some(f64::NAN), "-"),
            ("fairness", None, "-"),
        ] {
            assert_eq!(value(name, number), text, "{name}");
        }
    }
}
