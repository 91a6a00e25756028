use std::collections::BTreeSet;

use super::*;

fn process(exe: &str, argv: &[&str], comm: &str) -> Identity {
    Identity {
        exe: (!exe.is_empty()).then(|| exe.to_owned()),
        argv: Some(argv.iter().map(|one| (*one).to_owned()).collect()),
        comm: Some(comm.to_owned()),
        ..Identity::default()
    }
}

fn with_tasks(mut identity: Identity, tasks: &[&str]) -> Identity {
    identity.tasks = tasks.iter().map(|one| (*one).to_owned()).collect();
    identity
}

fn child_of(mut identity: Identity, parent: Identity) -> Identity {
    identity.parent = Some(Box::new(parent));
    identity
}

/// The name, and whether it is a doubt.
fn told(identity: &Identity) -> Option<(&'static str, bool)> {
    recognise(identity).map(|one| (one.server.name, one.doubt.is_some()))
}

#[test]
fn servers_are_sure_by_executable_argument_or_title() {
    let spawned = ["python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"];
    let rows: &[(&str, Identity)] = &[
        ("nginx", process("nginx", &["nginx: worker process"], "nginx")),
        ("nginx", process("openresty", &["nginx: master process /usr/bin/openresty"], "openresty")),
        // Where the executable may not be seen.
        ("nginx", process("", &["nginx: worker process"], "nginx")),
        ("haproxy", process("", &["/usr/sbin/haproxy", "-Ws"], "haproxy")),
        ("angie", process("angie", &["angie: worker process #3"], "angie")),
        ("haproxy", process("haproxy", &["/usr/sbin/haproxy", "-Ws"], "haproxy")),
        ("httpd", process("apache2", &["/usr/sbin/apache2", "-k", "start"], "apache2")),
        ("httpd", process("httpd", &["/usr/sbin/httpd"], "httpd")),
        ("lighttpd", process("lighttpd", &["lighttpd", "-D"], "lighttpd")),
        (
            "gunicorn",
            process("python3.11", &["/usr/bin/python3", "/usr/bin/gunicorn", "app:a"], "gunicorn"),
        ),
        ("gunicorn", process("python3.11", &["python3", "-m", "gunicorn", "app:a"], "python3")),
        ("gunicorn", process("python3.11", &["gunicorn: worker [app]"], "gunicorn")),
        (
            "gunicorn",
            process(
                "python3.11",
                &["python3", "/bin/gunicorn", "-k", "uvicorn.workers.UvicornWorker"],
                "gunicorn",
            ),
        ),
        ("uvicorn", process("python3.11", &["python3", "/bin/uvicorn", "app:a"], "uvicorn")),
        (
            "uvicorn",
            child_of(
                process("python3.11", &spawned, "python3"),
                process("python3.11", &["python3", "/bin/uvicorn", "--workers", "4"], "uvicorn"),
            ),
        ),
        ("hypercorn", process("python3.11", &["python3", "/bin/hypercorn"], "hypercorn")),
        ("granian", process("python3.11", &["granian worker-1"], "granian")),
        ("uwsgi", process("uwsgi-core", &["uwsgi", "--ini", "a.ini"], "uwsgi")),
        ("uwsgi", process("python3.11", &["uWSGI worker 1"], "uwsgi")),
        ("php-fpm", process("php-fpm8.2", &["php-fpm: pool www"], "php-fpm8.2")),
        ("node", process("node", &["node", "app.js"], "node-MainThread")),
        ("kafka", process("java", &["java", "-Xmx1G", "kafka.Kafka", "server.properties"], "java")),
        (
            "tomcat",
            process("java", &["java", "org.apache.catalina.startup.Bootstrap", "start"], "java"),
        ),
        ("puma", process("ruby3.1", &["puma: cluster worker 0: 12 [app]"], "ruby3.1")),
        ("puma", process("ruby3.1", &["puma 8.0.2 (tcp://0.0.0.0:80) [app]"], "ruby3.1")),
        ("unicorn", process("ruby3.1", &["unicorn worker[0] -c a.rb"], "ruby3.1")),
        ("pitchfork", process("ruby3.1", &["pitchfork (gen:0) worker[1] - ready"], "ruby3.1")),
        (
            "postgres",
            process("postgres", &["/usr/lib/postgresql/15/bin/postgres", "-D"], "postgres"),
        ),
        ("mysql", process("mysqld", &["/usr/sbin/mysqld"], "mysqld")),
        ("mariadb", process("mariadbd", &["/usr/sbin/mariadbd"], "mariadbd")),
        ("memcached", process("memcached", &["/usr/bin/memcached", "-m", "64"], "memcached")),
        (
            "redis",
            process("redis-server", &["/usr/bin/redis-server 127.0.0.1:6379"], "redis-server"),
        ),
        ("redis", process("redis-check-rdb", &["/usr/bin/redis-server *:6379"], "redis-server")),
        ("valkey", process("valkey-server", &["valkey-server *:6379"], "valkey-server")),
        ("varnish", process("varnishd", &["/usr/sbin/varnishd"], "cache-main")),
        (
            "sshd",
            process("sshd", &["sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"], "sshd"),
        ),
        ("rabbitmq", process("beam.smp", &["beam.smp", "-s", "rabbit", "boot"], "beam.smp")),
        ("envoy", process("envoy", &["envoy", "-c", "a.yaml"], "envoy")),
        ("docker-proxy", process("docker-proxy", &["/usr/bin/docker-proxy"], "docker-proxy")),
        ("zeromq", with_tasks(process("myhost", &["./myhost"], "myhost"), &["ZMQbg/IO/0"])),
        ("actix", with_tasks(process("web", &["./web"], "web"), &["actix-server ac"])),
        ("go", Identity { go: true, ..process("traefik", &["traefik"], "traefik") }),
        ("caddy", Identity { go: true, ..process("caddy", &["caddy", "run"], "caddy") }),
        ("systemd", process("systemd", &["/sbin/init"], "systemd")),
    ];
    for (name, identity) in rows {
        assert_eq!(told(identity), Some((*name, false)), "{identity:?}");
    }
}

#[test]
fn a_doubt_is_told_as_one() {
    for (name, identity) in [
        ("python", process("python3.11", &["python3", "server.py"], "python3")),
        ("java", process("java", &["java", "-jar", "app.jar"], "java")),
        ("jetty", process("java", &["java", "-jar", "/opt/jetty/start.jar"], "java")),
        (
            "tomcat",
            with_tasks(process("java", &["java", "-jar", "app.jar"], "java"), &["http-nio-8080-A"]),
        ),
        ("kestrel", process("dotnet", &["dotnet", "app.dll"], ".NET")),
        ("tokio", with_tasks(process("api", &["./api"], "api"), &["tokio-rt-worker"])),
        ("postfix", process("smtpd", &["smtpd", "-n", "smtp"], "smtpd")),
    ] {
        assert_eq!(told(&identity), Some((name, true)), "{identity:?}");
    }
}

#[test]
fn what_is_not_known_is_not_guessed() {
    for identity in [
        Identity::default(),
        process("myserver", &["./myserver", "--like", "nginx"], "myserver"),
        // A file of that name is no server.
        process("vim", &["vim", "/etc/gunicorn"], "vim"),
        process("nginx-prometheus-exporter", &["nginx-prometheus-exporter"], "nginx-prometheu"),
        process("beam.smp", &["beam.smp", "-noshell"], "beam.smp"),
        process("ruby3.1", &["ruby", "server.rb"], "ruby"),
    ] {
        assert_eq!(told(&identity), None, "{identity:?}");
    }
}

#[test]
fn a_parent_tells_an_ingress() {
    let controller =
        process("nginx-ingress-controller", &["/nginx-ingress-controller"], "nginx-ingress-c");
    let master = child_of(process("nginx", &["nginx: master process"], "nginx"), controller);
    assert_eq!(told(&master), Some(("ingress-nginx", false)));
    let worker = child_of(process("nginx", &["nginx: worker process"], "nginx"), master);
    assert_eq!(told(&worker), Some(("ingress-nginx", false)));
    // Only what Python spawned is asked for its parent.
    let python = process("python3.11", &["python3", "server.py"], "python3");
    let uvicorn = process("python3.11", &["python3", "/bin/uvicorn"], "uvicorn");
    assert_eq!(told(&child_of(python, uvicorn)), Some(("python", true)));
}

#[test]
fn one_acceptor_is_by_design() {
    let one = [
        "node",
        "memcached",
        "mysql",
        "postgres",
        "redis",
        "kafka",
        "tomcat",
        "jetty",
        "kestrel",
        "actix",
        "sshd",
    ];
    for name in one {
        assert!(by_name(name).is_some_and(|server| server.one_acceptor), "{name}");
    }
    for name in ["nginx", "haproxy", "httpd", "uwsgi", "gunicorn", "php-fpm", "unicorn"] {
        assert!(by_name(name).is_some_and(|server| !server.one_acceptor), "{name}");
    }
}

#[test]
fn each_row_is_whole() {
    let names: BTreeSet<&str> = all().map(|server| server.name).collect();
    assert_eq!(names.len(), all().count(), "two rows have one name");
    for server in all() {
        let name = server.name;
        assert!(
            !name.is_empty() && !server.signs.is_empty() && !server.source.is_empty(),
            "{name}"
        );
        let sets = [server.backlog.set, server.sharing.set, server.files];
        for set in sets {
            assert_eq!(set.place.is_empty(), set.lines.is_empty(), "{name}: {set:?}");
        }
        let note = server.backlog.note;
        assert!(note.is_empty() || note.ends_with('.'), "{name}: {note}");
        let clauses = [
            server.exhausted,
            server.slow,
            server.sharing.fix,
            server.sharing.price,
            server.sharing.uneven,
            server.backlog.zero,
            server.source,
        ];
        let texts = clauses.into_iter().chain([note]);
        for text in texts.clone() {
            assert!(!text.contains('\n') && !text.contains("  "), "{name}: {text}");
            assert!(!text.contains("tcp_max_syn_backlog"), "{name}: {text}");
        }
        for clause in clauses {
            assert!(!clause.ends_with('.'), "{name}: {clause}");
        }
    }
}
