//! Classes of tests of which none could run: what is said first, and when it is a failure. Pure.

use std::{collections::BTreeMap, fmt};

use crate::setup::{Missing, POLLING_NGINX, PYTHON_PACKAGES, SERVERS, TRACE_ENGINE};

/// A class of tests that was skipped as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// What did not run.
    pub(crate) what: String,
    /// Why.
    pub(crate) reason: String,
    /// What makes it run.
    pub(crate) cure: String,
    /// Whether all that was missing are packages that could not be fetched.
    pub(crate) unfetched: bool,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NOT RUN: {}: {}; {}", self.what, self.reason, self.cure)
    }
}

/// Whether this is continuous integration, where nobody reads what was skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// What is wrong with a run in which these classes were skipped; nothing where somebody reads it, and
/// where no more could be done without a network.
pub(crate) fn complaint(lacks: &[Lack], ci: bool) -> Option<String> {
    let whats: Vec<_> =
        lacks.iter().filter(|lack| !lack.unfetched).map(|lack| lack.what.as_str()).collect();
    (ci && !whats.is_empty()).then(|| {
        format!(
            "with CI=true nothing may be left out but for want of a network: {}",
            whats.join(", ")
        )
    })
}

/// A need that is shared by a class of tests.
struct Need {
    /// What the reason of their skips begins with (`observer/tests/system/host.rs`).
    reason: &'static str,
    what: &'static str,
    cure: &'static str,
    /// What set-up installs or builds for them.
    package: Option<&'static str>,
}

const NEEDS: [Need; 9] = [
    Need {
        reason: "needs root",
        what: "all tests that need root",
        cure: "as root, where Cargo is not: sudo env \"HOME=$HOME\" \"PATH=$PATH\" cargo xtask test",
        package: None,
    },
    Need {
        reason: "this kernel cannot be observed",
        what: "all tests that observe this kernel",
        cure: "`observer doctor` says what it lacks",
        package: None,
    },
    Need {
        reason: "nginx is not installed",
        what: "all tests of nginx",
        cure: "sudo apt-get install --no-install-recommends nginx",
        package: Some("nginx"),
    },
    Need {
        reason: "no nginx polls here",
        what: "all tests of an nginx that polls",
        cure: "`cargo xtask test` builds one where apt has sources of Debian, and \
               OBSERVER_TEST_NGINX names another",
        package: Some(POLLING_NGINX),
    },
    Need {
        reason: "no server of Debian",
        what: "tests of real servers, and of deploy/ with real tools",
        cure: "`cargo xtask test` unpacks them on Debian",
        package: Some(SERVERS),
    },
    Need {
        reason: "no parser of traces",
        what: "the test that a trace viewer reads what trace writes",
        cure: "`cargo xtask test` fetches one by npm, and OBSERVER_TEST_TRACE_ENGINE names another",
        package: Some(TRACE_ENGINE),
    },
    Need {
        reason: "no Python packages",
        what: "tests against the schemas of Kubernetes",
        cure: "`cargo xtask test` installs them where python3 has venv",
        package: Some(PYTHON_PACKAGES),
    },
    Need {
        reason: "no cgroup hierarchy",
        what: "all tests of cgroups",
        cure: "mount -t cgroup2 none /sys/fs/cgroup",
        package: None,
    },
    Need {
        reason: "ss and ip are not installed",
        what: "all tests against ss",
        cure: "sudo apt-get install --no-install-recommends iproute2",
        package: Some("iproute2"),
    },
];

/// The classes among tests that were skipped, by name with their reason. `missing` is what set-up could
/// not get.
pub(crate) fn of_tests(skips: &BTreeMap<String, Option<String>>, missing: &[Missing]) -> Vec<Lack> {
    let lack = |need: &Need| {
        let mut reasons = skips.values().flatten().filter(|reason| reason.starts_with(need.reason));
        let reason = reasons.next()?;
        let missing = missing.iter().find(|one| Some(one.package) == need.package);
        Some(Lack {
            what: need.what.to_owned(),
            reason: missing
                .map_or_else(|| reason.clone(), |one| format!("{reason} ({})", one.reason)),
            cure: need.cure.to_owned(),
            unfetched: missing.is_some_and(|one| one.unfetched),
        })
    };
    NEEDS.iter().filter_map(lack).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn lack(what: &str, unfetched: bool) -> Lack {
        let text = |text: &str| text.to_owned();
        Lack { what: text(what), reason: text("gone"), cure: text("bring it"), unfetched }
    }

    #[test]
    fn what_was_skipped_is_said_with_its_cure() {
        assert_eq!(lack("nginx", false).to_string(), "NOT RUN: nginx: gone; bring it");
    }

    #[test]
    fn only_ci_complains_and_only_where_more_could_be_done() {
        let (here, gone) = (lack("nginx", false), lack("all virtual machines", true));
        assert_eq!(complaint(&[], true), None);
        assert_eq!(complaint(&[here.clone(), gone.clone()], false), None);
        assert_eq!(complaint(std::slice::from_ref(&gone), true), None);
        let complaint = complaint(&[here, gone], true).expect("a complaint");
        assert!(complaint.contains("nginx") && !complaint.contains("machines"), "{complaint}");
    }

    #[test]
    fn classes_are_found_by_the_reasons_of_their_tests() {
        let skip = |name: &str, reason: &str| (name.to_owned(), Some(reason.to_owned()));
        let skips = BTreeMap::from([
            skip("nginx::a", "nginx is not installed"),
            skip("nginx::b", "nginx is not installed"),
            skip("verifier::a", "this kernel allows no fexit programs"),
            ("other".to_owned(), None),
        ]);
        let missing =
            |unfetched| Missing { package: "nginx", reason: "E: no".to_owned(), unfetched };
        for unfetched in [true, false] {
            let lacks = of_tests(&skips, &[missing(unfetched)]);
            assert_eq!(lacks.len(), 1, "{lacks:?}");
            assert_eq!(lacks[0].what, "all tests of nginx");
            assert_eq!(lacks[0].reason, "nginx is not installed (E: no)");
            assert_eq!(lacks[0].unfetched, unfetched);
        }
        assert!(!of_tests(&skips, &[])[0].unfetched, "set-up did not even try");
        assert_eq!(of_tests(&BTreeMap::new(), &[missing(false)]), [], "nothing was skipped");
    }
}
