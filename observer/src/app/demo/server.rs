//! The server of a workload: its workers, as processes or threads.

use std::{
    os::unix::process::parent_id,
    process,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

use super::{listeners::Listeners, protocol::WorkerId, shared::Shared, strategy::Strategy, worker};

/// How long a new worker may take to say which task it is.
const START: Duration = Duration::from_secs(10);

/// The workers of one server. Dropping it ends those that are processes.
pub(super) struct Server {
    strategy: Strategy,
    processes: Vec<Pid>,
    /// In the order of the slots.
    pub(super) workers: Vec<WorkerId>,
    pub(super) shared: Arc<Shared>,
}

impl Server {
    /// Starts the workers. As processes, they are forked: the caller must have no other thread.
    pub(super) fn start(
        strategy: Strategy,
        listeners: &mut Arc<Listeners>,
        count: usize,
        threads: bool,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::new(count)?);
        let mut server = Self { strategy, processes: Vec::new(), workers: Vec::new(), shared };
        for index in 0..count {
            if threads {
                server.start_thread(listeners, index)?;
            } else {
                server.fork_process(listeners, index)?;
            }
        }
        if !threads && let Some(listeners) = Arc::get_mut(listeners) {
            listeners.leave_to_workers();
        }
        server.learn_tasks()?;
        Ok(server)
    }

    fn start_thread(&self, listeners: &Arc<Listeners>, index: usize) -> anyhow::Result<()> {
        let (strategy, listeners) = (self.strategy, Arc::clone(listeners));
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("demo-worker".into())
            .stack_size(128 * 1024)
            .spawn(move || {
                let epoll = listeners.epoll_of_all.as_ref();
                worker::serve(strategy, listeners.of_worker(index), epoll, &shared, index);
            })
            .context("starting a worker thread failed; use fewer --workers")?;
        Ok(())
    }

    fn fork_process(&mut self, listeners: &mut Arc<Listeners>, index: usize) -> anyhow::Result<()> {
        let parent = process::id();
        // SAFETY: this process has no other thread yet (see `start`), so that no lock of the
        // allocator or of the library is held by a thread that the child does not have.
        match unsafe { fork() }.context("forking a worker failed; use fewer --workers")? {
            ForkResult::Parent { child } => self.processes.push(child),
            ForkResult::Child => {
                // Errors are left out of account: the first is about a name, and if the second
                // fails, the parent's own end of the worker remains.
                let _ = prctl::set_name(c"demo-worker");
                let _ = prctl::set_pdeathsig(Signal::SIGKILL);
                // The parent may have died before it was asked for.
                if parent_id() == parent {
                    if let Some(listeners) = Arc::get_mut(listeners) {
                        listeners.keep_only_that_of(index);
                    }
                    let epoll = listeners.epoll_of_all.as_ref();
                    let listener = listeners.of_worker(index);
                    worker::serve(self.strategy, listener, epoll, &self.shared, index);
                }
                // SAFETY: ends this process only, without running the parent's exit handlers
                // and destructors, one of which kills the other workers.
                unsafe { libc::_exit(1) }
            }
        }
        Ok(())
    }

    /// Waits until each worker has left its thread id in its slot.
    fn learn_tasks(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        for (index, slot) in self.shared.slots().iter().enumerate() {
            let tid = loop {
                match slot.tid.load(Relaxed) {
                    0 if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                    0 => bail!("worker {index} did not start; use fewer --workers"),
                    tid => break tid,
                }
            };
            let pid = match self.processes.get(index) {
                Some(process) => process.as_raw().cast_unsigned(),
                None => process::id(),
            };
            self.workers.push(WorkerId { pid, tid });
        }
        Ok(())
    }

    /// Fails if a worker has ended by itself.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (worker, slot) in self.workers.iter().zip(self.shared.slots()) {
            if let Some(errno) = slot.failure() {
                bail!(
                    "worker {} stopped: {errno}; use fewer --workers or raise the limit",
                    worker.tid
                );
            }
        }
        for &process in &self.processes {
            let status = waitpid(process, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD));
            if !matches!(status, Ok(WaitStatus::StillAlive)) {
                bail!("worker {process} was ended from outside; run again");
            }
        }
        Ok(())
    }

    /// How the workers wait.
    pub(super) fn strategy(&self) -> Strategy {
        self.strategy
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Their own children only, by pid, and none of them reaped before: the pids are theirs.
        for &process in &self.processes {
            let _ = kill(process, Signal::SIGKILL);
        }
        for &process in &self.processes {
            let _ = waitpid(process, None);
        }
    }
}
