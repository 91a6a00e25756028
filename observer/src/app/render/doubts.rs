//! Limits that may have been clamped, which nothing can tell.

use std::collections::BTreeSet;

use observer::model::Backlog;

/// One sentence on the limits that may have been clamped to an earlier somaxconn.
pub fn sentence<'a>(all: impl IntoIterator<Item = &'a Backlog>) -> Option<String> {
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
         which cannot be seen; somaxconn is higher now, so restarting the server may raise {them}",
        which.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_one_sentence() {
        let doubtful = |limit| Backlog {
            limit: Some(limit),
            somaxconn: Some(8192),
            maybe_clamped: true,
            ..Backlog::default()
        };
        let sure = Backlog { maybe_clamped: false, ..doubtful(128) };
        assert_eq!(sentence([&sure, &sure]), None);
        assert_eq!(
            sentence([&sure, &doubtful(128)]).as_deref(),
            Some(
                "1 limit equals an earlier or usual net.core.somaxconn (128): listen() may have been \
                 clamped to that, which cannot be seen; somaxconn is higher now, so restarting the \
                 server may raise it"
            )
        );
        let several = [doubtful(4096), doubtful(128), doubtful(128)];
        let told = sentence(&several).unwrap_or_default();
        assert!(told.starts_with("3 limits equal an earlier or usual"), "{told}");
        assert!(told.contains("(128, 4096)") && told.ends_with("raise them"), "{told}");
    }
}
