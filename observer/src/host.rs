//! Listeners from outside the kernel programs: which there are, who holds them, who waits.

mod call_names;
pub mod cpu_time;
pub mod descendants;
pub mod holders;
pub mod identity;
pub mod inet_diag;
mod inet_diag_message;
pub mod proc_fds;
mod proc_stat;
pub mod processes;

pub mod filter;
pub mod netns;
pub mod netns_handles;
mod netns_links;
pub mod patience;
pub mod process;
pub mod sockopts;
pub mod syn_requests;
pub mod task_state;
mod user_memory;
pub mod waiters;
pub mod waits;
pub mod watches;
pub mod way;
pub mod ways;
