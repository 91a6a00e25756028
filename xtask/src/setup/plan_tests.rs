use super::*;
use crate::setup::{
    facts::{NGINX_COMMANDS, TEST_COMMANDS},
    needed::TOOLCHAIN_PACKAGES,
};

/// Debian, as root, with rustup and everything that set-up makes.
fn complete() -> Facts {
    Facts {
        typed: "cargo xtask run".to_owned(),
        debian: true,
        root: true,
        rustup: true,
        chosen: None,
        linked: Core::Compiled,
        nightly: Core::Missing,
        current: Core::Missing,
        own_linker: true,
        path_linker: None,
        mismatch: None,
        missing_packages: Vec::new(),
        in_the_way: Vec::new(),
        unpacked: false,
        lints: true,
        missing_commands: Vec::new(),
        polling_nginx: true,
        trace_engine: true,
        python_packages: true,
        python_environments: true,
        missing_servers: Vec::new(),
        missing_nginx_commands: Vec::new(),
    }
}

/// The same, before the first set-up.
fn bare() -> Facts {
    Facts {
        linked: Core::Missing,
        own_linker: false,
        missing_packages: TOOLCHAIN_PACKAGES.to_vec(),
        lints: false,
        missing_commands: TEST_COMMANDS.to_vec(),
        polling_nginx: false,
        trace_engine: false,
        python_packages: false,
        python_environments: false,
        missing_servers: vec!["haproxy", "redis-server"],
        missing_nginx_commands: NGINX_COMMANDS.to_vec(),
        ..complete()
    }
}

/// A reason and the commands that are told.
fn told(plan: Plan) -> (String, Vec<String>) {
    match plan {
        Plan::Tell(reason, commands) => (reason, commands),
        other => panic!("{other:?} tells nothing"),
    }
}

fn commands(plan: Plan) -> Vec<String> {
    told(plan).1
}

const AGAIN: &str = "cargo xtask run";
const NIGHTLY: &str = "rustup toolchain install nightly --component rust-src";
const RUSTUP: [&str; 2] =
    ["curl --proto '=https' -sSf https://sh.rustup.rs | sh", ". ~/.cargo/env"];

#[test]
fn complete_is_ready() {
    assert_eq!(plan(&complete()), Plan::Ready(Way::Linked));
}

#[test]
fn bare_debian_takes_every_step() {
    let system = Place::System;
    let packages = Step::Packages(TOOLCHAIN_PACKAGES.to_vec());
    let steps = vec![packages, Step::Linker(system), Step::Link(system)];
    assert_eq!(plan(&bare()), Plan::Do(steps));
}

#[test]
fn without_the_linker_only_it_is_built() {
    let facts = Facts { own_linker: false, ..complete() };
    assert_eq!(plan(&facts), Plan::Do(vec![Step::Linker(Place::System)]));
}

#[test]
fn without_the_link_only_it_is_made() {
    let facts = Facts { linked: Core::Missing, ..complete() };
    assert_eq!(plan(&facts), Plan::Do(vec![Step::Link(Place::System)]));
}

#[test]
fn a_package_that_is_not_used_any_more_does_not_matter() {
    let facts = Facts { missing_packages: vec!["llvm-22-dev"], ..complete() };
    assert_eq!(plan(&facts), Plan::Ready(Way::Linked));
}

/// The steps that need neither root nor installed packages.
fn unpacking() -> Plan {
    let tools = Place::Tools;
    Plan::Do(vec![Step::Unpack, Step::Linker(tools), Step::Link(tools)])
}

#[test]
fn without_root_the_packages_are_unpacked() {
    let facts = Facts { root: false, ..bare() };
    assert_eq!(plan(&facts), unpacking());
    // A part of them is not enough.
    let part = Facts { missing_packages: vec!["cargo-web"], ..facts.clone() };
    assert_eq!(plan(&part), unpacking());
    let tools = Place::Tools;
    let rest = Plan::Do(vec![Step::Linker(tools), Step::Link(tools)]);
    assert_eq!(plan(&Facts { unpacked: true, ..facts }), rest, "nothing is fetched twice");
}

#[test]
fn packages_in_the_way_are_left_in_peace() {
    for package in ["cargo", "rustc", "rustup"] {
        let facts = Facts { in_the_way: vec![package], ..bare() };
        assert_eq!(plan(&facts), unpacking(), "{package}");
        assert_eq!(plan(&Facts { root: false, ..facts }), unpacking(), "{package}");
    }
}

#[test]
fn packages_in_the_way_and_no_rustup_are_told_in_one_sentence() {
    for root in [true, false] {
        let facts = Facts { rustup: false, root, in_the_way: vec!["cargo", "rustc"], ..bare() };
        let (reason, commands) = told(plan(&facts));
        assert_eq!(commands, [RUSTUP[0], RUSTUP[1], AGAIN], "apt would refuse");
        assert!(!root || reason.contains("beside cargo and rustc"), "{reason}");
    }
}

#[test]
fn without_root_and_rustup_both_ways_are_told() {
    let missing_packages = vec!["cargo-web", "rustc-web"];
    let facts = Facts { root: false, rustup: false, missing_packages, ..bare() };
    let commands = commands(plan(&facts));
    assert_eq!(commands[..3], [RUSTUP[0], RUSTUP[1], AGAIN]);
    assert!(commands[4].starts_with("sudo apt-get"), "{commands:?}");
    assert!(commands[4].ends_with(" cargo-web rustc-web"), "{commands:?}");
    assert_eq!(commands[5..], [AGAIN]);
}

#[test]
fn without_root_the_rest_is_still_done() {
    let facts = Facts { root: false, missing_packages: Vec::new(), ..bare() };
    let system = Place::System;
    assert_eq!(plan(&facts), Plan::Do(vec![Step::Linker(system), Step::Link(system)]));
}

#[test]
fn what_fails_can_be_done_by_hand() {
    let facts = Facts { root: false, ..bare() };
    let commands = by_hand(&facts);
    assert!(commands[0].starts_with("sudo apt-get"), "{commands:?}");
    assert_eq!(commands[1], AGAIN);
    assert_eq!(commands[3..], [NIGHTLY.to_owned(), install_linker(), AGAIN.to_owned()]);
    for facts in [Facts { in_the_way: vec!["cargo"], ..facts }, bare()] {
        assert_eq!(by_hand(&facts)[0], NIGHTLY, "apt refuses, or has refused");
    }
}

#[test]
fn without_rustup_nothing_is_linked() {
    let facts = Facts { rustup: false, ..bare() };
    let packages = Step::Packages(TOOLCHAIN_PACKAGES.to_vec());
    assert_eq!(plan(&facts), Plan::Do(vec![packages, Step::Linker(Place::System)]));
    let facts = Facts { rustup: false, linked: Core::Missing, ..complete() };
    assert_eq!(commands(plan(&facts)), [format!("PATH=/usr/bin:$PATH {AGAIN}")]);
    let facts = Facts { current: Core::Compiled, ..facts };
    assert_eq!(plan(&facts), Plan::Ready(Way::Current));
}

#[test]
fn a_complete_nightly_is_preferred_to_installing() {
    let facts =
        Facts { nightly: Core::Source, path_linker: Some("/bin/bpf-linker".into()), ..bare() };
    assert_eq!(plan(&facts), Plan::Ready(Way::Nightly));
    assert!(matches!(plan(&Facts { path_linker: None, ..facts.clone() }), Plan::Do(_)));
    assert!(matches!(plan(&Facts { nightly: Core::Missing, ..facts }), Plan::Do(_)));
}

#[test]
fn elsewhere_only_what_is_missing_is_told() {
    let facts = Facts { debian: false, ..bare() };
    let linker = install_linker();
    assert_eq!(commands(plan(&facts)), [NIGHTLY, &linker, AGAIN]);
    let all = [RUSTUP[0], RUSTUP[1], NIGHTLY, &linker, AGAIN];
    assert_eq!(commands(plan(&Facts { rustup: false, ..facts.clone() })), all);
    let facts = Facts { nightly: Core::Source, ..facts };
    assert_eq!(commands(plan(&facts)), [linker.as_str(), AGAIN]);
    let facts =
        Facts { nightly: Core::Missing, path_linker: Some("/bin/bpf-linker".into()), ..facts };
    assert_eq!(commands(plan(&facts)), [NIGHTLY, AGAIN]);
}

#[test]
fn a_linker_of_an_older_llvm_than_nightlys_is_told() {
    let facts = Facts {
        debian: false,
        nightly: Core::Source,
        path_linker: Some("/bin/bpf-linker".into()),
        mismatch: Some("Producer: 'LLVM23' Reader: 'LLVM 22'".to_owned()),
        ..bare()
    };
    let (reason, commands) = told(plan(&facts));
    assert!(reason.contains("Producer: 'LLVM23' Reader: 'LLVM 22'"), "{reason}");
    assert_eq!(commands, [format!("{} --force", install_linker()), AGAIN.to_owned()]);
    assert_eq!(plan(&Facts { mismatch: None, ..facts.clone() }), Plan::Ready(Way::Nightly));
    // Debian has another way.
    assert!(matches!(plan(&Facts { debian: true, ..facts }), Plan::Do(_)));
}

#[test]
fn a_choice_is_never_overridden() {
    let chosen = |core| Some(("mine".to_owned(), core));
    let facts = Facts { chosen: chosen(Core::Source), ..complete() };
    assert_eq!(plan(&facts), Plan::Ready(Way::Chosen("mine".to_owned())));
    assert!(matches!(plan(&Facts { own_linker: false, ..facts.clone() }), Plan::Tell(..)));
    assert!(matches!(plan(&Facts { chosen: chosen(Core::Missing), ..facts }), Plan::Tell(..)));
}

#[test]
fn extras_are_installed_only_for_who_wants_them() {
    let facts = bare();
    assert_eq!(extras(&facts, Goal::Build, &Way::Linked), Extras::default());
    assert_eq!(extras(&facts, Goal::Check, &Way::Linked).install, [LINT_PACKAGE]);
    assert_eq!(extras(&facts, Goal::Check, &Way::Nightly), Extras::default());
    let test = extras(&facts, Goal::Test, &Way::Linked);
    let packages = [
        "chromium",
        "curl",
        "gcc",
        "iproute2",
        "make",
        "nginx",
        "nodejs",
        "npm",
        "openssl",
        "procps",
        "python3",
        "python3-markdown-it",
        "python3-venv",
        "strace",
        "sudo",
        "tmux",
        "util-linux",
    ];
    assert_eq!(test.install, packages);
    assert!(test.nginx && test.trace_engine && test.python);
    assert_eq!(extras(&complete(), Goal::Test, &Way::Linked), Extras::default());
}

#[test]
fn extras_that_cannot_be_installed_are_said() {
    let facts = Facts { root: false, missing_commands: vec![("nginx", "nginx")], ..complete() };
    let extras = extras(&facts, Goal::Test, &Way::Linked);
    assert!(extras.install.is_empty());
    assert_eq!(extras.without.len(), 1);
}

#[test]
fn servers_are_unpacked_for_the_tests_on_debian() {
    let facts = Facts { missing_servers: vec!["haproxy"], root: false, ..complete() };
    assert_eq!(extras(&facts, Goal::Test, &Way::Linked).servers, ["haproxy"]);
    assert_eq!(extras(&facts, Goal::Check, &Way::Linked), Extras::default());
    let elsewhere = extras(&Facts { debian: false, ..facts }, Goal::Test, &Way::Linked);
    assert!(elsewhere.servers.is_empty() && elsewhere.without[0].contains("no haproxy"));
}

#[test]
fn an_nginx_that_polls_is_built_where_it_can_be() {
    let facts = Facts { polling_nginx: false, ..complete() };
    let built = Extras { nginx: true, ..Extras::default() };
    assert_eq!(extras(&facts, Goal::Check, &Way::Linked), Extras::default());
    assert_eq!(extras(&facts, Goal::Test, &Way::Linked), built);
    let facts = Facts { root: false, ..facts };
    assert_eq!(extras(&facts, Goal::Test, &Way::Linked), built, "it needs no root");
    let told = |facts: &Facts| {
        let Extras { install, nginx, without, .. } = extras(facts, Goal::Test, &Way::Linked);
        assert!(install.is_empty() && !nginx, "{facts:?}");
        without.join("\n")
    };
    let bare = Facts { missing_nginx_commands: vec![("make", "make")], ..facts.clone() };
    assert!(told(&bare).ends_with(&sudo_install(&["make"])));
    assert!(told(&Facts { debian: false, ..facts }).contains(nginx::CHOICE));
}

#[test]
fn python_packages_are_installed_where_python_makes_environments() {
    let facts = Facts { python_packages: false, root: false, ..complete() };
    let made = Extras { python: true, ..Extras::default() };
    assert_eq!(extras(&facts, Goal::Test, &Way::Linked), made, "it needs no root");
    assert_eq!(extras(&facts, Goal::Check, &Way::Linked), Extras::default());
    let without = Facts { python_environments: false, ..facts };
    for (debian, cure) in [(true, "python3-venv"), (false, "install Python's venv")] {
        let told = extras(&Facts { debian, ..without.clone() }, Goal::Test, &Way::Linked);
        assert!(!told.python && told.without[0].contains(cure), "{told:?}");
    }
    let root = extras(&Facts { root: true, ..without }, Goal::Test, &Way::Linked);
    assert!(root.python && root.install == [ENVIRONMENTS_PACKAGE], "{root:?}");
}
