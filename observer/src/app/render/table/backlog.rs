//! The limit that `listen()` set, in words.

use std::collections::BTreeSet;

use observer::report::model::Backlog;

/// What `listen()` got, where it was seen to get less than it was asked for.
pub(super) fn clamped(backlog: &Backlog) -> Option<String> {
    let (limit, requested) = backlog.limit.zip(backlog.requested)?;
    if backlog.clamped != Some(true) {
        return None;
    }
    // A negative backlog asks for as much as there is.
    let requested = match u32::try_from(requested) {
        Ok(requested) => requested.cast_signed().to_string(),
        Err(_) => requested.to_string(),
    };
    Some(match backlog.somaxconn.filter(|_| backlog.stale == Some(true)) {
        None => format!("listen({requested}) was clamped to somaxconn {limit}"),
        Some(now) => format!(
            "listen({requested}) was clamped to {limit}; somaxconn is {now} since, \
             which takes another listen()"
        ),
    })
}

/// One sentence on the limits that may have been clamped to an earlier somaxconn.
pub(super) fn doubts<'a>(all: impl IntoIterator<Item = &'a Backlog>) -> Option<String> {
    let limits: Vec<u64> = all
        .into_iter()
        .filter(|backlog| backlog.maybe_clamped)
        .filter_map(|backlog| backlog.limit)
        .collect();
    let which: BTreeSet<u64> = limits.iter().copied().collect();
    let which: Vec<String> = which.iter().map(u64::to_string).collect();
    let (noun, them) = match limits.len() {
        0 => return None,
        1 => ("1 limit equals".to_owned(), "it"),
        several => (format!("{several} limits equal"), "them"),
    };
    Some(format!(
        "{noun} an earlier or usual net.core.somaxconn ({}): listen() may have been clamped to that, \
         which cannot be seen; somaxconn is higher now, and another listen() could raise {them}",
        which.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clamp_is_told_where_it_is_known() {
        let backlog = |requested, is_clamped, stale| Backlog {
            limit: Some(128),
            somaxconn: Some(if stale { 4096 } else { 128 }),
            requested,
            clamped: Some(is_clamped),
            stale: Some(stale),
            ..Backlog::default()
        };
        let told = |requested, is_clamped, stale| clamped(&backlog(requested, is_clamped, stale));
        assert_eq!(
            told(Some(1024), true, false).as_deref(),
            Some("listen(1024) was clamped to somaxconn 128")
        );
        assert_eq!(
            told(Some(u64::from(u32::MAX)), true, false).as_deref(),
            Some("listen(-1) was clamped to somaxconn 128")
        );
        assert_eq!(
            told(Some(1024), true, true).as_deref(),
            Some(
                "listen(1024) was clamped to 128; somaxconn is 4096 since, \
                 which takes another listen()"
            )
        );
        assert_eq!(told(Some(100), false, false), None);
        assert_eq!(clamped(&Backlog::default()), None);
    }

    #[test]
    fn doubts_are_one_sentence() {
        let doubtful = |limit| Backlog {
            limit: Some(limit),
            somaxconn: Some(8192),
            maybe_clamped: true,
            ..Backlog::default()
        };
        let sure = Backlog { maybe_clamped: false, ..doubtful(128) };
        assert_eq!(doubts([&sure, &sure]), None);
        assert_eq!(
            doubts([&sure, &doubtful(128)]).as_deref(),
            Some(
                "1 limit equals an earlier or usual net.core.somaxconn (128): listen() may have been \
                 clamped to that, which cannot be seen; somaxconn is higher now, and another listen() \
                 could raise it"
            )
        );
        let several = [doubtful(4096), doubtful(128), doubtful(128)];
        let told = doubts(&several).unwrap_or_default();
        assert!(told.starts_with("3 limits equal an earlier or usual"), "{told}");
        assert!(told.contains("(128, 4096)") && told.ends_with("raise them"), "{told}");
    }
}
