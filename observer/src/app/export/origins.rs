//! What is looked up of the processes that hold listeners: where they run, and how many descriptors they have left.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use observer::{
    host::{cpu_time, identity, identity::Scope, task_state},
    model::Listener,
};

use super::place;

/// How long what was seen of descriptors is good, where the report tells none: of a process that may have run since, and
/// of one that has not. Another process may still set that one's limit, or open something in a table that both share.
const GOOD_FOR: Duration = Duration::from_secs(15);
const GOOD_AT_REST: Duration = Duration::from_secs(120);

/// Most processes of a listener that are looked at.
const MOST: usize = 8;

/// What is looked up.
pub trait Origins {
    /// Where a process runs.
    fn scope(&mut self, pid: u32) -> Scope;

    /// Open descriptors and limit of a listener's holders, as far as they are known.
    fn descriptors(&mut self, listener: &Listener, now: Instant) -> Vec<(u64, Option<u64>)>;

    /// Ends a report: what nobody asked for is forgotten.
    fn end_report(&mut self);
}

/// The processes of this host.
#[derive(Debug, Default)]
pub struct Host {
    descriptors: HashMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// CPU time that the process had used before.
    ran: Option<u64>,
    open: Option<(u64, Option<u64>)>,
    is_asked_for: bool,
}

impl Origins for Host {
    fn scope(&mut self, pid: u32) -> Scope {
        identity::scope(pid)
    }

    fn descriptors(&mut self, listener: &Listener, now: Instant) -> Vec<(u64, Option<u64>)> {
        let states = listener.holder_states.as_deref().unwrap_or_default();
        let told: Vec<_> = states
            .iter()
            .filter_map(|state| Some((state.descriptors?, state.descriptor_limit)))
            .collect();
        if !told.is_empty() {
            return told;
        }
        place::pids(listener).into_iter().take(MOST).filter_map(|pid| self.of(pid, now)).collect()
    }

    fn end_report(&mut self) {
        self.descriptors.retain(|_, seen| std::mem::take(&mut seen.is_asked_for));
    }
}

impl Host {
    fn of(&mut self, pid: u32, now: Instant) -> Option<(u64, Option<u64>)> {
        let look =
            |ran| Seen { at: now, ran, open: task_state::open_files(pid), is_asked_for: true };
        let seen = self.descriptors.entry(pid).or_insert_with(|| look(cpu_time::of_process(pid)));
        let age = now.saturating_duration_since(seen.at);
        if age >= GOOD_FOR {
            let ran = cpu_time::of_process(pid);
            if age >= GOOD_AT_REST || ran.is_none() || ran != seen.ran {
                *seen = look(ran);
            }
        }
        seen.is_asked_for = true;
        seen.open
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{BufRead as _, BufReader, Write as _},
        process::{Command, Stdio},
        thread,
        time::{Duration, Instant},
    };

    use observer::host::cpu_time;

    use super::{GOOD_AT_REST, GOOD_FOR, Host};

    /// Descriptors that a process has open; `None` where this kernel does not give their number.
    fn open(host: &mut Host, pid: u32, now: Instant) -> Option<u64> {
        host.of(pid, now).map(|(open, _)| open)
    }

    #[test]
    fn who_has_run_is_looked_at_again() {
        let (mut host, now, own) = (Host::default(), Instant::now(), std::process::id());
        let Some(_) = open(&mut host, own, now) else { return };
        let files: Vec<File> =
            (0..100).map(|_| File::open("/dev/null").expect("a descriptor")).collect();
        // Other tests of this process open and close some too, and none a hundred.
        let first = host.descriptors[&own].open;
        assert_eq!(host.of(own, now + GOOD_FOR / 2), first);
        let then = open(&mut host, own, now + GOOD_FOR).expect("its number");
        assert!(then >= first.expect("a number").0 + 50, "{then} after {first:?}");
        drop(files);
    }

    #[test]
    fn who_has_not_run_is_looked_at_once_in_a_while() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
        let pid = child.id();
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let stdin = child.stdin.as_mut().expect("its input");
        writeln!(stdin, "It has started.").expect("it reads");
        lines.next().expect("a line").expect("a line");
        // Until it has come to rest: its time does not grow any more.
        let mut ran = None;
        while ran.is_none() || ran != cpu_time::of_process(pid) {
            ran = cpu_time::of_process(pid);
            thread::sleep(Duration::from_millis(20));
        }
        let (mut host, now) = (Host::default(), Instant::now());
        let _seen = host.of(pid, now);
        let at = |host: &Host| host.descriptors[&pid].at;
        host.of(pid, now + GOOD_FOR);
        assert_eq!(at(&host), now);
        host.of(pid, now + GOOD_AT_REST);
        assert_eq!(at(&host), now + GOOD_AT_REST);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        host.of(pid, now + GOOD_AT_REST + GOOD_FOR);
        assert_eq!(host.descriptors[&pid].open, None);
    }
}
