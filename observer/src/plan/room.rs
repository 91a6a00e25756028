//! Sizes of the kernel maps: all of them together take no more memory than the budget. Pure.
//!
//! Each map has its [`Sizes::LEAST`]. What is left of the budget is given away in the order of [`wishes`], to each as much
//! as it asks for: what exists comes before what may come, and what counts before what is nice to know.

use super::{bytes::total, sizes::Sizes};
use crate::error::Failure;

/// Kernel memory of all maps where nobody says otherwise, in MiB. On two CPUs it has room for ten thousand listeners twice over, and at
/// 256 possible CPUs for four hundred on which something happens; a machine of one gigabyte has it to spare.
pub const BUDGET: u32 = 64;

/// What there is to hold, and in how much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// CPUs that can ever be online: rows of queues have that many copies.
    pub cpus: usize,
    /// Listeners that exist now.
    pub listeners: usize,
    /// Room for so many of them, where that was said.
    pub max_listeners: Option<u32>,
    /// Whether processes were named with `--pid`.
    pub pid_filter: bool,
    /// Whether it is asked what wakeups in vain cost.
    pub cost: bool,
    /// Whether accepts are told as events.
    pub tells_accepts: bool,
    /// Whether events are told of the listeners of some processes only.
    pub mutes: bool,
    /// Whether every map is to be as small as it may be.
    pub least: bool,
    /// The budget, in bytes.
    pub budget: u64,
}

/// The least number of descendants that there is room for where there is a `--pid`.
const LEAST_TREE: u32 = 256;

/// One size, and how large it would be.
type Wish = (fn(&mut Sizes) -> &mut u32, u32);

/// Who is given room, the first before the second: some listeners that are there, and all that counts of these; the rest of
/// those that are there; some to come; room for a crowd; and all that may come.
fn wishes(needs: Needs) -> [Wish; 25] {
    let fit = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
    let there = needs.max_listeners.unwrap_or_else(|| fit(needs.listeners));
    let to_come = needs.max_listeners.unwrap_or_else(|| {
        fit(needs.listeners.saturating_mul(2).saturating_add(1_024)).min(65_536)
    });
    let some = needs.max_listeners.unwrap_or_else(|| there.min(256));
    let some_to_come = to_come.min(there.saturating_add(256));
    let tree = if needs.pid_filter { 32_768 } else { 1 };
    let woken = if needs.tells_accepts { 32_768 } else { 1 };
    let muted = if needs.mutes { to_come } else { 1 };
    let (runs, wasted) = if needs.cost { (32_768, to_come) } else { (1, 1) };
    [
        (|sizes| &mut sizes.listeners, some),
        (|sizes| &mut sizes.tree, tree.min(4_096)),
        // With a row of each listener for the tasks that have none.
        (|sizes| &mut sizes.workers, some.saturating_add(8_192)),
        (|sizes| &mut sizes.tasks, 8_192),
        (|sizes| &mut sizes.enqueued, 16_384),
        (|sizes| &mut sizes.in_flight, 16_384),
        (|sizes| &mut sizes.waits, 8_192),
        (|sizes| &mut sizes.errors, 4_096),
        (|sizes| &mut sizes.interrupted, 4_096),
        (|sizes| &mut sizes.quiet, 8_192),
        (|sizes| &mut sizes.clients, 16_384),
        (|sizes| &mut sizes.unrecognised, 4_096),
        (|sizes| &mut sizes.listeners, there),
        (|sizes| &mut sizes.workers, there.saturating_add(8_192)),
        (|sizes| &mut sizes.listeners, some_to_come),
        (|sizes| &mut sizes.tree, tree),
        (|sizes| &mut sizes.woken, woken),
        (|sizes| &mut sizes.muted, muted),
        (|sizes| &mut sizes.runs, runs),
        (|sizes| &mut sizes.wasted, wasted),
        (|sizes| &mut sizes.waits, some_to_come.saturating_mul(16).min(65_536)),
        (|sizes| &mut sizes.enqueued, 65_536),
        (|sizes| &mut sizes.tasks, 32_768),
        (|sizes| &mut sizes.listeners, to_come),
        (|sizes| &mut sizes.workers, to_come.saturating_add(32_768)),
    ]
}

/// Sizes within the budget.
///
/// # Errors
///
/// Where the least does not fit into it, or what was asked for with `--max-listeners`.
pub fn sizes(needs: Needs) -> Result<Sizes, Failure> {
    let cpus = needs.cpus.max(1);
    let fits = |sizes: &Sizes| total(sizes, cpus) <= needs.budget;
    let mut sizes = Sizes::LEAST;
    if needs.pid_filter {
        sizes.tree = LEAST_TREE;
    }
    if !fits(&sizes) {
        return Err(too_little(&sizes, cpus));
    }
    if needs.least {
        return Ok(sizes);
    }
    for (size, wish) in wishes(needs) {
        let mut least = *size(&mut sizes);
        let before = sizes;
        let with = |entries: u32| {
            let mut tried = before;
            *size(&mut tried) = entries;
            tried
        };
        if least >= wish {
            continue;
        }
        if fits(&with(wish)) {
            sizes = with(wish);
            continue;
        }
        // Between what fits and what does not.
        let mut most = wish;
        while least + 1 < most {
            let middle = least.midpoint(most);
            if fits(&with(middle)) {
                least = middle;
            } else {
                most = middle;
            }
        }
        sizes = with(least);
    }
    match needs.max_listeners {
        Some(asked) if asked > sizes.listeners => {
            Err(too_little(&Sizes { listeners: asked, ..Sizes::LEAST }, cpus))
        }
        // Fewer than the least were asked for.
        Some(asked) => Ok(Sizes { listeners: asked.max(1), ..sizes }),
        None => Ok(sizes),
    }
}

fn too_little(sizes: &Sizes, cpus: usize) -> Failure {
    let needed = total(sizes, cpus).div_ceil(1024 * 1024);
    Failure::not_possible(format!(
        "room for {} listeners at {cpus} possible CPUs takes {needed} MiB of kernel memory; give observer that much \
         with --map-memory {needed}",
        sizes.listeners
    ))
}

#[cfg(test)]
mod tests;
