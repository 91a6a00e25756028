use std::{
    collections::HashSet,
    net::TcpListener,
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{Look, Processes};
use crate::host::inet_diag::listening_sockets;

fn listener() -> (TcpListener, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let all = listening_sockets().expect("a dump");
    let found = all.iter().find(|socket| socket.port == port).expect("the listener");
    (listener, found.inode)
}

/// A process that inherits the listener.
fn heir(listener: &TcpListener) -> Child {
    let fd = listener.as_raw_fd();
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    let inherit = move || {
        // SAFETY: the listener is open until the child has started.
        let listener = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).map(drop).map_err(Into::into)
    };
    // SAFETY: one system call, which a forked child may make.
    unsafe { command.pre_exec(inherit) };
    command.spawn().expect("cat")
}

/// Takes a sample: who was looked at and holds what.
fn sample(
    processes: &mut Processes,
    listening: Vec<u64>,
    look: Look,
    creator: Option<u32>,
) -> HashSet<(u32, u64)> {
    processes.refresh(listening, look, |_| creator);
    let is_read = |pid| processes.all.get(&pid).is_some_and(|one| one.read == processes.listing);
    let all = processes.holdings().iter();
    let pairs = all.flat_map(|(id, all)| all.iter().map(|one| (one.holder.pid, *id)));
    pairs.filter(|(pid, _)| is_read(*pid)).collect()
}

/// Who holds a listener, of these: what other tests start holds everything until it is another
/// program.
fn pids(processes: &Processes, inode: u64, of: &[u32]) -> Vec<u32> {
    let holdings = processes.holdings().get(&inode).map(Vec::as_slice).unwrap_or_default();
    let all = holdings.iter().map(|holding| holding.holder.pid);
    all.filter(|pid| of.contains(pid)).collect()
}

#[test]
fn processes_that_are_hidden_may_hold_anything() {
    let mut processes = Processes::default();
    let mut list = |pids: &[u32]| {
        let listed = &pids.iter().map(|pid| (*pid, 1)).collect::<Vec<_>>();
        processes.enter(listed);
        processes.was_refused()
    };
    assert!(!list(&[1, 7]));
    assert!(list(&[7]));
    assert!(!list(&[1]));
    processes.all.entry(1).and_modify(|process| process.refused = true);
    assert!(processes.was_refused());
}

#[test]
fn a_process_with_the_id_of_another_is_looked_at() {
    let mut processes = Processes::default();
    let mut list = |listed: &[(u32, u64)]| {
        processes.enter(listed);
        let mut due = processes.due(Look::Newcomers, &HashSet::new());
        due.sort_unstable();
        due
    };
    assert_eq!(list(&[(1, 1), (7, 2)]), [1, 7]);
    assert!(list(&[(1, 1), (7, 2)]).is_empty());
    assert_eq!(list(&[(1, 1), (7, 3)]), [7]);
    assert!(list(&[(1, 1)]).is_empty());
    assert_eq!(processes.all.len(), 1);
}

#[test]
fn what_comes_and_goes_between_two_scans_is_seen() {
    let own = std::process::id();
    let (first, inode) = listener();
    let mut processes = Processes::default();
    assert!(sample(&mut processes, vec![inode], Look::Everyone, None).contains(&(own, inode)));

    let mut child = heir(&first);
    let mut both = [own, child.id()];
    both.sort_unstable();
    assert_eq!(pids(&processes, inode, &both), [own]);
    let found = sample(&mut processes, vec![inode], Look::Newcomers, None);
    assert!(found.contains(&(child.id(), inode)));
    assert!(!found.contains(&(own, inode)));
    assert_eq!(pids(&processes, inode, &both), both);
    assert!(processes.contains(child.id()));

    // Nothing new, and nobody twice.
    assert!(
        !sample(&mut processes, vec![inode], Look::Newcomers, None).contains(&(child.id(), inode))
    );
    assert_eq!(pids(&processes, inode, &both), both);

    child.kill().expect("it runs");
    child.wait().expect("it ends");
    sample(&mut processes, vec![inode], Look::Newcomers, None);
    assert_eq!(pids(&processes, inode, &both), [own]);
    assert!(!processes.contains(child.id()));
    assert_eq!(processes.held(child.id(), inode), Some(true), "it did");
    assert_eq!(processes.held(u32::MAX >> 2, inode), None, "nobody looked");
}

#[test]
fn only_who_has_run_is_looked_at_again() {
    let own = std::process::id();
    let (first, inode) = listener();
    let mut child = heir(&first);
    let mut processes = Processes::default();
    sample(&mut processes, vec![inode], Look::Everyone, None);
    // This process runs, and cat waits for input.
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        seen = sample(&mut processes, vec![inode], Look::WhoRan, None);
        if !seen.contains(&(child.id(), inode)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(seen.contains(&(own, inode)));
    assert!(!seen.contains(&(child.id(), inode)), "it has not run");
    let both = [own.min(child.id()), own.max(child.id())];
    assert_eq!(pids(&processes, inode, &both), both);
    // A descriptor more of who has run.
    let again = first.try_clone().expect("a descriptor");
    sample(&mut processes, vec![inode], Look::WhoRan, None);
    assert_eq!(pids(&processes, inode, &[own]), [own, own]);
    assert_eq!(pids(&processes, inode, &[child.id()]), [child.id()]);
    drop(again);
    sample(&mut processes, vec![inode], Look::WhoRan, None);
    assert_eq!(pids(&processes, inode, &both), both);
    // What begins to listen may be held by who has not run since.
    let (_second, newborn) = listener();
    assert!(
        sample(&mut processes, vec![inode, newborn], Look::WhoRan, None)
            .contains(&(child.id(), inode))
    );
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    sample(&mut processes, vec![inode, newborn], Look::WhoRan, None);
    assert_eq!(pids(&processes, inode, &both), [own]);
}

#[test]
fn who_opened_a_listener_is_looked_at() {
    let own = std::process::id();
    let (_first, inode) = listener();
    let mut processes = Processes::default();
    sample(&mut processes, vec![inode], Look::Everyone, None);
    let (second, newborn) = listener();
    let both = vec![inode, newborn];
    assert!(
        sample(&mut processes, both.clone(), Look::Newcomers, Some(own)).contains(&(own, newborn))
    );
    let all = &processes.holdings()[&newborn];
    let of_own = all.iter().find(|one| one.holder.pid == own);
    let holding = &of_own.expect("this process").holder;
    assert_eq!((holding.pid, holding.fd), (own, second.as_raw_fd()));
    assert_eq!(pids(&processes, inode, &[own]), [own]);

    // Closed, its last holders stay known.
    drop(second);
    sample(&mut processes, vec![inode], Look::Newcomers, None);
    assert_eq!(pids(&processes, newborn, &[own]), [own]);
    sample(&mut processes, vec![inode], Look::Everyone, Some(own));
    assert_eq!(pids(&processes, newborn, &[own]), [own]);
    // Until nothing is reported of it any more.
    sample(&mut processes, vec![inode], Look::Everyone, None);
    assert!(!processes.holdings().contains_key(&newborn));
}
