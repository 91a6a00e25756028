//! Columns that there was no room for, and the words that say beneath a row what they would have said.

use super::{columns::COLUMNS, tally::Tally};
use crate::app::render::grid::{Grid, Layout};
use observer::{
    model::{Listener, Providers, Via},
    units,
};

/// Columns with words of their own that are not shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hidden {
    eagain: bool,
    fairness: bool,
}

/// From this fairness on there is nothing to say of it.
const EVEN: f64 = 0.5;

impl Hidden {
    /// The columns of a grid that its layout leaves out.
    pub(super) fn of(grid: &Grid, layout: &Layout) -> Self {
        let hides = |name: &str| {
            let place = grid.headings.iter().position(|heading| heading.name == name);
            place.is_some_and(|place| layout.widths.get(place).is_some_and(Option::is_none))
        };
        debug_assert_eq!(grid.headings.len(), COLUMNS.len());
        Self { eagain: hides("EAGAIN"), fairness: hides("FAIRNESS") }
    }

    /// Whether there is any.
    pub(super) fn any(self) -> bool {
        self.eagain || self.fairness
    }

    /// What they would have said of a listener, where it is out of the ordinary: more failing calls than
    /// connections, or workers of which few accept.
    pub(super) fn words(self, listener: &Listener, providers: &Providers) -> Option<String> {
        if providers.accepts.via == Via::None {
            return None;
        }
        let tally = Tally::of(listener)?;
        let (accepted, eagain) = (tally.accepted, tally.eagain());
        let storm = (self.eagain && eagain > accepted).then(|| {
            let noun = if eagain == 1 { "accept call" } else { "accept calls" };
            format!("EAGAIN {}: {noun} that found nothing", units::count(eagain))
        });
        let unfair = listener.fairness.filter(|fairness| self.fairness && *fairness < EVEN);
        let unfair = unfair.map(|fairness| {
            let busiest = listener.workers.iter().max_by_key(|worker| worker.accepted);
            let most = busiest.and_then(|one| {
                let tid = one.tid?;
                Some(format!(": {} {tid} accepted {} of {}", one.comm, one.accepted, accepted))
            });
            format!("fairness {}{}", units::ratio(Some(fairness)), most.unwrap_or_default())
        });
        let words: Vec<String> = storm.into_iter().chain(unfair).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures;

    #[test]
    fn only_what_is_out_of_the_ordinary_is_told_and_only_where_it_has_no_column() {
        let mut report = fixtures::herd(4);
        let providers = report.providers.clone();
        let one = &mut report.listeners[0];
        let both = Hidden { eagain: true, fairness: true };
        one.accept_errors.insert("EAGAIN".into(), one.accepted.expect("it is known"));
        assert_eq!(both.words(one, &providers), None);
        one.accept_errors.insert("EAGAIN".into(), 9000);
        one.fairness = Some(0.25);
        one.workers[2].accepted = 198;
        let words = "EAGAIN 9000: accept calls that found nothing; fairness 0.25: nginx 4245 \
                     accepted 198 of 200";
        assert_eq!(both.words(one, &providers).as_deref(), Some(words));
        assert_eq!(Hidden::default().words(one, &providers), None);
        let mut unobserved = providers;
        unobserved.accepts.via = Via::None;
        assert_eq!(both.words(one, &unobserved), None);
    }
}
