//! The system tests: the program as people run it, on the kernel that is here, against workloads
//! that count for themselves.
//!
//! A harness of its own, because whether a test can run is known only at run time (root, a kernel
//! that can, nginx), and one that cannot must be counted as skipped and never as passed.
#![expect(clippy::print_stdout, reason = "the harness says on standard output what it skips")]

mod faults;
mod filters;
mod host;
mod lifecycle;
mod listeners;
mod nginx;
mod observer;
mod output;
mod queues;
mod role;
mod truth;
mod workload;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::observer::provider;

/// What a test needs of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing.
    Nothing,
    /// Root, and a kernel that observer can run on.
    Kernel,
    /// The same, and the distribution's nginx.
    Nginx,
    /// The same, and an nginx with the poll module.
    PollingNginx,
    /// The same, and a cgroup hierarchy to make a group in.
    Cgroup,
    /// Root.
    Root,
    /// The same, and `ss` and `ip`.
    Ss,
}

/// One test.
struct Test {
    name: String,
    need: Need,
    run: Box<dyn FnOnce() -> Outcome + Send>,
}

/// What a test comes to: words for whoever reads the failure.
type Outcome = anyhow::Result<()>;

impl Test {
    fn new(
        name: impl Into<String>,
        need: Need,
        run: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Self {
        Self { name: name.into(), need, run: Box::new(run) }
    }
}

fn main() -> ExitCode {
    // Some tests need a process that misbehaves in a certain way: this program is that process.
    if let Some(code) = role::play() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // Each test loads the machine; two at once would only make both slower and their failures
    // harder to read.
    arguments.test_threads = Some(1);
    let host = host::look();
    let tests = [
        host::tests(),
        truth::tests(),
        queues::tests(),
        lifecycle::tests(),
        filters::tests(),
        output::tests(),
        faults::tests(),
        nginx::tests(),
        listeners::tests(),
    ];
    let trials = tests.into_iter().flatten().map(|test| {
        let lacking = host.lacks(test.need);
        if let Some(reason) = &lacking
            && !arguments.list
        {
            println!("skip: {}: {reason}", test.name);
        }
        let (run, name) = (test.run, test.name.clone());
        let run = move || {
            run().map_err(|error| {
                if provider().is_some() {
                    // The harness tells it at the very end, which a virtual machine may not reach.
                    eprintln!("{name}: {error:?}");
                }
                Failed::from(format!("{error:?}"))
            })
        };
        Trial::test(test.name, run).with_ignored_flag(lacking.is_some())
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
