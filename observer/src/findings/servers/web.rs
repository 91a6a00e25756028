//! Web servers and proxies.

use super::entry::{Apply, Backlog, By, Entry, Lines, Sharing, Sign};

/// The rows.
pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "ingress-nginx",
        signs: &[Sign::sure(By::Below("nginx", "nginx-ingress-controller"))],
        backlog: Backlog {
            note: "The controller takes the backlog from the pod's net.core.somaxconn.",
            ..Backlog::SOMAXCONN
        },
        sharing: Sharing {
            fix: "leave `reuse-port` at its default of true in the controller's ConfigMap",
            ..Sharing::UNKNOWN
        },
        files: Lines::new(
            "the controller's ConfigMap, under data",
            &["max-worker-open-files: \"{files}\""],
        ),
        source: "ingress-nginx: internal/ingress/controller/config/config.go; \
                 https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/",
        ..NGINX
    },
    NGINX,
    Entry {
        name: "angie",
        signs: &[Sign::sure(By::Exe("angie")), Sign::sure(By::Title("angie: "))],
        backlog: Backlog {
            set: Lines::new(
                "angie.conf, on one `listen` of this address",
                &["listen {endpoint} backlog={backlog};"],
            ),
            apply: Apply::Reload { command: "angie -s reload" },
            ..NGINX.backlog
        },
        ..NGINX
    },
    Entry {
        name: "haproxy",
        signs: &[Sign::sure(By::Exe("haproxy"))],
        backlog: Backlog {
            set: Lines::new("haproxy.cfg, in the frontend", &["bind {endpoint} backlog {backlog}"]),
            apply: Apply::Restart(
                "a reload hands the old process's sockets over and does not call listen()",
            ),
            ..Backlog::new("the frontend's maxconn, else 1024", Lines::NONE)
        },
        sharing: Sharing {
            fix: "give each thread a socket of its own",
            set: Lines::new("haproxy.cfg, in the frontend", &["bind {endpoint} shards by-thread"]),
            price: "as many sockets as threads, and more CPU time",
            ..Sharing::UNKNOWN
        },
        exhausted: "pauses the listener for up to 100 ms and logs an emergency; at the global maxconn for 1 s",
        files: Lines::new("haproxy.cfg, section global", &["ulimit-n {files}"]),
        slow: "raise `maxconn`, which makes it stop accepting, or `nbthread`",
        source: "https://docs.haproxy.org: configuration (backlog, shards, maxconn, fd-hard-limit), \
                 management (-x)",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "httpd",
        signs: &[Sign::sure(By::Exe("apache2")), Sign::sure(By::Exe("httpd"))],
        backlog: Backlog {
            set: Lines::new(
                "httpd.conf or apache2.conf, server context",
                &["ListenBackLog {backlog}"],
            ),
            apply: Apply::Restart("a graceful restart keeps the sockets: stop it and start it"),
            ..Backlog::new("511", Lines::NONE)
        },
        sharing: Sharing {
            fix: "with the event MPM, use fewer child processes with more threads each, or one socket for \
                  each few CPUs",
            set: Lines::new(
                "httpd.conf or apache2.conf, server context",
                &["ListenCoresBucketsRatio 8"],
            ),
            price: "it takes a machine with twice as many cores as the ratio",
            ..Sharing::UNKNOWN
        },
        exhausted: "ends the child process that met it",
        slow: "raise MaxRequestWorkers",
        source: "https://httpd.apache.org/docs/2.4/mod/mpm_common.html#listenbacklog, \
                 #listencoresbucketsratio",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "lighttpd",
        signs: &[Sign::sure(By::ExePrefix("lighttpd"))],
        backlog: Backlog::new(
            "1024",
            Lines::new("lighttpd.conf", &["server.listen-backlog = {backlog}"]),
        ),
        sharing: Sharing {
            fix: "set server.max-worker to 0 or 1: its workers share one socket",
            set: Lines::new("lighttpd.conf", &["server.max-worker = 0"]),
            price: "one process serves all",
            ..Sharing::UNKNOWN
        },
        exhausted: "says nothing; above 90 % of server.max-fds it stops accepting until they are below 80 %",
        files: Lines::new("lighttpd.conf", &["server.max-fds = {files}"]),
        source: "lighttpd: doc/config/lighttpd.annotated.conf, src/network.c",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "envoy",
        signs: &[Sign::sure(By::Exe("envoy"))],
        backlog: Backlog {
            set: Lines::new("the listener's configuration", &["tcp_backlog_size: {backlog}"]),
            ..Backlog::SOMAXCONN
        },
        sharing: Sharing {
            fix: "leave `enable_reuse_port` at its default of true",
            set: Lines::new("the listener's configuration", &["enable_reuse_port: true"]),
            price: "connections are spread by a hash, and not evenly; see connection_balance_config",
            ..Sharing::UNKNOWN
        },
        exhausted: "tries again without a pause, on a CPU of its own",
        source: "envoy: api/envoy/config/listener/v3/listener.proto",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "caddy",
        signs: &[Sign::sure(By::Exe("caddy"))],
        one_acceptor: true,
        backlog: Backlog {
            note: "Go asks for net.core.somaxconn, and has no option for another number.",
            ..Backlog::SOMAXCONN
        },
        exhausted: "waits 5 ms, doubling up to 1 s, and logs it",
        source: "Go: src/net/sock_linux.go, src/net/http/server.go (Serve)",
        ..Entry::UNKNOWN
    },
    Entry {
        name: "docker-proxy",
        signs: &[Sign::sure(By::Exe("docker-proxy"))],
        one_acceptor: true,
        backlog: Backlog::SOMAXCONN,
        exhausted: "ends: any error of accept stops this proxy",
        source: "moby: cmd/docker-proxy, libnetwork/portallocator",
        ..Entry::UNKNOWN
    },
];

const NGINX: Entry = Entry {
    name: "nginx",
    signs: &[
        Sign::sure(By::Exe("nginx")),
        Sign::sure(By::Exe("openresty")),
        Sign::sure(By::Title("nginx: ")),
    ],
    backlog: Backlog {
        set: Lines::new(
            "nginx.conf, on one `listen` of this address",
            &["listen {endpoint} backlog={backlog};"],
        ),
        apply: Apply::Reload { command: "nginx -s reload" },
        ..Backlog::new("511", Lines::NONE)
    },
    sharing: Sharing {
        fix: "use epoll, in which nginx 1.11.3 and later waits with EPOLLEXCLUSIVE, or give each worker a \
              socket of its own",
        set: Lines::new("nginx.conf", &["listen {endpoint} reuseport;"]),
        price: "connections are spread by a hash and wait behind a busy worker, and a reload to fewer \
                workers closes sockets with their queues",
        uneven: "upgrade nginx where it is older than 1.21.6, which shares evenly with EPOLLEXCLUSIVE, and else leave \
                 it while that worker keeps up",
    },
    exhausted: "turns its listeners off for accept_mutex_delay (500 ms) and logs `accept4() failed (24: \
                Too many open files)`",
    files: Lines::new("nginx.conf, main context", &["worker_rlimit_nofile {files};"]),
    slow: "raise worker_processes, and take blocking work out of the workers",
    source: "https://nginx.org/en/docs/http/ngx_http_core_module.html#listen, \
             https://nginx.org/en/docs/ngx_core_module.html#worker_rlimit_nofile",
    ..Entry::UNKNOWN
};
