use super::*;
use crate::setup::facts::{NGINX_COMMANDS, TEST_COMMANDS, TOOLCHAIN_PACKAGES};

/// Debian, as root, with rustup and everything that set-up makes.
fn complete() -> Facts {
    Facts {
        debian: true,
        root: true,
        rustup: true,
        chosen: None,
        linked: Core::Compiled,
        nightly: Core::Missing,
        current: Core::Missing,
        own_linker: true,
        path_linker: None,
        missing_packages: Vec::new(),
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

fn commands(plan: Plan) -> Vec<String> {
    match plan {
        Plan::Tell(_, commands) => commands,
        other => panic!("{other:?} tells nothing"),
    }
}

#[test]
fn complete_is_ready() {
    assert_eq!(plan(&complete()), Plan::Ready(Way::Linked));
}

#[test]
fn bare_debian_takes_every_step() {
    let steps = vec![Step::Packages(TOOLCHAIN_PACKAGES.to_vec()), Step::Linker, Step::Link];
    assert_eq!(plan(&bare()), Plan::Do(steps));
}

#[test]
fn without_the_linker_only_it_is_built() {
    let facts = Facts { own_linker: false, ..complete() };
    assert_eq!(plan(&facts), Plan::Do(vec![Step::Linker]));
}

#[test]
fn without_the_link_only_it_is_made() {
    let facts = Facts { linked: Core::Missing, ..complete() };
    assert_eq!(plan(&facts), Plan::Do(vec![Step::Link]));
}

#[test]
fn a_package_that_is_not_used_any_more_does_not_matter() {
    let facts = Facts { missing_packages: vec!["llvm-22-dev"], ..complete() };
    assert_eq!(plan(&facts), Plan::Ready(Way::Linked));
}

#[test]
fn without_root_the_command_is_shown() {
    let facts = Facts { root: false, missing_packages: vec!["cargo-web", "rustc-web"], ..bare() };
    let commands = commands(plan(&facts));
    assert!(commands[0].starts_with("sudo apt-get"), "{commands:?}");
    assert!(commands[0].ends_with(" cargo-web rustc-web"), "{commands:?}");
}

#[test]
fn without_root_the_rest_is_still_done() {
    let facts = Facts { root: false, missing_packages: Vec::new(), ..bare() };
    assert_eq!(plan(&facts), Plan::Do(vec![Step::Linker, Step::Link]));
}

#[test]
fn without_rustup_nothing_is_linked() {
    let facts = Facts { rustup: false, ..bare() };
    let steps = vec![Step::Packages(TOOLCHAIN_PACKAGES.to_vec()), Step::Linker];
    assert_eq!(plan(&facts), Plan::Do(steps));
    let facts = Facts { rustup: false, linked: Core::Missing, ..complete() };
    assert!(matches!(plan(&facts), Plan::Tell(..)));
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
    assert_eq!(commands(plan(&facts)).len(), 2);
    assert_eq!(commands(plan(&Facts { rustup: false, ..facts.clone() })).len(), 3);
    let facts = Facts { nightly: Core::Source, ..facts };
    assert_eq!(commands(plan(&facts)), [install_linker()]);
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
