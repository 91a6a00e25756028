//! Servers that run programs in Python.

use super::entry::{Apply, Backlog, By, Entry, Lines, Sharing, Sign};

/// The rows.
pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "uwsgi",
        signs: &[Sign::sure(By::ExePrefix("uwsgi")), Sign::sure(By::Title("uWSGI "))],
        backlog: Backlog {
            apply: Apply::Restart("a reload inherits the socket"),
            note: "uWSGI does not start with a listen above net.core.somaxconn: raise that first.",
            ..Backlog::new("100", Lines::new("uwsgi.ini", &["listen = {backlog}"]))
        },
        sharing: Sharing {
            fix: "let one worker at a time wait; --reuse-port is no help, since it makes one socket for all",
            set: Lines::new("uwsgi.ini", &["thunder-lock = true"]),
            price: "a lock for each accept",
            ..Sharing::UNKNOWN
        },
        exhausted: "tries again without a pause and without a word in the log",
        files: Lines::new("uwsgi.ini", &["max-fd = {files}"]),
        slow: "raise `processes` or `threads`",
        source: "https://uwsgi-docs.readthedocs.io/en/latest/articles/SerializingAccept.html; uwsgi: \
                 core/init.c, core/socket.c",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "gunicorn",
        signs: &[
            Sign::sure(By::Argument("python", "gunicorn")),
            Sign::sure(By::Title("gunicorn: ")),
        ],
        backlog: Backlog {
            apply: Apply::Restart("HUP listens again only where the address changed"),
            ..Backlog::new("2048", Lines::new("gunicorn's command line", &["--backlog {backlog}"]))
        },
        sharing: Sharing {
            fix: "give each worker a socket of its own, which gunicorn 24.0.0 and later does, or use fewer \
                  workers with `--threads`",
            set: Lines::new("gunicorn's command line, 24.0.0 and later", &["--reuse-port"]),
            price: "connections are spread by a hash and wait behind a busy worker; before 24.0.0 the \
                    option only marks the one socket that all share",
            ..Sharing::UNKNOWN
        },
        exhausted: "loses the worker with `Exception in worker process` (sync, gthread) and starts another",
        slow: "raise `--workers` or `--threads`",
        source: "https://docs.gunicorn.org: settings (backlog, reuse_port, workers)",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "uvicorn",
        signs: &[Sign::sure(By::Argument("python", "uvicorn"))],
        backlog: Backlog::new(
            "2048",
            Lines::new("uvicorn's command line", &["--backlog {backlog}"]),
        ),
        sharing: Sharing {
            fix: "use fewer `--workers`, or run several behind a proxy on a port each: uvicorn has no option \
                  for SO_REUSEPORT",
            ..Sharing::UNKNOWN
        },
        exhausted: "pauses for 1 s; before CPython's fix gh-151615 asyncio first calls accept up to 2048 \
                    times, so that failed calls are no number of clients",
        slow: "raise `--workers`, and take blocking calls out of the event loop",
        source: "uvicorn: docs/settings.md; https://github.com/python/cpython/issues/151615",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "hypercorn",
        signs: &[Sign::sure(By::Argument("python", "hypercorn"))],
        backlog: Backlog::new(
            "100",
            Lines::new("hypercorn's command line", &["--backlog {backlog}"]),
        ),
        sharing: Sharing {
            fix: "use fewer `--workers`: they share one socket",
            ..Sharing::UNKNOWN
        },
        slow: "raise `--workers`, and take blocking calls out of the event loop",
        source: "hypercorn: src/hypercorn/config.py",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "granian",
        signs: &[Sign::sure(By::Argument("python", "granian")), Sign::sure(By::Title("granian "))],
        backlog: Backlog::new(
            "1024",
            Lines::new("granian's command line (128 at least)", &["--backlog {backlog}"]),
        ),
        slow: "raise `--workers`",
        source: "granian: README.md",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "python",
        signs: &[Sign::doubtful(
            By::Runtime("python"),
            "which framework this Python program listens with is not known",
        )],
        backlog: Backlog {
            note: "asyncio asks for 100, socketserver for 5 and multiprocessing's Listener for 1 where the \
                   program names no number.",
            ..Backlog::new(
                "100 (asyncio), 5 (socketserver), 1 (multiprocessing)",
                Lines::new(
                    "the program: asyncio's start_server or create_server; with socketserver, an attribute of \
                     the server's class",
                    &["backlog={backlog}", "request_queue_size = {backlog}"],
                ),
            )
        },
        exhausted: "pauses for 1 s where it uses asyncio, which before CPython's fix gh-151615 first calls \
                    accept as often as its backlog is long",
        slow: "take blocking calls out of the event loop, or accept in a thread of its own",
        source: "CPython: Lib/asyncio/base_events.py, Lib/socketserver.py; \
                 https://github.com/python/cpython/issues/151615",
        ..Entry::UNKNOWN
    },
];
