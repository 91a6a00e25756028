//! The servers: how each is started with a short queue, and what its fix must say.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;

use super::{
    program::Program,
    running::{Running, free_port},
};

/// A server.
pub struct Kind {
    /// In the name of its test.
    pub test: &'static str,
    /// Its name in findings.
    pub name: &'static str,
    /// Why it cannot be started here.
    pub lacks: fn() -> Option<String>,
    /// Its command, with a backlog; files go to the directory.
    command: fn(&Path, u16, u64) -> anyhow::Result<Command>,
    /// A step of its fix.
    pub step: &'static str,
    /// What its fix says of what applies it.
    pub apply: &'static str,
}

impl Kind {
    /// Starts it with a backlog.
    pub fn start(&self, backlog: u64) -> anyhow::Result<Running> {
        let (port, directory) = (free_port()?, tempfile::tempdir()?);
        let command = (self.command)(directory.path(), port, backlog)?;
        Running::start(command, port, directory)
    }
}

/// Writes a file of configuration, and says its path.
fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    Ok(path.to_str().context("a path")?.to_owned())
}

fn program(package: &str, name: &str) -> anyhow::Result<Program> {
    Program::find(package, name).with_context(|| format!("{package} is gone"))
}

pub const KINDS: &[Kind] = &[
    Kind {
        test: "nginx",
        name: "nginx",
        lacks: || Program::lacks("nginx", "nginx"),
        command: nginx,
        step: "listen 127.0.0.1:{port} backlog=1024;",
        apply: "reload it",
    },
    Kind {
        test: "haproxy",
        name: "haproxy",
        lacks: || Program::lacks("haproxy", "haproxy"),
        command: haproxy,
        step: "bind 127.0.0.1:{port} backlog 1024",
        apply: "restart it (a reload hands",
    },
    Kind {
        test: "apache_event",
        name: "httpd",
        lacks: || Program::lacks("apache2-bin", "apache2"),
        command: |directory, port, backlog| httpd(directory, port, backlog, "event"),
        step: "ListenBackLog 1024",
        apply: "restart it (a graceful restart keeps",
    },
    Kind {
        test: "apache_prefork",
        name: "httpd",
        lacks: || Program::lacks("apache2-bin", "apache2"),
        command: |directory, port, backlog| httpd(directory, port, backlog, "prefork"),
        step: "ListenBackLog 1024",
        apply: "restart it (a graceful restart keeps",
    },
    Kind {
        test: "lighttpd",
        name: "lighttpd",
        lacks: || Program::lacks("lighttpd", "lighttpd"),
        command: lighttpd,
        step: "server.listen-backlog = 1024",
        apply: "restart it",
    },
    Kind {
        test: "redis",
        name: "redis",
        lacks: || Program::lacks("redis-server", "redis-server"),
        command: redis,
        step: "tcp-backlog 1024",
        apply: "restart it",
    },
    Kind {
        test: "memcached",
        name: "memcached",
        lacks: || Program::lacks("memcached", "memcached"),
        command: memcached,
        step: "-b 1024",
        apply: "restart it",
    },
    Kind {
        test: "uwsgi",
        name: "uwsgi",
        lacks: || Program::lacks("uwsgi-core", "uwsgi-core"),
        command: uwsgi,
        step: "listen = 1024",
        apply: "restart it (a reload inherits the socket)",
    },
    Kind {
        test: "gunicorn",
        name: "gunicorn",
        lacks: || Program::lacks("gunicorn", "gunicorn"),
        command: gunicorn,
        step: "--backlog 1024",
        apply: "restart it (HUP listens again only",
    },
    Kind {
        test: "php_fpm",
        name: "php-fpm",
        lacks: || Program::lacks("php-fpm", "php-fpm"),
        command: php_fpm,
        step: "listen.backlog = 1024",
        apply: "restart it (USR2 inherits",
    },
    Kind {
        test: "node",
        name: "node",
        lacks: || Program::lacks("nodejs", "node"),
        command: node,
        step: "server.listen({ port: {port}, backlog: 1024 })",
        apply: "restart it",
    },
    Kind {
        test: "python_asyncio",
        name: "python",
        lacks: || Program::lacks("python3", "python3"),
        command: asyncio,
        step: "backlog=1024",
        apply: "restart it",
    },
    Kind {
        test: "python_socketserver",
        name: "python",
        lacks: || Program::lacks("python3", "python3"),
        command: socketserver,
        step: "request_queue_size = 1024",
        apply: "restart it",
    },
];

fn nginx(directory: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let root = directory.to_str().context("a path")?;
    let file = write(
        directory,
        "nginx.conf",
        &format!(
            "daemon off; user root; worker_processes 2;\n\
             pid {root}/pid; lock_file {root}/lock; error_log {root}/errors crit;\n\
             events {{ }}\n\
             http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b;\n\
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             server {{ listen 127.0.0.1:{port} backlog={backlog}; location / {{ deny all; }} }} }}\n"
        ),
    )?;
    let mut command = program("nginx", "nginx")?.command();
    command.args(["-p", root, "-e", &format!("{root}/errors"), "-c", &file]);
    Ok(command)
}

fn haproxy(directory: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let file = write(
        directory,
        "haproxy.cfg",
        &format!(
            "global\n maxconn 50\ndefaults\n mode tcp\n timeout client 5s\n timeout server 5s\n \
             timeout connect 1s\nfrontend f\n bind 127.0.0.1:{port} backlog {backlog}\n \
             default_backend b\nbackend b\n server s 127.0.0.1:9\n"
        ),
    )?;
    let mut command = program("haproxy", "haproxy")?.command();
    command.args(["-W", "-f", &file]);
    Ok(command)
}

fn httpd(directory: &Path, port: u16, backlog: u64, mpm: &str) -> anyhow::Result<Command> {
    let apache = program("apache2-bin", "apache2")?;
    let modules = apache.place("usr/lib/apache2/modules");
    let (root, modules) = (directory.display(), modules.display());
    let file = write(
        directory,
        "httpd.conf",
        &format!(
            "ServerRoot {root}\nLoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so\n\
             LoadModule authz_core_module {modules}/mod_authz_core.so\n\
             Listen 127.0.0.1:{port}\nListenBackLog {backlog}\nServerName localhost\n\
             DefaultRuntimeDir {root}\nPidFile {root}/pid\nErrorLog {root}/errors\n\
             User nobody\nGroup nogroup\nStartServers 2\n"
        ),
    )?;
    let mut command = apache.command();
    command.args(["-f", &file, "-D", "FOREGROUND"]);
    Ok(command)
}

fn lighttpd(directory: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let root = directory.display();
    let file = write(
        directory,
        "lighttpd.conf",
        &format!(
            "server.document-root = \"{root}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             server.listen-backlog = {backlog}\nserver.modules = ()\n"
        ),
    )?;
    let lighttpd = program("lighttpd", "lighttpd")?;
    let mut command = lighttpd.command();
    command.args(["-D", "-f", &file, "-m"]).arg(lighttpd.place("usr/lib/lighttpd"));
    Ok(command)
}

fn redis(_: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let mut command = program("redis-server", "redis-server")?.command();
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.args(["--tcp-backlog", &backlog.to_string()]);
    Ok(command)
}

fn memcached(_: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let mut command = program("memcached", "memcached")?.command();
    command.args(["-u", "root", "-l", "127.0.0.1", "-p", &port.to_string()]);
    command.args(["-b", &backlog.to_string()]);
    Ok(command)
}

fn uwsgi(_: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let mut command = program("uwsgi-core", "uwsgi-core")?.command();
    // SIGTERM reloads it otherwise.
    command.args(["--master", "--die-on-term", "--processes", "2"]);
    command.args(["--socket", &format!("127.0.0.1:{port}"), "--listen", &backlog.to_string()]);
    Ok(command)
}

fn gunicorn(directory: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    write(directory, "app.py", "def app(environ, start_response):\n    return []\n")?;
    let gunicorn = program("gunicorn", "gunicorn")?;
    // Debian's own Python, whatever is first on PATH.
    let mut command = Command::new("/usr/bin/python3");
    gunicorn.lend(&mut command);
    command.arg(&gunicorn.path).args(["--workers", "2", "--bind", &format!("127.0.0.1:{port}")]);
    command.args(["--backlog", &backlog.to_string(), "app:app"]);
    Ok(command)
}

fn php_fpm(directory: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let root = directory.display();
    let file = write(
        directory,
        "php-fpm.conf",
        &format!(
            "[global]\npid = {root}/pid\nerror_log = {root}/errors\ndaemonize = no\n[www]\n\
             user = nobody\ngroup = nogroup\nlisten = 127.0.0.1:{port}\nlisten.backlog = {backlog}\n\
             pm = static\npm.max_children = 2\n"
        ),
    )?;
    let mut command = program("php-fpm", "php-fpm")?.command();
    // Its modules are not where it looks for them.
    command.args(["-n", "-R", "-y", &file]);
    Ok(command)
}

fn node(_: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let mut command = program("nodejs", "node")?.command();
    command.arg("-e").arg(format!(
        "require('net').createServer().listen({{host: '127.0.0.1', port: {port}, backlog: {backlog}}})"
    ));
    Ok(command)
}

fn asyncio(_: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let mut command = program("python3", "python3")?.command();
    command.arg("-c").arg(format!(
        "import asyncio\n\
         async def main():\n    \
         server = await asyncio.start_server(lambda r, w: None, '127.0.0.1', {port}, backlog={backlog})\n    \
         await server.serve_forever()\n\
         asyncio.run(main())\n"
    ));
    Ok(command)
}

fn socketserver(_: &Path, port: u16, backlog: u64) -> anyhow::Result<Command> {
    let mut command = program("python3", "python3")?.command();
    command.arg("-c").arg(format!(
        "import socketserver\n\
         class Server(socketserver.TCPServer):\n    request_queue_size = {backlog}\n\
         Server(('127.0.0.1', {port}), socketserver.BaseRequestHandler).serve_forever()\n"
    ));
    Ok(command)
}
