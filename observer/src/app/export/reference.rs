//! docs/metrics.md: the table of metrics as a page.

use super::{
    families::{self, Family, Of},
    histogram::{DEPTH, Scale, WAIT},
    place,
};

const HEAD: &str = "\
# Metrics

Made from the table of metrics by `observer export --describe`; not written by hand.

`observer export` serves these at `/metrics`: in OpenMetrics text, in the older Prometheus text or, with native
histograms, in protobuf, as the scraper asks (`Accept`). A name here is never changed or given another meaning.

The numbers are those of reports, one each `--interval` (10 s). A scrape reads what the last report left: it begins no
window and ends none, and all scrapers see the same until the next. `observer_report_timestamp_seconds` says as of
when.

What is not known is an absent series, never 0. Counters go on where a listener closed and another is born with the same
labels, and stay for an hour when nobody listens there any more. A listener has its histograms and its counters by
reason, outcome and errno from its first connection on. `observer_signal_exact` says which signals are exact and which
are estimates; [numbers.md](numbers.md) tells what each comes from.

";

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let all = families::all();
    let labels: Vec<String> = place::LABELS.iter().map(|name| format!("`{name}`")).collect();
    page += &format!(
        "## Listeners\n\nEach has the labels {}: the local address and port, the inode number of the network namespace, \
         the name of the process that holds the listener (of several, the one with the smallest id, but not that of \
         init), and the container and pod that this process runs in, by the names of its cgroups. Labels without a \
         value are left out. A listener keeps its labels while it lives.\n\n",
        labels.join(", ")
    );
    page += &table(&all, Of::Listener);
    page += "\n## Workers\n\nOnly with `--per-worker`, beside the labels of the listener. Series go when the task does.\n\n";
    page += &table(&all, Of::Worker);
    page += "\n## observer itself\n\nThese have no other labels than those named.\n\n";
    page += &table(&all, Of::Host);
    page += "\n## Buckets\n\n";
    page += &buckets("observer_accept_wait_seconds", &WAIT);
    page += &buckets("observer_accept_queue_depth", &DEPTH);
    page
}

fn table(all: &[&Family], of: Of) -> String {
    let mut table =
        "| metric | type | labels | what it is | comes from |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for family in all.iter().filter(|family| family.of == of) {
        let labels: Vec<String> = family.labels.iter().map(|name| format!("`{name}`")).collect();
        table += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            family.full_name(),
            family.kind.as_str(),
            labels.join(", "),
            family.help,
            family.from
        );
    }
    table
}

fn buckets(name: &str, scale: &Scale) -> String {
    let bounds: Vec<String> = scale.bounds.iter().map(ToString::to_string).collect();
    format!("- `{name}`: {}; native: schema {}\n", bounds.join(", "), scale.schema)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_made_from_the_table() {
        let stale = "docs/metrics.md is stale: \
                     cargo run -p observer -- export --describe > docs/metrics.md";
        assert!(super::page() == include_str!("../../../../docs/metrics.md"), "{stale}");
    }
}
