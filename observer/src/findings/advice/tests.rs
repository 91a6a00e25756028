use super::*;
use crate::{
    findings::fixtures::{drops, listener, worker},
    findings::servers,
    model::{Container, Holder, Server},
};

fn server(name: &str) -> Server {
    Server {
        name: (!name.is_empty()).then(|| name.to_owned()),
        pid: 4242,
        own_netns: Some(true),
        open_files_limit: Some(1024),
        ..Server::default()
    }
}

fn of(name: &str) -> Listener {
    let mut one = listener();
    one.holders = Some(vec![Holder { pid: 4242, comm: "a".into(), fd: 6, wait: None }]);
    one.server = Some(server(name));
    one.backlog.somaxconn = Some(128);
    one
}

fn container(runtime: &str, kubernetes: bool) -> Option<Container> {
    Some(Container { runtime: Some(runtime.to_owned()), id: "0123456789ab".into(), kubernetes })
}

fn advice(id: &str, listener: &Listener) -> Advice {
    for_finding(id, &Context { listener, needed: None })
}

/// Fix and steps in one text.
fn text(id: &str, listener: &Listener) -> String {
    let Advice { fix, steps, .. } = advice(id, listener);
    format!("{}\n{}", fix.unwrap_or_default(), steps.join("\n"))
}

#[test]
fn nginx_is_reloaded_once_its_number_changed() {
    let mut one = of("nginx");
    one.server.as_mut().expect("one").unit = Some("nginx.service".into());
    let told = advice(id::ACCEPT_QUEUE_OVERFLOW, &one);
    assert_eq!(
        told.steps,
        [
            "sysctl -w net.core.somaxconn=1024",
            "echo 'net.core.somaxconn = 1024' > /etc/sysctl.d/90-net.core.somaxconn.conf",
            "# in nginx.conf, on one `listen` of this address:",
            "listen 127.0.0.1:80 backlog=1024;",
            "systemctl reload nginx.service",
        ]
    );
    let fix = told.fix.expect("a fix of its own");
    assert!(
        fix.contains("net.core.somaxconn (now 128) and nginx's backlog (511 by default)"),
        "{fix}"
    );
    assert!(fix.ends_with("then reload it."), "{fix}");
    assert!(told.source.is_some_and(|source| source.contains("nginx.org")));
    // Nothing asks for more than somaxconn gives, so there is only that to raise, and no reload listens again.
    one.backlog.requested = Some(1024);
    let told = text(id::ACCEPT_QUEUE_OVERFLOW, &one);
    assert!(
        !told.contains("listen 127.0.0.1") && told.ends_with("systemctl restart nginx.service"),
        "{told}"
    );
    assert!(
        text(id::BACKLOG_CLAMPED, &one).contains("restart nginx (a reload is enough only where")
    );
}

#[test]
fn what_is_needed_is_what_is_asked_for() {
    let one = of("haproxy");
    let context = Context { listener: &one, needed: Some(1400) };
    let told = for_finding(id::ACCEPT_QUEUE_OVERFLOW, &context);
    assert!(told.steps.contains(&"bind 127.0.0.1:80 backlog 2048".to_owned()), "{told:?}");
    let fix = told.fix.expect("a fix of its own");
    assert!(
        fix.contains("to 2048 (1400 would have been enough this time), then restart it"),
        "{fix}"
    );
    let told = text(id::ACCEPT_QUEUE_OVERFLOW, &one);
    assert!(told.contains("to 1024 or so"), "{told}");
}

#[test]
fn no_reload_is_told_that_does_not_listen_again() {
    for name in ["haproxy", "httpd", "php-fpm", "uwsgi", "gunicorn", "redis", "lighttpd"] {
        let mut one = of(name);
        one.server.as_mut().expect("one").unit = Some("a.service".into());
        for id in [id::ACCEPT_QUEUE_OVERFLOW, id::BACKLOG_CLAMPED] {
            let told = text(id, &one);
            assert!(told.contains("systemctl restart a.service"), "{name}: {told}");
            assert!(!told.contains("systemctl reload"), "{name}: {told}");
        }
    }
}

#[test]
fn who_asks_for_somaxconn_has_nothing_else_to_set() {
    let mut one = of("caddy");
    one.backlog.requested = Some(128);
    let told = text(id::ACCEPT_QUEUE_OVERFLOW, &one);
    assert!(
        told.contains("sysctl -w net.core.somaxconn=1024") && !told.contains("caddy's backlog"),
        "{told}"
    );
}

#[test]
fn sysctls_are_those_of_the_namespace() {
    let mut one = of("redis");
    let mut place = |own, container| {
        let server = one.server.as_mut().expect("one");
        (server.own_netns, server.container) = (own, container);
        advice(id::BACKLOG_CLAMPED, &one).steps.join("\n")
    };
    assert!(place(Some(true), None).starts_with("sysctl -w net.core.somaxconn=1024\necho "));
    let other = place(Some(false), None);
    assert!(other.starts_with("nsenter --net=/proc/4242/ns/net sysctl -w net.core.somaxconn=1024"));
    assert!(!other.contains("/etc/sysctl.d"), "{other}");
    assert!(place(None, None).starts_with("# in the listener's network namespace:"));
    // A restart of a container makes its network namespace anew.
    let docker = place(Some(false), container("docker", false));
    assert!(docker.contains("docker run --sysctl net.core.somaxconn=1024"), "{docker}");
    assert!(!docker.contains("nsenter") && !docker.contains("docker restart"), "{docker}");
    // With the host's network the sysctl is the host's.
    let host = place(Some(true), container("docker", false));
    assert!(
        host.contains("/etc/sysctl.d") && host.ends_with("docker restart 0123456789ab"),
        "{host}"
    );
    let pod = place(Some(false), container("containerd", true));
    assert!(pod.contains("sysctls: [{name: net.core.somaxconn, value: \"1024\"}]"), "{pod}");
    assert!(pod.contains("--allowed-unsafe-sysctls=net.core.somaxconn"), "{pod}");
}

#[test]
fn a_container_that_is_only_reloaded_keeps_its_namespace() {
    let mut one = of("nginx");
    let server = one.server.as_mut().expect("one");
    (server.own_netns, server.container) = (Some(false), container("docker", false));
    let told = text(id::ACCEPT_QUEUE_OVERFLOW, &one);
    assert!(told.contains("nsenter --net=/proc/4242/ns/net sysctl"), "{told}");
    assert!(told.ends_with("docker exec 0123456789ab nginx -s reload"), "{told}");
}

#[test]
fn tcp_max_syn_backlog_is_told_without_cookies_only() {
    let ids = [
        id::ACCEPT_QUEUE_OVERFLOW,
        id::ACCEPT_QUEUE_NEAR_LIMIT,
        id::SYN_QUEUE_OVERFLOW,
        id::BACKLOG_CLAMPED,
        id::SILENT_CLIENTS,
        id::SLOW_ACCEPT,
    ];
    let names = servers::all().map(|server| server.name).chain([""]);
    for name in names {
        let mut one = of(name);
        one.drops = drops(&[("syn_queue_full", 7), ("syn_queue_last_quarter", 7)]);
        one.backlog.tcp_max_syn_backlog = Some(128);
        for id in ids {
            assert!(!text(id, &one).contains("tcp_max_syn_backlog"), "{name} {id}");
        }
        one.backlog.syncookies = Some(0);
        let told = text(id::SYN_QUEUE_OVERFLOW, &one);
        assert!(told.contains("net.ipv4.tcp_syncookies=1"), "{told}");
        assert!(told.contains("net.ipv4.tcp_max_syn_backlog=1024"), "{told}");
        assert!(told.contains("net.core.somaxconn=1024"), "{told}");
    }
}

#[test]
fn a_higher_somaxconn_takes_a_restart_alone() {
    let mut one = of("uwsgi");
    (one.backlog.stale, one.backlog.somaxconn) = (Some(true), Some(4096));
    let told = text(id::BACKLOG_CLAMPED, &one);
    assert!(told.starts_with("Restart uwsgi (a reload inherits the socket)"), "{told}");
    assert!(!told.contains("sysctl -w"), "{told}");
    one.server = None;
    assert_eq!(advice(id::BACKLOG_CLAMPED, &one), Advice::default());
}

#[test]
fn descriptors_are_raised_at_once_and_for_good() {
    let mut one = of("nginx");
    one.accept_errors.insert("EMFILE".into(), 5);
    let mut failing = worker(4250, 1);
    failing.accept_errors.insert("EMFILE".into(), 5);
    one.workers = vec![worker(4249, 1), failing];
    one.server.as_mut().expect("one").unit = Some("nginx.service".into());
    assert_eq!(
        advice(id::FD_EXHAUSTED, &one).steps,
        [
            "# in nginx.conf, main context:",
            "worker_rlimit_nofile 65536;",
            "# at once, until it is restarted:",
            "prlimit --pid 4250 --nofile=65536:65536",
            "mkdir -p /etc/systemd/system/nginx.service.d",
            "printf '[Service]\\nLimitNOFILE=65536\\n' > /etc/systemd/system/nginx.service.d/open-files.conf",
            "systemctl daemon-reload && systemctl restart nginx.service",
        ]
    );
    for (hard, limits) in [(524_288, "65536:"), (4096, "4096:"), (1024, "65536:65536")] {
        one.server.as_mut().expect("one").open_files_hard_limit = Some(hard);
        let step = format!("prlimit --pid 4250 --nofile={limits}");
        assert!(advice(id::FD_EXHAUSTED, &one).steps.contains(&step), "{hard}");
    }
    let fix = advice(id::FD_EXHAUSTED, &one).fix.expect("a fix");
    assert!(fix.contains("LimitNOFILE=") && fix.contains("nginx turns its listeners off"), "{fix}");
    one.accept_errors.clear();
    one.accept_errors.insert("ENFILE".into(), 5);
    assert_eq!(advice(id::FD_EXHAUSTED, &one).steps, ["sysctl fs.file-nr fs.file-max"]);
}

#[test]
fn a_limit_of_zero_is_a_symptom_of_memcached() {
    let mut one = of("memcached");
    one.backlog.limit = Some(0);
    let told = text(id::ACCEPT_QUEUE_OVERFLOW, &one);
    assert!(told.contains("no setting") && told.contains("prlimit"), "{told}");
    assert!(!told.contains("somaxconn"), "{told}");
}

#[test]
fn a_doubt_is_in_the_fix() {
    let mut one = of("python");
    one.server.as_mut().expect("one").doubt = Some("nobody knows".into());
    let fix = advice(id::ACCEPT_QUEUE_OVERFLOW, &one).fix.expect("a fix");
    assert!(fix.ends_with(" Taken for python: nobody knows."), "{fix}");
}

#[test]
fn a_herd_is_cured_as_the_server_can() {
    let told = text(id::THUNDERING_HERD, &of("uwsgi"));
    assert!(told.contains("thunder-lock = true") && told.contains("the price: a lock"), "{told}");
    // It restarts whatever starts it, which is not known here; nothing in its table says what else.
    assert_eq!(advice(id::THUNDERING_HERD, &of("redis")), Advice::default());
    assert_eq!(advice(id::THUNDERING_HERD, &of("")), Advice::default());
    let nginx = text(id::THUNDERING_HERD, &of("nginx"));
    assert!(nginx.ends_with("listen 127.0.0.1:80 reuseport;\nnginx -s reload"), "{nginx}");
}

#[test]
fn one_acceptor_is_no_finding() {
    assert!(is_by_design(id::ONE_WORKER_TAKES_ALL, &of("memcached")));
    assert!(!is_by_design(id::ONE_WORKER_TAKES_ALL, &of("nginx")));
    assert!(!is_by_design(id::ONE_WORKER_TAKES_ALL, &listener()));
    assert!(!is_by_design(id::SLOW_ACCEPT, &of("memcached")));
}

#[test]
fn every_advice_is_of_whole_sentences_and_lines() {
    let findings = crate::findings::RULES.iter().map(|rule| rule.id());
    for id in findings {
        for name in servers::all().map(|server| server.name).chain([""]) {
            for own in [Some(true), Some(false), None] {
                let mut one = of(name);
                one.address = "::".into();
                one.server.as_mut().expect("one").own_netns = own;
                one.accept_errors.insert("EMFILE".into(), 1);
                let Advice { fix, steps, source } = advice(id, &one);
                for step in &steps {
                    assert!(!step.is_empty() && !step.contains('\n'), "{name} {id}: {step}");
                    for hole in ["{endpoint}", "{port}", "{backlog}", "{half}", "{files}"] {
                        assert!(!step.contains(hole), "{name} {id}: {step}");
                    }
                }
                if let Some(fix) = fix {
                    assert!(
                        fix.ends_with('.') && !fix.contains('\n') && !fix.contains("  "),
                        "{fix}"
                    );
                    assert!(source.is_some_and(|source| !source.ends_with('.')), "{name} {id}");
                }
            }
        }
    }
    let mut one = of("nginx");
    one.address = "::".into();
    assert!(text(id::ACCEPT_QUEUE_OVERFLOW, &one).contains("listen [::]:80 backlog=1024;"));
}
