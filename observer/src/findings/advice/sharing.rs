//! How workers share what comes: no herd, and no queue behind a busy one.

use super::about::{About, Advice};
use crate::findings::slow_accept::{FEWEST, SLOW};

/// Several are woken for each connection.
pub(super) fn herd(about: &About<'_>) -> Advice {
    let advice = about.of_server(|server| match (server.sharing.fix, server.sharing.price) {
        (fix, "") => fix.to_owned(),
        (fix, price) => format!("{fix}; the price: {price}"),
    });
    let Some(server) = about.server.filter(|_| advice.fix.is_some()) else { return advice };
    let mut steps = about.lines(&server.sharing.set, None);
    if !steps.is_empty() {
        steps.extend(about.apply(server, true));
    }
    Advice { steps, ..advice }
}

/// Whether connections waited long, rather than that tasks are held up.
pub(super) fn is_slow(about: &About<'_>) -> bool {
    let wait = &about.listener.accept_wait;
    wait.count.is_some_and(|count| count >= FEWEST) && wait.p99.is_some_and(|wait| wait >= SLOW)
}
