//! Databases, caches and brokers.

use super::entry::{Backlog, By, Entry, Lines, Sign};

/// The rows.
pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "postgres",
        signs: &[Sign::sure(By::Exe("postgres")), Sign::sure(By::Exe("postmaster"))],
        one_acceptor: true,
        backlog: Backlog {
            note: "It follows max_connections: twice that.",
            ..Backlog::new(
                "twice max_connections",
                Lines::new("postgresql.conf", &["max_connections = {half}"]),
            )
        },
        exhausted: "logs `could not accept new connection` and waits 100 ms",
        slow: "put a pooler before it: the postmaster starts a process for each connection",
        source: "postgresql: src/backend/libpq/pqcomm.c",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "mysql",
        signs: &[Sign::sure(By::Exe("mysqld"))],
        one_acceptor: true,
        backlog: Backlog::new(
            "max_connections (8.0)",
            Lines::new("my.cnf, section [mysqld]", &["back_log = {backlog}"]),
        ),
        exhausted: "sleeps for 1 s and logs every 256th time",
        files: Lines::new("my.cnf, section [mysqld]", &["open_files_limit = {files}"]),
        source: "https://dev.mysql.com/worklog/task/?id=9704",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "mariadb",
        signs: &[Sign::sure(By::Exe("mariadbd"))],
        one_acceptor: true,
        backlog: Backlog::new(
            "150, sized by itself",
            Lines::new("my.cnf, section [mariadbd]", &["back_log = {backlog}"]),
        ),
        source: "https://mariadb.com/docs/ent/ref/mdb/system-variables/back_log/",
        ..Entry::UNKNOWN
    },
    REDIS,
    Entry {
        name: "valkey",
        signs: &[Sign::sure(By::Exe("valkey-server")), Sign::sure(By::Task("valkey-server"))],
        ..REDIS
    },
    Entry {
        name: "memcached",
        signs: &[Sign::sure(By::Exe("memcached")), Sign::sure(By::Task("mc-worker"))],
        one_acceptor: true,
        backlog: Backlog {
            zero: "memcached calls listen() with 0 while it has no descriptor left: the limit of 0 is no \
                   setting",
            ..Backlog::new("1024", Lines::new("memcached's command line", &["-b {backlog}"]))
        },
        exhausted: "calls listen() with 0 and looks every 10 ms whether there is room",
        files: Lines::new(
            "memcached's command line (connections, which set the limit)",
            &["-c {files}"],
        ),
        source: "memcached: doc/memcached.1, memcached.c (do_accept_new_conns)",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "rabbitmq",
        signs: &[Sign::sure(By::Argument("beam.smp", "rabbit"))],
        backlog: Backlog::new(
            "128",
            Lines::new("rabbitmq.conf", &["tcp_listen_options.backlog = {backlog}"]),
        ),
        exhausted: "waits 100 ms and logs that it reduces its accept rate",
        source: "rabbitmq: deps/rabbit/docs/rabbitmq.conf.example; ranch: src/ranch_acceptor.erl",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "zeromq",
        signs: &[Sign::sure(By::Task("ZMQbg/"))],
        one_acceptor: true,
        backlog: Backlog::new(
            "100",
            Lines::new("the program: socket option ZMQ_BACKLOG", &["ZMQ_BACKLOG = {backlog}"]),
        ),
        exhausted: "tries again without a pause",
        source: "libzmq: src/options.cpp, src/tcp_listener.cpp",
        ..Entry::UNKNOWN
    },
];

const REDIS: Entry = Entry {
    name: "redis",
    // Debian's is a link to redis-check-rdb, which the executable is then.
    signs: &[Sign::sure(By::Exe("redis-server")), Sign::sure(By::Task("redis-server"))],
    one_acceptor: true,
    backlog: Backlog::new(
        "511",
        Lines::new("redis.conf (valkey.conf)", &["tcp-backlog {backlog}"]),
    ),
    exhausted: "logs it and tries again each time round its loop",
    files: Lines::new(
        "redis.conf (valkey.conf): it is cut to the limit on open files less 32",
        &["maxclients {files}"],
    ),
    slow: "find slow commands (SLOWLOG GET): one thread accepts and runs them",
    source: "redis: redis.conf (tcp-backlog, maxclients), src/config.c",
    ..Entry::UNKNOWN
};
