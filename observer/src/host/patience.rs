//! Looking at what may never answer.
//!
//! Some files of a process in /proc wait for what the process is in the middle of: while it calls execve, its
//! system calls cannot be read, and execve closes descriptors, which a file system of anybody's may never answer.
//! Such a look is made on a thread of its own and given up after a while; its process is not looked at again
//! before that thread has returned. The waits are such that a signal that kills ends them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

/// How long one process may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Maximum number of looks that do not return: no more are begun then.
const MOST: usize = 8;

/// Looks at processes, each for a limited time.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Processes whose look has not returned.
    silent: Arc<Mutex<BTreeSet<u32>>>,
    patience: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silent: Arc::default(), patience: PATIENCE }
    }
}

impl Patience {
    /// Patience of another length.
    #[must_use]
    pub fn of(patience: Duration) -> Self {
        Self { patience, ..Self::default() }
    }

    /// What a look at each process found; `None` where it did not return in time or
    /// was not begun, because an earlier one at this process has not returned or too many have not.
    pub fn each<R: Send + 'static>(
        &self,
        pids: Vec<u32>,
        look: impl Fn(u32) -> R + Clone + Send + 'static,
    ) -> Vec<(u32, Option<R>)> {
        let mut found: Vec<(u32, Option<R>)> = Vec::with_capacity(pids.len());
        let mut rest = pids;
        while !rest.is_empty() {
            let (asked, mut skipped) = self.first_of(&rest);
            if asked.is_empty() {
                found.extend(skipped.drain(..).map(|pid| (pid, None)));
                return found;
            }
            let count = asked.len();
            let answered = self.some(asked.clone(), look.clone());
            let done = answered.len();
            found.extend(answered);
            if done < count {
                // The one that does not return, and those behind it.
                let silent = asked.get(done).copied();
                found.extend(silent.map(|pid| (pid, None)));
            }
            rest = asked.into_iter().skip(done + 1).chain(skipped).collect();
        }
        found
    }

    /// How many processes do not answer.
    #[must_use]
    pub fn silent(&self) -> usize {
        self.lock().len()
    }

    /// Those that may be looked at now, and those that may not.
    fn first_of(&self, pids: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let silent = self.lock();
        let may = |pid: &u32| silent.len() < MOST && !silent.contains(pid);
        pids.iter().partition(|pid| may(pid))
    }

    /// Answers up to the first that does not come in time.
    fn some<R: Send + 'static>(
        &self,
        pids: Vec<u32>,
        look: impl Fn(u32) -> R + Send + 'static,
    ) -> Vec<(u32, Option<R>)> {
        let (answer, answers) = channel();
        let (ours, count) = (self.clone(), pids.len());
        let asked = pids.clone();
        let thread = thread::Builder::new().name("look".into()).spawn(move || {
            for pid in pids {
                let sent = answer.send((pid, Some(look(pid))));
                // After that: whoever gave it up looks for an answer once more.
                ours.lock().remove(&pid);
                if sent.is_err() {
                    return;
                }
            }
        });
        let mut found = Vec::with_capacity(count);
        if let Err(error) = thread {
            log::debug!("cannot start a thread: {error}");
            return asked.into_iter().map(|pid| (pid, None)).collect();
        }
        while let Some(pid) = asked.get(found.len()) {
            match answers.recv_timeout(self.patience) {
                Ok(answer) => found.push(answer),
                Err(RecvTimeoutError::Timeout) => {
                    log::warn!("process {pid} does not answer: it is left out until it does");
                    self.lock().insert(*pid);
                    // It may have answered in between.
                    if let Ok(answer) = answers.try_recv() {
                        self.lock().remove(pid);
                        found.push(answer);
                        continue;
                    }
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, mpsc::channel},
        time::Duration,
    };

    use super::{MOST, Patience};

    #[test]
    fn one_that_does_not_answer_keeps_no_other() {
        let patience = Patience::of(Duration::from_millis(20));
        let (lets, may) = channel::<()>();
        let may = Arc::new(Mutex::new(may));
        let look = move |pid| {
            if pid == 2 {
                let _ends = may.lock().expect("one at a time").recv();
            }
            pid * 10
        };
        let found = patience.each(vec![1, 2, 3], look.clone());
        assert_eq!(found, [(1, Some(10)), (2, None), (3, Some(30))]);
        assert_eq!(patience.silent(), 1);
        // It is not asked again, while others are.
        let found = patience.each(vec![2, 4], look.clone());
        assert_eq!(found, [(4, Some(40)), (2, None)]);
        drop(lets);
        while patience.silent() != 0 {
            std::thread::yield_now();
        }
        assert_eq!(patience.each(vec![2], look), [(2, Some(20))]);
    }

    #[test]
    fn no_more_are_asked_once_many_do_not_answer() {
        let patience = Patience::of(Duration::from_millis(20));
        let (lets, may) = channel::<()>();
        let may = Arc::new(Mutex::new(may));
        let all: Vec<u32> = (1..=20).collect();
        let found = patience.each(all.clone(), move |_| drop(may.lock().map(|one| one.recv())));
        assert_eq!(found.len(), all.len());
        assert!(found.iter().all(|(_, found)| found.is_none()));
        assert_eq!(patience.silent(), MOST);
        drop(lets);
    }
}
