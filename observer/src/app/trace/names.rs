//! What listeners, tasks, connections and times are called in lines and blocks.

use observer::{
    model::{Event, Task},
    units,
};

use crate::app::render::text;

/// `127.0.0.1:8080`, `[::1]:8080`, `*:8080` for every IPv4 address; nothing where there is no listener.
pub fn listener(address: Option<&str>, port: Option<u16>) -> String {
    let (Some(address), Some(port)) = (address, port) else { return String::new() };
    let host = match address {
        "0.0.0.0" => "*".to_owned(),
        six if six.contains(':') => format!("[{six}]"),
        four => four.to_owned(),
    };
    text::clean(&format!("{host}:{port}"))
}

/// The listener of an event.
pub fn of_event(event: &Event) -> String {
    listener(event.address.as_deref(), event.port)
}

/// `nginx 4242`, and `nginx 4242/4250` for a thread that is not the first.
pub fn task(task: &Task) -> String {
    let (comm, id) = task_parts(task);
    comm + &id
}

/// The name of a task, and its numbers.
pub fn task_parts(task: &Task) -> (String, String) {
    let Task { pid, tid, comm } = task;
    let id = match (pid, tid) {
        (Some(pid), Some(tid)) if pid != tid => format!(" {pid}/{tid}"),
        (Some(pid), _) => format!(" {pid}"),
        (None, _) => String::new(),
    };
    (text::clean(comm), id)
}

/// `#12`, and `#?` for a connection that is not known.
pub fn connection(number: Option<u64>) -> String {
    number.map_or_else(|| "#?".to_owned(), |number| format!("#{number}"))
}

/// Who connected.
pub fn client(client: Option<&str>) -> String {
    text::clean(client.unwrap_or("an unknown client"))
}

/// Seconds since the window opened, to the microsecond.
pub fn seconds(nanoseconds: u64) -> String {
    let micros = nanoseconds / 1_000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A time since something, as `+11 µs`.
pub fn since(nanoseconds: u64) -> String {
    format!("+{}", units::time(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::{connection, listener, seconds, task};
    use observer::model::Task;

    #[test]
    fn names() {
        assert_eq!(listener(Some("0.0.0.0"), Some(80)), "*:80");
        assert_eq!(listener(Some("::1"), Some(80)), "[::1]:80");
        assert_eq!(listener(None, Some(80)), "");
        assert_eq!(connection(Some(3)), "#3");
        assert_eq!(connection(None), "#?");
        assert_eq!(seconds(12_345_678_901), "12.345678");
        let named = |pid, tid| Task { pid, tid, comm: "a\u{1b}[2Jb".into() };
        assert_eq!(task(&named(Some(7), Some(8))), "a?[2Jb 7/8");
        assert_eq!(task(&named(Some(7), Some(7))), "a?[2Jb 7");
        assert_eq!(task(&named(None, None)), "a?[2Jb");
    }
}
