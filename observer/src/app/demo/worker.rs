//! One worker of the server: waits, accepts, closes, and counts. It does nothing else that could
//! put it to sleep, so that each of its voluntary context switches is a sleep in the wait call
//! (and thus one wakeup), or is counted as a sleep for a lock.

use std::{
    convert::Infallible,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        resource::{UsageWho, getrusage},
        socket::{SockFlag, accept4},
    },
};

use super::{
    lock::Lock,
    shared::{Shared, Slot},
    strategy::Strategy,
};

/// A new epoll instance on the listener.
pub(super) fn epoll_on(listener: BorrowedFd<'_>, flags: EpollFlags) -> nix::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(flags, 0))?;
    Ok(epoll)
}

/// Serves until something fails. The calling task is worker number `index` from here on.
pub(super) fn serve(
    strategy: Strategy,
    listener: BorrowedFd<'_>,
    epoll_of_all: Option<&Epoll>,
    shared: &Shared,
    index: usize,
) {
    let slot = &shared.slots()[index];
    slot.tid.store(nix::unistd::gettid().as_raw().cast_unsigned(), Relaxed);
    let mut worker = Worker { listener, slot, sleeps_known: 0 };
    let Err(errno) = match (strategy, epoll_of_all) {
        (Strategy::Blocking, _) => worker.by_accept(),
        (Strategy::Poll, _) => worker.by_poll(),
        (Strategy::AcceptMutex, _) => worker.by_turns(shared.lock()),
        (_, Some(epoll)) => worker.by_epoll(epoll),
        (Strategy::EpollExclusive, None) => {
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            epoll_on(listener, flags).and_then(|epoll| worker.by_epoll(&epoll))
        }
        (_, None) => {
            epoll_on(listener, EpollFlags::EPOLLIN).and_then(|epoll| worker.by_epoll(&epoll))
        }
    };
    slot.error.store(errno as i32, Relaxed);
}

struct Worker<'a> {
    listener: BorrowedFd<'a>,
    slot: &'a Slot,
    /// The kernel's count of this task's sleeps, all of them accounted for up to here.
    sleeps_known: u64,
}

impl Worker<'_> {
    fn by_epoll(&mut self, epoll: &Epoll) -> nix::Result<Infallible> {
        self.sleeps_known = sleeps()?;
        loop {
            self.wait_on(epoll)?;
            self.accept()?;
            self.count_lock_sleeps()?;
        }
    }

    fn by_poll(&mut self) -> nix::Result<Infallible> {
        self.sleeps_known = sleeps()?;
        loop {
            let mut waited = [PollFd::new(self.listener, PollFlags::POLLIN)];
            uninterrupted(|| poll(&mut waited, PollTimeout::NONE))?;
            self.wait_returned()?;
            self.accept()?;
            self.count_lock_sleeps()?;
        }
    }

    fn by_accept(&mut self) -> nix::Result<Infallible> {
        loop {
            // accept's own sleep is the one that counts, so that there are no others to tell
            // apart: waking sleepers one at a time, it does not contend for the listener's lock.
            self.accept()?;
            add_one(&self.slot.wait_returns);
        }
    }

    fn by_turns(&mut self, lock: &Lock) -> nix::Result<Infallible> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        self.sleeps_known = sleeps()?;
        loop {
            let mut result = Ok(());
            lock.acquire(|| result = result.and(self.count_lock_sleeps()));
            result?;
            // The listener is in the holder's epoll only: nobody else's would be notified.
            epoll.add(self.listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            self.count_lock_sleeps()?;
            self.wait_on(&epoll)?;
            self.accept()?;
            epoll.delete(self.listener)?;
            self.count_lock_sleeps()?;
            lock.release();
        }
    }

    fn wait_on(&mut self, epoll: &Epoll) -> nix::Result<()> {
        let mut events = [EpollEvent::empty()];
        uninterrupted(|| epoll.wait(&mut events, EpollTimeout::NONE))?;
        self.wait_returned()
    }

    /// Counts the return of the wait call; the sleeps in it are the listener's wakeups.
    fn wait_returned(&mut self) -> nix::Result<()> {
        add_one(&self.slot.wait_returns);
        self.sleeps_known = sleeps()?;
        Ok(())
    }

    /// Counts the sleeps since the last look as sleeps for a lock: of this server, or the
    /// kernel's own of the listener, which accept takes and for which it may have to sleep.
    fn count_lock_sleeps(&mut self) -> nix::Result<()> {
        let now = sleeps()?;
        self.slot.lock_sleeps.fetch_add(now - self.sleeps_known, Relaxed);
        self.sleeps_known = now;
        Ok(())
    }

    /// Accepts once, and closes what it got at once.
    fn accept(&self) -> nix::Result<()> {
        match accept4(self.listener.as_raw_fd(), SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC) {
            Ok(connection) => {
                // Counted before the close, upon which the client goes on.
                add_one(&self.slot.accepted);
                // SAFETY: accept4 has just made this descriptor, and nobody else owns it.
                drop(unsafe { OwnedFd::from_raw_fd(connection) });
                Ok(())
            }
            Err(Errno::EAGAIN) => {
                add_one(&self.slot.eagain);
                Ok(())
            }
            // Nothing to serve, and nothing wrong with the listener.
            Err(Errno::EINTR | Errno::ECONNABORTED) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// How often this task went to sleep, by the kernel's count.
fn sleeps() -> nix::Result<u64> {
    let count = getrusage(UsageWho::RUSAGE_THREAD)?.voluntary_context_switches();
    Ok(count.cast_unsigned())
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
