//! Servers that run programs of others, but for those in Python.

use super::entry::{Apply, Backlog, By, Entry, Lines, Sharing, Sign};

/// The rows.
pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "node",
        signs: &[Sign::sure(By::Exe("node")), Sign::sure(By::Exe("nodejs"))],
        one_acceptor: true,
        backlog: Backlog {
            note: "In a cluster the backlog of the first worker that listens counts.",
            ..Backlog::new(
                "511",
                Lines::new("the program", &["server.listen({ port: {port}, backlog: {backlog} })"]),
            )
        },
        sharing: Sharing {
            fix: "leave cluster.schedulingPolicy at its default SCHED_RR, with which the primary accepts for \
                  all",
            set: Lines::new(
                "the program's primary",
                &["cluster.schedulingPolicy = cluster.SCHED_RR"],
            ),
            price: "each connection is handed from the primary to a worker",
            ..Sharing::UNKNOWN
        },
        exhausted: "accepts every connection that waits and closes it at once: clients are connected, and \
                    lost",
        slow: "find what blocks the event loop: accept waits for it",
        source: "https://nodejs.org/api/net.html#serverlisten, https://nodejs.org/api/cluster.html; libuv: \
                 src/unix/stream.c",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "php-fpm",
        signs: &[Sign::sure(By::ExePrefix("php-fpm")), Sign::sure(By::Title("php-fpm: "))],
        backlog: Backlog {
            apply: Apply::Restart("USR2 inherits the sockets and does not call listen()"),
            ..Backlog::new("511", Lines::new("the pool's file", &["listen.backlog = {backlog}"]))
        },
        exhausted: "ends the child process that met it and starts another",
        files: Lines::new("the pool's file", &["rlimit_files = {files}"]),
        slow: "raise pm.max_children",
        source: "https://www.php.net/install.fpm.configuration; php: sapi/fpm/www.conf.in",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "puma",
        signs: &[Sign::sure(By::Title("puma ")), Sign::sure(By::Title("puma: "))],
        backlog: Backlog {
            apply: Apply::Restart("one that inherits its sockets does not listen on them again"),
            ..Backlog::new(
                "1024",
                Lines::new("config/puma.rb", &["bind 'tcp://{endpoint}?backlog={backlog}'"]),
            )
        },
        sharing: Sharing {
            fix: "use fewer workers with more threads each: its workers wait in select() on one socket",
            ..Sharing::UNKNOWN
        },
        exhausted: "logs `Listen loop` and tries again without a pause",
        slow: "raise `workers` or `threads`",
        source: "puma: lib/puma/dsl.rb, lib/puma/server.rb",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "pitchfork",
        signs: &[Sign::sure(By::Title("pitchfork"))],
        sharing: Sharing {
            fix: "use several SO_REUSEPORT sockets",
            set: Lines::new(
                "pitchfork's configuration, 0.15 and later",
                &["listen {port}, queues: 4"],
            ),
            price: "the backlog is divided by their number",
            ..Sharing::UNKNOWN
        },
        source: "pitchfork: docs/CONFIGURATION.md",
        ..UNICORN
    },
    UNICORN,
    Entry {
        name: "tomcat",
        signs: &[
            Sign::sure(By::Argument("java", "org.apache.catalina.startup.Bootstrap")),
            Sign::doubtful(By::Task("http-nio-"), "only the name of a thread says so"),
        ],
        one_acceptor: true,
        backlog: Backlog::new(
            "100",
            Lines::new(
                "server.xml, on the Connector (with Spring Boot: server.tomcat.accept-count)",
                &["acceptCount=\"{backlog}\""],
            ),
        ),
        exhausted: "pauses for 50 ms, doubling up to 1.6 s",
        slow: "raise maxConnections (8192), above which it stops accepting, and maxThreads",
        source: "tomcat: webapps/docs/config/http.xml, java/org/apache/tomcat/util/net/Acceptor.java",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "jetty",
        signs: &[Sign::doubtful(
            By::Argument("java", "start.jar"),
            "other programs in Java have a start.jar too",
        )],
        one_acceptor: true,
        backlog: Backlog::new(
            "50",
            Lines::new("start.d/http.ini", &["jetty.http.acceptQueueSize={backlog}"]),
        ),
        exhausted: "pauses for 1 s",
        source: "jetty: AbstractConnector.java; JDK: ServerSocketChannelImpl.java",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "kafka",
        signs: &[Sign::sure(By::Argument("java", "kafka.Kafka"))],
        one_acceptor: true,
        backlog: Backlog::new(
            "50",
            Lines::new("server.properties", &["socket.listen.backlog.size={backlog}"]),
        ),
        exhausted: "logs an error and tries again without a pause",
        source: "kafka: SocketServerConfigs.java, SocketServer.scala",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "java",
        signs: &[Sign::doubtful(
            By::Runtime("java"),
            "which framework this Java program listens with is not known",
        )],
        backlog: Backlog::new(
            "50 where the program names none",
            Lines::new("the program", &["new ServerSocket({port}, {backlog})"]),
        ),
        source: "JDK: ServerSocketChannelImpl.java",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "kestrel",
        signs: &[Sign::doubtful(
            By::Exe("dotnet"),
            "the executable is that of any program in .NET",
        )],
        one_acceptor: true,
        backlog: Backlog::new(
            "512",
            Lines::new("the program", &["UseSockets(options => options.Backlog = {backlog})"]),
        ),
        source: "https://learn.microsoft.com: SocketTransportOptions.Backlog",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "go",
        signs: &[Sign::sure(By::Go)],
        // The runtime's threads take turns, and their shares say nothing.
        one_acceptor: true,
        backlog: Backlog {
            note: "Go asks for net.core.somaxconn, and has no option for another number.",
            ..Backlog::SOMAXCONN
        },
        exhausted: "waits 5 ms, doubling up to 1 s, and logs it where it uses net/http",
        source: "Go: src/net/sock_linux.go, src/net/http/server.go (Serve)",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "actix",
        signs: &[Sign::sure(By::Task("actix-server ac"))],
        one_acceptor: true,
        backlog: Backlog::new(
            "1024 (actix-web), 2048 (actix-server)",
            Lines::new("the program", &[".backlog({backlog})"]),
        ),
        exhausted: "turns the listener off for 500 ms",
        source: "actix-net: actix-server/src/accept.rs",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "tokio",
        signs: &[Sign::doubtful(
            By::Task("tokio-rt-worker"),
            "only the name of a thread says so, and the program may listen by other means",
        )],
        one_acceptor: true,
        backlog: Backlog {
            note: "mio asks for 1024 up to 1.0.4, for as much as somaxconn in 1.1 and for 128 from 1.2 on.",
            ..Backlog::new(
                "128 (mio 1.2 and later)",
                Lines::new("the program", &["TcpSocket::listen({backlog})"]),
            )
        },
        exhausted: "does what the program does; axum pauses for 1 s",
        source: "mio: CHANGELOG.md (1.1.0, 1.2.0); axum: src/serve/listener.rs",
        ..Entry::UNKNOWN
    },
];

const UNICORN: Entry = Entry {
    name: "unicorn",
    signs: &[Sign::sure(By::Title("unicorn"))],
    backlog: Backlog::new(
        "1024",
        Lines::new("unicorn's configuration", &["listen {port}, backlog: {backlog}"]),
    ),
    exhausted: "logs it and tries again without a pause",
    slow: "raise worker_processes",
    source: "unicorn: lib/unicorn/configurator.rb",
    ..Entry::UNKNOWN
};
