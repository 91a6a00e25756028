//! Daemons of the system.

use super::entry::{Apply, Backlog, By, Entry, Lines, Sign};

/// The rows.
pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "varnish",
        signs: &[
            Sign::sure(By::Exe("varnishd")),
            Sign::doubtful(By::Task("cache-worker"), "only the name of a thread says so"),
        ],
        backlog: Backlog::new(
            "1024",
            Lines::new("varnishd's command line", &["-p listen_depth={backlog}"]),
        ),
        exhausted: "counts sess_fail_emfile and tries again without a pause (acceptor_sleep_incr is 0)",
        source: "varnish-cache: include/tbl/params.h",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "postfix",
        signs: &[Sign::doubtful(By::Exe("smtpd"), "OpenSMTPD's has the same name")],
        backlog: Backlog {
            note: "It follows the process limit of master.cf, and is default_process_limit at least.",
            ..Backlog::new(
                "default_process_limit (100)",
                Lines::new("main.cf", &["default_process_limit = {backlog}"]),
            )
        },
        exhausted: "logs it and tries again",
        source: "postfix: src/master/master_listen.c",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "sshd",
        signs: &[Sign::sure(By::Exe("sshd")), Sign::sure(By::Title("sshd: "))],
        one_acceptor: true,
        backlog: Backlog {
            note: "sshd's backlog of 128 is compiled in; connections that it drops after accept are those \
                   of MaxStartups.",
            ..Backlog::new("128", Lines::NONE)
        },
        exhausted: "waits 100 ms",
        slow: "raise MaxStartups in sshd_config where connections are closed after accept",
        source: "openssh: ssh.h, sshd_config.5",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "systemd",
        signs: &[Sign::sure(By::Exe("systemd"))],
        one_acceptor: true,
        backlog: Backlog {
            set: Lines::new("the .socket unit, section [Socket]", &["Backlog={backlog}"]),
            apply: Apply::Restart("the .socket unit, which listens, and not the service"),
            ..Backlog::SOMAXCONN
        },
        source: "systemd.socket(5)",
        ..Entry::UNKNOWN
    },
];
