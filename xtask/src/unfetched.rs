//! Packages that could not be fetched.

/// Whether the words of apt or pip mean that a package could not be fetched, and not that it cannot be installed.
pub(crate) fn is_unfetched(said: &str) -> bool {
    [
        "Failed to fetch",
        "Unable to fetch",
        "Could not resolve",
        "Temporary failure resolving",
        "after connection broken by",
    ]
    .iter()
    .any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_conflicts_is_not_one_that_could_not_be_fetched() {
        assert!(is_unfetched("E: Failed to fetch http://a.example/b.deb  404  Not Found"));
        assert!(is_unfetched("W: Temporary failure resolving 'a.example'"));
        assert!(!is_unfetched("E: Packages need to be removed but remove is disabled."));
        assert!(!is_unfetched("trixie has no 4.19 kernel any more"));
    }
}
